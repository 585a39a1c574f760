"""Several processes on one store, and processes that end in the middle: what was said to be written is there."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.shared_data import ROOT
from tests.store.servers import databases, store_url
from tests.store.stores import count, fresh, names, note, notes, opened
from tidyllm.store import Store
from tidyllm.store.check import check

on_each = pytest.mark.parametrize("dialect", databases())


async def start(url: str, name: str, most: int, how: str = "rows") -> asyncio.subprocess.Process:
    """A process that writes."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.store.worker", url, name, str(most), how),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )


async def ended(process: asyncio.subprocess.Process) -> list[str]:
    """The names that it printed, whole lines only."""
    out, _ = await process.communicate()
    return out.decode().rpartition("\n")[0].splitlines()


@on_each
async def test_processes_take_turns(dialect: str, tmp_path: Path) -> None:
    url = store_url(dialect, tmp_path)
    with opened(url) as store:
        workers = [await start(url, f"w{i}", 60, "works") for i in range(3)]
        written = [name for worker in workers for name in await ended(worker)]
        assert sorted(await store.read(names)) == sorted(written)
        weights = await store.read(lambda c: c.execute(select(notes.c.weight)).scalars().all())
    assert sorted(weights) == list(range(1, 181))


async def kill_rounds(dialect: str, folder: Path, rounds: int, seed: int) -> int:
    """End a writing process at a random moment, `rounds` times; returns how many notes it had been promised."""
    url, chance, promised = store_url(dialect, folder), random.Random(seed), 0
    with opened(url):
        pass  # the tables
    for number in range(rounds):
        worker = await start(url, f"r{number}", 0, chance.choice(["rows", "works"]))
        assert worker.stdout is not None
        first = (await worker.stdout.readline()).decode().strip()
        await asyncio.sleep(chance.uniform(0, 0.15))
        worker.send_signal(signal.SIGKILL)
        told = [first, *await ended(worker)]
        promised += len(told)
        with closing(Store.open(url)) as store:
            there = await store.read(names)
        assert set(told) <= set(there)
        assert len(there) == len(set(there))
        await worker.wait()
    assert check(url).problems == ()
    return promised


@on_each
async def test_what_was_written_is_there_after_kill_9(dialect: str, tmp_path: Path) -> None:
    assert await kill_rounds(dialect, tmp_path, 3, seed=1) > 3


@pytest.mark.proof
@on_each
async def test_what_was_written_is_there_after_kill_9_at_50_random_moments(
    dialect: str, tmp_path: Path
) -> None:
    began = time.monotonic()
    promised = await kill_rounds(dialect, tmp_path, 50, seed=2)
    print(f"{dialect}: 50 kills, {promised} notes promised, none missing; {time.monotonic() - began:.0f} s")  # noqa: T201
    assert promised > 50


@on_each
async def test_a_store_that_was_opened_before_a_fork_works_in_both(dialect: str, tmp_path: Path) -> None:
    with fresh(dialect, tmp_path) as store:
        await store.append(notes, note("before"))
        assert await store.read(count) == 1
        child = os.fork()
        if child == 0:
            status = 1
            try:
                store.write_sync(lambda c: c.execute(notes.insert(), note("child")))
                status = 0 if store.read_sync(count) >= 2 else 2
                store.close()
            finally:
                os._exit(status)
        await store.append(notes, note("parent"))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert sorted(await store.read(names)) == ["before", "child", "parent"]


async def test_what_was_posted_is_written_at_the_end_of_a_program_that_forgot_to_close(
    tmp_path: Path,
) -> None:
    url = store_url("sqlite", tmp_path)
    with opened(url):
        pass
    program = (
        "import sys; from tests.store.stores import *; from tidyllm.store import Store\n"
        "store = Store.open(sys.argv[1])\n"
        "for i in range(500): store.append_soon(notes, note(str(i)))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, url, cwd=ROOT)
    assert await process.wait() == 0
    with closing(Store.open(url)) as store:
        assert await store.read(count) == 500
