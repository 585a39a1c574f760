"""Every program in both modes with a kill at a random moment, and every model that gets nowhere, from outside."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import msgspec
import pytest

from tests.agents.programs import BAD, names, player_for
from tests.agents.test_programs import repaired
from tests.cli.agents_playing import Ground, bytes_of, events
from tidyllm.agents.project import ProjectStop
from tidyllm.testing import ModelServer

SEED = int(os.environ.get("TIDYLLM_PROOF_SEED", "1"))


@pytest.mark.proof
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", ["--orchestrated", "--traditional"])
@pytest.mark.parametrize("name", names())
async def test_a_killed_team_goes_on_and_asks_for_nothing_twice(name: str, mode: str, tmp_path: Path) -> None:
    chance = random.Random(f"{SEED} {name} {mode}")
    async with ModelServer(player_for(name, "right")) as server:
        ground = Ground.of(tmp_path, name, server)
        kills = 0
        for _ in range(chance.randint(1, 3)):
            process = await ground.begin(mode)
            ending = asyncio.ensure_future(process.communicate())
            wanted = asyncio.ensure_future(ground.asked(len(server.requests) + chance.randint(1, 9)))
            await asyncio.wait([ending, wanted], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(chance.random())
            wanted.cancel()
            if process.returncode is None:
                process.kill()
                kills += 1
            await ending
            if process.returncode == 0:
                break
        else:
            ended = await ground.run(mode)
            assert ended.status == 0, ended.out + ended.err
        assert repaired(ground.project, name)
        questions = [msgspec.json.encode(asked.body, order="sorted") for asked in server.requests]
        assert len(questions) - len(set(questions)) <= kills  # what was in flight


@pytest.mark.proof
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", ["--orchestrated", "--traditional"])
@pytest.mark.parametrize("player", sorted(BAD))
async def test_a_model_that_gets_nowhere_leaves_the_tree_as_it_was(
    player: str, mode: str, tmp_path: Path
) -> None:
    async with ModelServer(player_for("cart", player)) as server:
        ground = Ground.of(tmp_path, "cart", server)
        before = bytes_of(ground.project)
        ended = await ground.run(mode, "--json", "--max-seconds", "60", "--max-turns", "80")
        assert (ended.status, ended.traceback) == (1, False), ended.err
        result = events(ended.out)[-1]
        assert ProjectStop(result["stop"]) is not ProjectStop.finished
        assert result["detail"]
        assert result["turns"] <= 80
        assert bytes_of(ground.project) == before
