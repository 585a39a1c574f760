"""Workers over one database: queues, schedules, failover, and what a worker does that has lost its lease."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import environment
from tests.durable.crash import Gate
from tests.store.servers import Server, postgres, postgres_url
from tidyllm.core import Context, step
from tidyllm.durable import Runtime, workflow
from tidyllm.durable.leases import LEASE_SECONDS

ROOT = Path(__file__).parents[2]
order: list[int] = []
at_once = Counter[str]()


@workflow
async def queued(x: int, ctx: Context) -> int:
    order.append(x)
    at_once["now"] += 1
    at_once["most"] = max(at_once["most"], at_once["now"])
    await asyncio.sleep(0.01)
    at_once["now"] -= 1
    return x


async def test_a_queue_holds_its_concurrency_and_its_priorities(tmp_path: Path) -> None:
    async with Runtime(tmp_path / "runs.db") as runtime:
        order.clear()
        at_once.clear()
        await runtime.queue("jobs", concurrency=1)
        runs = [await runtime.start(queued, n, queue="jobs", priority=10 - n) for n in range(4)]
        assert [await run.status() for run in runs] == ["queued"] * 4
        await runtime.serve([queued], queues=["jobs"])
        assert [await run.result(30) for run in runs] == [0, 1, 2, 3]
        assert (order, at_once["most"]) == ([3, 2, 1, 0], 1)


async def test_a_queue_begins_no_more_than_its_rate(tmp_path: Path) -> None:
    async with Runtime(tmp_path / "runs.db") as runtime:
        await runtime.queue("slow", rate=(2, 3600.0))
        runs = [await runtime.start(queued, n, queue="slow") for n in range(4)]
        await runtime.serve([queued], queues=["slow"])
        await asyncio.gather(*(run.result(30) for run in runs[:2]))
        await asyncio.sleep(0.5)
        assert [await run.status() for run in runs[2:]] == ["queued", "queued"]


async def test_a_schedule_starts_runs(tmp_path: Path) -> None:
    ran = asyncio.Event()

    @workflow
    async def tick(x: int, ctx: Context) -> int:
        ran.set()
        return x

    async with Runtime(tmp_path / "runs.db") as runtime:
        await runtime.serve([tick])
        await runtime.schedule("often", "* * * * * *", tick, 7)
        await asyncio.wait_for(ran.wait(), 30)
        await runtime.unschedule("often")


async def test_a_worker_that_lost_its_lease_stops_before_its_next_step(tmp_path: Path) -> None:
    gate, calls = Gate(), list[int]()
    let_go = asyncio.Event()

    @step
    async def count(x: int) -> int:
        calls.append(x)
        if x == 1:
            gate.reached.set()
            await let_go.wait()
        return x

    @workflow
    async def program(x: int, ctx: Context) -> int:
        await ctx.call(count, 1)
        return await ctx.call(count, 2)

    async with Runtime(tmp_path / "runs.db") as runtime:
        run = await runtime.start(program, 1, id="one")
        await gate.reached.wait()
        # Another worker has taken over: the engine's row bears another owner.
        taken = "UPDATE {e}workflow_status SET owner_xid = 'other', executor_id = 'other' WHERE workflow_uuid = 'one'"
        await runtime.query(lambda at: at.run(taken))
        let_go.set()
        while runtime.is_active("one"):
            await asyncio.sleep(0.01)
        assert calls == [1]
        rows = await runtime.query(lambda at: at.rows("SELECT path, state FROM {s}tidyllm_steps"))
        assert rows == [("program/count", 0)]
        assert await run.status() == "running"
        # The other one is unknown, so it is dead: the run goes on here, and the step in flight is made again.
        assert await (await runtime.start(program, 1, id="one")).result() == 2
        assert calls == [1, 1, 2]


async def worker(url: str, log: Path) -> asyncio.subprocess.Process:
    """A worker with slots for four runs."""
    import sys

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tidyllm", "worker", "tests.durable.flows:slow", "--store", url, "-n", "4"),
        cwd=ROOT,
        env=environment(FLOWS_LOG=str(log)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 60)
    assert line.startswith(b"Serving slow")
    return process


async def kill_workers(url: str, log: Path, kills: int, runs: int) -> None:
    """Two workers, one of them killed again and again, do all the work; twice only what was in flight."""
    os.environ["FLOWS_LOG"] = str(log)
    from tests.durable.flows import slow

    workers = [await worker(url, log), await worker(url, log)]
    async with Runtime(url) as runtime:
        started = [
            await runtime.start(slow, 0, id=f"run-{n}", queue="flow:slow", tags={"run": f"run-{n}"})
            for n in range(runs)
        ]
        killed: list[int] = []
        for n in range(kills):
            await asyncio.sleep(random.random() * 1.0)
            victim = workers[n % 2]
            victim.send_signal(signal.SIGKILL)
            await victim.wait()
            killed.append(victim.pid)
            workers[n % 2] = await worker(url, log)
        assert [await run.result(300) for run in started] == [10] * runs
    for one in workers:
        one.send_signal(signal.SIGTERM)
        assert await one.wait() == 0
    lines = [line.split() for line in log.read_text().splitlines()]
    made = Counter((run, step) for run, step, _ in lines)
    assert len(made) == runs * 10
    again = {key for key, count in made.items() if count > 1}
    # Only what a killed worker had begun last of a run is made again.
    for key in again:
        pids = [int(pid) for run, step, pid in lines if (run, step) == key]
        assert set(pids[:-1]) <= set(killed)
    assert sum(made.values()) - len(made) <= kills * 4


async def test_runs_of_a_killed_worker_go_on_elsewhere(tmp_path: Path) -> None:
    await kill_workers(postgres_url(), tmp_path / "log", kills=1, runs=6)


@pytest.mark.proof
async def test_two_workers_of_which_one_is_killed_fifty_times_finish_everything(tmp_path: Path) -> None:
    await kill_workers(postgres_url(), tmp_path / "log", kills=50, runs=150)


@pytest.mark.proof
async def test_a_worker_that_stood_still_past_its_lease_records_nothing_more(tmp_path: Path) -> None:
    url, log = postgres_url(), tmp_path / "log"
    os.environ["FLOWS_LOG"] = str(log)
    from tests.durable.flows import slow

    still = await worker(url, log)
    async with Runtime(url) as runtime:
        run = await runtime.start(slow, 0, id="one", queue="flow:slow", tags={"run": "one"})
        while not log.exists() or len(log.read_text().splitlines()) < 3:
            await asyncio.sleep(0.01)
        still.send_signal(signal.SIGSTOP)
        other = await worker(url, log)
        assert await run.result(60) == 10
        still.send_signal(signal.SIGCONT)
        await asyncio.sleep(2)
    for one in (still, other):
        one.send_signal(signal.SIGTERM)
        assert await one.wait() == 0
    lines = [line.split() for line in log.read_text().splitlines()]
    # Only the step in flight was made twice: once by each.
    assert [int(step) for _, step, pid in lines if int(pid) == still.pid] == [0, 1, 2]
    assert [int(step) for _, step, pid in lines if int(pid) == other.pid] == list(range(2, 10))


def test_a_lease_is_short_enough_for_a_failover_within_ten_seconds() -> None:
    """The lease runs out, a scan sees it within a second, and a queue is read every half."""
    assert LEASE_SECONDS + 1.0 + 0.5 < 10


async def test_runs_of_a_machine_that_vanished_go_on_when_its_lease_is_over(tmp_path: Path) -> None:
    async with Runtime(tmp_path / "runs.db") as runtime:
        await runtime.serve([queued])
        run = await runtime.start(queued, 5, id="one")
        await run.result(30)
        # As if it were under way on a machine that nobody can see, which gave its last sign of life 4 seconds ago.
        for statement in (
            (
                "INSERT INTO {s}tidyllm_workers (id, machine, pid, born, kind, started, beat)"
                " SELECT 'far', 'elsewhere', 1, '', 'worker', 0, (julianday('now') - 2440587.5) * 86400.0 - 4.0"
            ),
            "UPDATE {e}workflow_status SET status = 'PENDING', executor_id = 'far', owner_xid = 'far'",
        ):
            await runtime.query(lambda at, statement=statement: at.run(statement))
        order.clear()
        assert await run.status() == "running"
        assert (await run.result(30), order) == (5, [5])


@pytest.fixture
def server() -> Iterator[Server]:
    """A Postgres of the test's own."""
    folder = Path(tempfile.mkdtemp(prefix="tidyllm-own-"))  # not pytest's, where only we may go
    folder.chmod(0o755)
    one = postgres(folder / "postgres")
    one.start()
    yield one
    one.close()
    shutil.rmtree(folder, ignore_errors=True)


async def test_a_run_outlives_the_restart_of_its_database(server: Server) -> None:
    made: list[int] = []
    away = asyncio.Event()

    @step
    async def inc(x: int) -> int:
        made.append(x)
        if x == 5:
            away.set()
        await asyncio.sleep(0.01)
        return x + 1

    @workflow
    async def program(x: int, ctx: Context) -> int:
        for _ in range(10):
            x = await ctx.call(inc, x)
        return x

    url = f"postgresql://tidy:pass%2Fword@127.0.0.1:{server.port}/postgres"
    async with Runtime(url) as runtime:
        run = await runtime.start(program, 0)
        await away.wait()
        await asyncio.to_thread(server.stop, signal.SIGKILL)
        await asyncio.to_thread(server.start)
        assert await run.result(60) == 10
    assert made == list(range(10))
