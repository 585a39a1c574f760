"""What a budget and its ledger cost: CPU of all threads per call, by store, and how fast a month is reported.

    .venv/bin/python benchmarks/money_micro.py [--rows 1000000] [--postgres URL] [--redis URL]

A call here reserves in three accounts (key, team, organisation), gives the loop one turn, and settles with tokens and
cost, 32 at a time. What the loop around it costs by itself is measured first and taken off. The machine may be busy, so
the best of several rounds counts.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from random import getrandbits
from typing import Any

from tidyllm.core import AttemptFinished, AttemptStarted, Context
from tidyllm.money import Budget, Ledger
from tidyllm.money.spend import spend
from tidyllm.store import Store
from tidyllm.store.shared import SharedState

CALLS, AT_ONCE, ROUNDS = 12_800, 32, 5
MOST, COST = Decimal("0.0123"), Decimal("0.0012345")
SAID: dict[str, Any] = {
    "input_tokens": 1000,
    "output_tokens": 100,
    "status": 200,
    "request_id": "req_0123456789",
}


async def one(budget: Budget | None) -> None:
    ctx = Context.new(hooks=(), tags={"app": "x"})
    span = getrandbits(64)
    started = AttemptStarted(ctx, span, "openai", "main", "gpt-5-mini")
    entry = None if budget is None else await budget.book(MOST, started)
    await asyncio.sleep(0)
    ended = AttemptFinished(ctx, span, "chat", "openai", "main", "gpt-5-mini", 0.0, 1.0, None, None, SAID)
    if entry is not None:
        entry.close(COST, ended)


async def load(budgets: list[Budget | None]) -> tuple[float, float]:
    """CPU and wall seconds per call."""

    async def worker(number: int) -> None:
        for _ in range(CALLS // AT_ONCE):
            await one(budgets[number % len(budgets)])

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker(number) for number in range(AT_ONCE)))
    return (time.process_time() - cpu) / CALLS, (time.perf_counter() - wall) / CALLS


def tree(ledger: Ledger | None) -> list[Budget | None]:
    org = Budget(100_000, name="org:acme", ledger=ledger)
    team = Budget(100_000, "month", name="team:search", parent=org)
    return [Budget(100_000, "day", name=f"key:{number}", parent=team) for number in range(8)]


async def measure(make: Callable[[], Ledger | None] | None) -> tuple[float, float]:
    best = (9e9, 9e9)
    ledger = None if make is None else make()
    budgets: list[Budget | None] = [None] if make is None else tree(ledger)
    for _ in range(ROUNDS):
        best = min(best, await load(budgets))
        if ledger is not None:
            await ledger.flush()
    if ledger is not None:
        await ledger.aclose()
    return best


def row(name: str, cpu: float, wall: float, bare: float) -> None:
    print(f"{name:<34}{(cpu - bare) * 1e6:>8.1f} us CPU a call{1 / wall:>12,.0f} calls/s")


def stores(folder: Path, postgres: str | None, redis: str | None) -> None:
    bare, wall = asyncio.run(measure(None))
    print(
        f"{'the loop alone (taken off below)':<34}{bare * 1e6:>8.1f} us CPU a call{1 / wall:>12,.0f} calls/s"
    )
    row("in memory", *asyncio.run(measure(lambda: None)), bare)
    kinds: list[tuple[str, str, str | None]] = [("SQLite", str(folder / "micro.db"), None)]
    if postgres:
        kinds.append(("Postgres (client side)", postgres, None))
    if postgres and redis:
        kinds.append(("Postgres and Redis (client side)", postgres, redis))
    for name, url, shared in kinds:
        store = Store.open(url)
        row(
            name,
            *asyncio.run(
                measure(lambda s=store, r=shared: Ledger(s, shared=SharedState.open(r) if r else None))
            ),
            bare,
        )
        store.close()


_FILL = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
INSERT INTO ledger SELECT 1, i, 1 - i % 2, (1 << 40) + i - (1 - i % 2), 1767225600.0 + i * {step}, randomblob(16), i,
 'openai', 'main', 'gpt-' || (i % 5), 'fast', 'k' || (i % 200), 'team' || (i % 20), '{{"app":"x"}}', '1:0,2:0,3:0',
 12300000, CASE i % 2 WHEN 0 THEN 1234500 END, NULL, 1000, 100, 0, 0, 0, 'req_' || i, 200, NULL, randomblob(16) FROM n
"""
_SUMS = """
INSERT INTO spend_daily SELECT CAST(at / 86400 AS INT), team, key_id, target, model, route, COUNT(*),
 SUM(cost_nanos), 0, 0, 0, 0, 0, 0, SUM(input_tokens), SUM(output_tokens), 0, 0, 0, 0
 FROM ledger WHERE kind = 1 GROUP BY 1, 2, 3, 4, 5, 6
"""


def reports(folder: Path, rows: int) -> None:
    """A ledger of so many rows over ninety days, 200 keys of 20 teams, five models."""
    store = Store.open(folder / "rows.db")
    start = time.perf_counter()
    store.write_sync(lambda c: c.exec_driver_sql(_FILL.format(rows=rows, step=90 * 86_400 / rows)))
    store.write_sync(lambda c: c.exec_driver_sql(_SUMS))
    assert store.path is not None
    size = sum(file.stat().st_size for file in folder.glob("rows.db*"))
    print(
        f"{rows:,} rows made in {time.perf_counter() - start:.0f} s, {size / rows:.0f} bytes a row (WAL included)"
    )
    month = (1767225600.0 + 31 * 86_400, 1767225600.0 + 59 * 86_400)
    for name, by, since in (
        ("a month by team, from sums by day", "team", month[0]),
        ("the same from the rows of one day", "team", month[1] - 86_400 + 1),
    ):
        start = time.perf_counter()
        found = store.read_sync(lambda c, b=by, s=since: spend(c, b, since=s, until=month[1]))  # type: ignore[misc]
        took = time.perf_counter() - start
        print(f"{name:<40}{took * 1000:>10.1f} ms  ({len(found.rows)} teams, {found.total.calls:,} calls)")
    store.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--postgres")
    parser.add_argument("--redis")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stores(Path(folder), given.postgres, given.redis)
        reports(Path(folder), given.rows)


if __name__ == "__main__":
    main()
