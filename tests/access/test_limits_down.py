"""What happens to limits when the place where they are counted is away: what was declared, told once, and counted."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Literal

import pytest

from tests.access.places import key_with
from tests.store.servers import redis
from tidyllm import clock
from tidyllm.access import Limits, RedisLimits
from tidyllm.errors import LimitExceeded, StoreDown
from tidyllm.store.shared import SharedState


async def down_and_back(
    folder: Path, on_store_down: Literal["refuse", "allow"]
) -> tuple[list[str], list[bool], Limits]:
    """What each of some calls of a key with 3 requests a minute got: 1 with Redis, 5 without, 4 with it again."""
    server = redis(folder / "redis")
    server.start()
    told: list[bool] = []
    shared = SharedState.open(f"redis://127.0.0.1:{server.port}/0", patience=0.5)
    limits = Limits(
        RedisLimits(shared), on_store_down=on_store_down, on_degraded=told.append, retry_seconds=0.1
    )
    got: list[str] = []

    async def call() -> None:
        try:
            await (await limits.enter(key_with(rpm=3))).leave()
        except (StoreDown, LimitExceeded) as error:
            got.append(type(error).__name__)
        else:
            got.append("in")

    await call()
    server.stop()
    for _ in range(5):
        await call()
    server.start()
    await clock.sleep(0.7)
    for _ in range(4):
        await call()
    await limits.aclose()
    await shared.aclose()
    server.close()
    return got, told, limits


async def test_whoever_asks_while_a_connection_is_being_made_hears_that_it_could_not_be(
    tmp_path: Path,
) -> None:
    opened: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: opened.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    shared = SharedState.open(f"redis://127.0.0.1:{port}/0", patience=0.4)
    limits = Limits(RedisLimits(shared))
    asking = [asyncio.create_task(limits.enter(key_with(rpm=3)))]
    while not opened:
        await asyncio.sleep(0.01)
    asking.append(asyncio.create_task(limits.enter(key_with(rpm=3))))
    got = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(one) for one in got] == [StoreDown, StoreDown]
    assert got[0] is not got[1]
    assert len(opened) == 1
    await limits.aclose()
    await shared.aclose()
    for one in opened:
        one.close()
    server.close()


async def test_refuse_means_that_nobody_gets_in_uncounted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tidyllm.access"):
        got, told, limits = await down_and_back(tmp_path, "refuse")
    assert got == ["in", *["StoreDown"] * 5, "in", "in", "in", "LimitExceeded"]
    assert (told, limits.degraded, limits.degraded_calls) == ([True, False], False, 5)
    lines = [record.message for record in caplog.records if "limits" in record.message]
    assert len(lines) == 2
    assert lines[0].startswith("limits cannot be shared, calls are refused")


async def test_allow_means_that_each_process_counts_for_itself(tmp_path: Path) -> None:
    got, told, limits = await down_and_back(tmp_path, "allow")
    assert got == [
        "in",
        "in",
        "in",
        "in",
        "LimitExceeded",
        "LimitExceeded",
        "in",
        "in",
        "in",
        "LimitExceeded",
    ]
    assert (told, limits.degraded_calls) == ([True, False], 5)
