"""What a durable step costs beside the engine alone and beside LangGraph's savers: microseconds and bytes a step."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.peers import ROOT, peers_environment, peers_python
from benchmarks.table import Table

__all__ = ["run"]

STEPS = 1_000
ROUNDS = 3


def run() -> list[Table]:
    """Each contender in processes of its own, in turn in every round; the best round counts."""
    from tests.store.servers import postgres_url

    table = Table("durable", "A durable step", ("", "µs a step", "times raw DBOS", "bytes a step"))
    for name, make in (("SQLite", _file), ("Postgres", postgres_url)):
        best: dict[str, tuple[float, float]] = {}
        for _ in range(ROUNDS):
            for who in ("dbos", "tidyllm"):
                best[who] = min(best.get(who, (9e9, 0.0)), _measured(who, make()))
        peer = _peer(name, make())
        raw = best["dbos"][0]
        for label, who in (("tidyllm", "tidyllm"), ("DBOS alone, same engine settings", "dbos")):
            micros, size = best[who]
            table.add(f"{name}: {label}", micros, micros / raw, size)
        if peer is not None:
            table.add(f"{name}: LangGraph's saver", peer[0], peer[0] / raw, peer[1])
        else:
            table.notes.append(f"LangGraph's saver for {name} is not installed among the peers.")
    table.notes.append(
        f"One run of {STEPS:,} steps in a row, each of which adds 1; ours writes an intent before and a record after"
        " each. SQLite in WAL with `synchronous=NORMAL` for both; DBOS's own default, a rollback journal, is slower."
    )
    table.notes.append(_listing())
    return [table]


def _file() -> str:
    return f"sqlite:///{tempfile.mkdtemp(prefix='tidyllm-bench-')}/runs.db"


def _measured(who: str, url: str) -> tuple[float, float]:
    out = subprocess.run(
        [sys.executable, "-m", "benchmarks.durable", who, url],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    micros, size = json.loads(out.stdout.splitlines()[-1])
    return micros, size


def _peer(name: str, url: str) -> tuple[float, float] | None:
    """LangGraph with its saver for this database, where it is installed."""
    script = ROOT / "benchmarks" / "peer_durable.py"
    out = subprocess.run(
        [str(peers_python()), str(script), name, url, str(STEPS)],
        capture_output=True,
        text=True,
        check=False,
        env=peers_environment(),
    )
    if out.returncode != 0:
        return None
    micros, size = json.loads(out.stdout.splitlines()[-1])
    return micros, size


def _size(url: str) -> int:
    """Bytes of the database, its log moved into it."""
    if url.startswith("sqlite"):
        import sqlite3

        path = Path(url.removeprefix("sqlite:///"))
        with sqlite3.connect(path) as at:
            at.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return path.stat().st_size
    import psycopg

    with psycopg.connect(url) as at:
        row = at.execute("SELECT pg_database_size(current_database())").fetchone()
    return 0 if row is None else int(row[0])


async def _ours(url: str) -> tuple[float, float]:
    from tidyllm.core import Context, step
    from tidyllm.durable import Runtime, workflow

    @step
    async def add(x: int) -> int:
        return x + 1

    @workflow
    async def flow(n: int, ctx: Context) -> int:
        x = 0
        for _ in range(n):
            x = await ctx.call(add, x)
        return x

    async with Runtime(url) as runtime:
        await (await runtime.start(flow, 50)).result()
        before = _size(url)
        started = time.perf_counter()
        assert await (await runtime.start(flow, STEPS)).result() == STEPS
        took = time.perf_counter() - started
        return took / STEPS * 1e6, (_size(url) - before) / STEPS


async def _raw(url: str) -> tuple[float, float]:
    from dbos import DBOS

    from tidyllm.durable.engine import sql_engine
    from tidyllm.durable.place import runs_location

    DBOS(
        config={
            "name": "bench",
            "system_database_url": url.replace("postgresql://", "postgresql+psycopg://"),
            "system_database_engine": sql_engine(runs_location(url)),
            "log_level": "ERROR",
        }
    )

    @DBOS.step()
    async def add(x: int) -> int:
        return x + 1

    @DBOS.workflow()
    async def flow(n: int) -> int:
        x = 0
        for _ in range(n):
            x = await add(x)
        return x

    DBOS.launch()
    await (await DBOS.start_workflow_async(flow, 50)).get_result()
    before = _size(url)
    started = time.perf_counter()
    assert await (await DBOS.start_workflow_async(flow, STEPS)).get_result() == STEPS
    took = time.perf_counter() - started
    return took / STEPS * 1e6, (_size(url) - before) / STEPS


def _listing() -> str:
    """How long `tidyllm runs list` takes on 100,000 runs, the start of Python included."""
    folder = Path(tempfile.mkdtemp(prefix="tidyllm-bench-"))
    subprocess.run(
        [sys.executable, "-m", "benchmarks.durable", "fill", f"sqlite:///{folder}/runs.db"],
        check=True,
        cwd=ROOT,
    )
    command = [sys.executable, "-m", "tidyllm", "runs", "list", "--store", str(folder / "store.db")]
    best = 9e9
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, cwd=folder, env=dict(os.environ))
        best = min(best, time.perf_counter() - started)
    return f"`tidyllm runs list` on 100,000 runs: {best:.2f} s, Python's start included."


async def _fill(url: str) -> None:
    """100,000 runs that are done."""
    from tidyllm.core import step
    from tidyllm.durable import Runtime

    @step
    async def add(x: int) -> int:
        return x + 1

    async with Runtime(url) as runtime:
        await (await runtime.start(add, 1, id="first")).result()
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
        ours = "'run-' || i, flow, version, input, tags, created + i, deadline, queue, forked_from, stopped"
        insert = (
            f"INSERT INTO tidyllm_runs {numbers} SELECT {ours} FROM n, (SELECT * FROM tidyllm_runs LIMIT 1)"
        )
        columns = [
            row[1] for row in await runtime.query(lambda at: at.rows("PRAGMA table_info(workflow_status)"))
        ]
        rest = ", ".join(f'"{one}"' for one in columns if one != "workflow_uuid")
        theirs = (
            f"INSERT INTO workflow_status (workflow_uuid, {rest}) {numbers} SELECT 'run-' || i, {rest} FROM n,"
            " (SELECT * FROM workflow_status LIMIT 1)"
        )
        await runtime.query(lambda at: (at.run(insert), at.run(theirs)))


if __name__ == "__main__":
    which, where = sys.argv[1:3]
    if which == "fill":
        asyncio.run(_fill(where))
    else:
        figures = asyncio.run((_ours if which == "tidyllm" else _raw)(where))
        sys.stdout.write(json.dumps(figures) + "\n")
        sys.stdout.flush()
        os._exit(0)  # no contender is measured at its leaving
