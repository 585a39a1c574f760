"""A run with a budget that is killed in the middle of a call: what the ledger says, and what the next life pays."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from tests.models.raw_server import Server, serve
from tests.models.upstreams import CHAT, json_body
from tidyllm.store import Store


async def life(folder: Path, server: Server) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.durable.paying", str(folder), str(server.port)),
        stdout=asyncio.subprocess.PIPE,
    )


async def test_a_call_that_was_in_flight_at_a_kill_is_in_doubt_and_the_next_life_reserves_anew(
    tmp_path: Path,
) -> None:
    requests = 0
    second = asyncio.Event()

    async def handler(connection: Any) -> None:
        nonlocal requests
        while True:
            await connection.request()
            requests += 1
            if requests == 2:
                second.set()
                await asyncio.Event().wait()
            await connection.write(json_body(CHAT))

    async with serve(handler) as server:
        first_life = await life(tmp_path, server)
        await asyncio.wait_for(second.wait(), 60)
        first_life.kill()
        await first_life.wait()
        out, _ = await (await life(tmp_path, server)).communicate()
    assert (out, requests) == (
        b"Hello.Hello.",
        3,
    )  # the first call, which is recorded, was not paid for again

    def kinds(connection: Connection) -> list[tuple[Any, ...]]:
        sql = "SELECT kind, count(*), min(entry) <> max(entry), sum(cost_nanos) FROM ledger GROUP BY kind ORDER BY kind"
        return [tuple(row) for row in connection.exec_driver_sql(sql)]

    store = Store.open(tmp_path / "store.db")
    try:
        # Three intents, two of them settled at their price, and one in doubt, at no known price.
        assert await store.read(kinds) == [(0, 3, 1, None), (1, 2, 1, 4_000_000), (2, 1, 0, None)]
    finally:
        await store.aclose()
