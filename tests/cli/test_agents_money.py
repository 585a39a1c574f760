"""What agents spend is in the store's books: calls that ended, and calls that died with their process."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from tests.agents.programs import player_for
from tests.cli.agents_playing import Ground, events
from tidyllm.testing import ModelServer

PRICED = """
providers: {{openai: {{kind: openai, base_url: "{url}", api_key: anything}}}}
catalog: {{openai/any: {{prices: {{input: 1, output: 4}}, max_output_tokens: 1000}}}}
"""
MODEL = ("--model", "openai/any")


def priced(folder: Path, server: ModelServer) -> Ground:
    ground = Ground.of(folder, "cart", server)
    (folder / "tidyllm.yaml").write_text(PRICED.format(url=server.openai_url))
    return ground


async def spent(ground: Ground) -> dict[str, Any]:
    shown = await ground.tidyllm("spend", "--json")
    assert shown.status == 0, shown.err
    return msgspec.json.decode(shown.out)["total"]


async def test_spend_shows_what_a_team_cost(tmp_path: Path) -> None:
    async with ModelServer(player_for("cart", "right")) as server:
        ground = priced(tmp_path, server)
        ended = await ground.run(*MODEL, "--json")
    assert ended.status == 0, ended.out + ended.err
    result, total = events(ended.out)[-1], await spent(ground)
    assert (total["calls"], total["doubts"]) == (result["turns"], 0)
    assert Decimal(total["cost_usd"]) == Decimal(result["cost_usd"]) > 0


async def test_a_call_in_flight_at_a_crash_is_in_doubt_and_counts_for_the_cap(tmp_path: Path) -> None:
    cap = (*MODEL, "--max-usd", "0.01")
    async with ModelServer(player_for("cart", "stalling")) as server:
        ground = priced(tmp_path, server)
        process = await ground.begin(*cap)
        await ground.asked(1)
        process.kill()
        await process.communicate()
        ended = await ground.run(*cap, "--json")
        assert len(server.requests) == 1, ended.out
    total = await spent(ground)
    assert (total["calls"], total["doubts"]) == (1, 1)
    assert (ended.status, events(ended.out)[-1]["stop"]) == (1, "budget"), ended.out
