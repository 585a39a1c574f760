"""A limit is one for all processes, and a killed process does not keep its places."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from tests.store.servers import databases, redis_url, store_url
from tidyllm import clock
from tidyllm.access import Limits, RedisLimits, StoreLimits, Subject
from tidyllm.errors import LimitExceeded
from tidyllm.store import Store
from tidyllm.store.shared import SharedState

shared = pytest.mark.parametrize("where", [*databases(), "redis"])
ENTERER = Path(__file__).with_name("enterer.py")


def url_of(where: str, folder: Path) -> str:
    if where == "redis":
        return redis_url()
    url = store_url(where, folder)
    Store.open(url).close()  # its schema, before many want it
    return url


async def enterer(url: str, *arguments: object) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, str(ENTERER), url, *map(str, arguments), stdout=PIPE, stdin=asyncio.subprocess.DEVNULL
    )


async def number(process: Process) -> int:
    assert process.stdout is not None
    return int(await process.stdout.readline())


@shared
async def test_two_processes_share_one_limit(tmp_path: Path, where: str) -> None:
    url = url_of(where, tmp_path)
    processes = [await enterer(url, 30, 37, 0) for _ in range(2)]
    let_in = [await number(process) for process in processes]
    for process in processes:
        await process.wait()
    assert sum(let_in) == 37


@shared
async def test_places_of_a_killed_process_are_free_after_its_lease(tmp_path: Path, where: str) -> None:
    url = url_of(where, tmp_path)
    process = await enterer(url, 3, 0, 3, "hold")
    assert await number(process) == 3
    closing = SharedState.open(url) if where == "redis" else Store.open(url)
    backend = RedisLimits(closing) if isinstance(closing, SharedState) else StoreLimits(closing)
    mine, subject = Limits(backend, lease_seconds=2.0), (Subject("key:shared", None, None, 3),)
    await clock.sleep(2.5)  # longer than a lease: it is renewed
    with pytest.raises(LimitExceeded):
        await mine.enter_as(subject)
    process.kill()
    await process.wait()
    await clock.sleep(2.2)
    for _ in range(3):
        await mine.enter_as(subject)
    await mine.aclose()
    await closing.aclose()
