"""Counters in Redis that were lost: rebuilt from what the ledger has of the last minute."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from tests.access.places import both, store_in
from tests.money.tamper import let_it_change
from tests.store.servers import redis_url
from tidyllm import Context
from tidyllm.access import Limits, RedisLimits, Subject
from tidyllm.access.recent import used_lately
from tidyllm.core import AttemptFinished, AttemptStarted
from tidyllm.errors import LimitExceeded
from tidyllm.money import Ledger
from tidyllm.store import Store
from tidyllm.store.shared import SharedState

KEY, TEAM, OTHER = Subject("key:k", 5, 1000), Subject("team:t", 5, 1000), Subject("key:other", 5, 1000)
TAGS = {"tidyllm.key": "k", "tidyllm.team": "t"}


async def call(ledger: Ledger, *, tokens: int | None = 100) -> None:
    """One call under the key; without tokens it is still under way."""
    attempt = AttemptStarted(Context.new(tags=TAGS, hooks=()), 1, "up", "up", "m")
    entry = await ledger.intent(attempt, Decimal(0))
    if tokens is not None:
        used = {"input_tokens": tokens - 1, "output_tokens": 1}
        ended = AttemptFinished(attempt.ctx, 1, "chat", "up", "up", "m", 0.0, 1.0, attributes=used)
        entry.close(Decimal(0), ended)
    await ledger.flush()


@asynccontextmanager
async def redis_beside(store: Store) -> AsyncGenerator[tuple[SharedState, Limits]]:
    shared = SharedState.open(redis_url())
    yield shared, Limits(RedisLimits(shared, store))
    await shared.aclose()


@both
async def test_a_redis_that_was_flushed_knows_again_what_was_used(dialect: str, tmp_path: Path) -> None:
    async with store_in(tmp_path, dialect) as store, redis_beside(store) as (shared, limits):
        ledger = Ledger(store)
        for tokens in (100, 200, None):
            await (await limits.enter_as((KEY, TEAM))).leave()
            await call(ledger, tokens=tokens)
        await shared.command("FLUSHDB")
        for subject in (KEY, TEAM):
            with pytest.raises(LimitExceeded, match="300 are taken"):
                await limits.enter_as((subject,), tokens=701)
        for _ in range(2):
            await (await limits.enter_as((KEY, TEAM), tokens=10)).leave()
        with pytest.raises(LimitExceeded, match="5 are taken"):
            await limits.enter_as((TEAM,))
        for _ in range(5):
            await (await limits.enter_as((OTHER,), tokens=200)).leave()


async def test_tokens_of_a_call_under_way_count_when_it_ends(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store, redis_beside(store) as (shared, limits):
        ledger = Ledger(store)
        await call(ledger, tokens=300)
        lease = await limits.enter_as((KEY,), tokens=400)
        await shared.command("FLUSHDB")
        with pytest.raises(LimitExceeded, match="300 are taken"):
            await limits.enter_as((KEY,), tokens=701)
        lease.used = 250
        await lease.leave()
        with pytest.raises(LimitExceeded, match="550 are taken"):
            await limits.enter_as((KEY,), tokens=451)
        async with await limits.enter_as((KEY,), tokens=450) as late:
            late.used = 50
        with pytest.raises(LimitExceeded, match="600 are taken"):
            await limits.enter_as((KEY,), tokens=401)


async def test_all_who_come_at_once_to_an_empty_redis_are_counted_on_the_same_counters(
    tmp_path: Path,
) -> None:
    async with store_in(tmp_path) as store, redis_beside(store) as (shared, limits):
        for _ in range(3):
            await call(Ledger(store))
        both_workers = [limits, Limits(RedisLimits(shared, store))]
        got = await asyncio.gather(
            *(both_workers[n % 2].enter_as((KEY,)) for n in range(20)), return_exceptions=True
        )
        assert sum(isinstance(one, LimitExceeded) for one in got) == 18


async def test_of_a_long_ledger_only_the_last_minute_counts(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store, redis_beside(store) as (_, limits):
        ledger = Ledger(store)
        for _ in range(9):
            await call(ledger)
        await store.write(let_it_change)
        await store.write(
            lambda connection: connection.exec_driver_sql("UPDATE ledger SET at = at - 62 WHERE seq < 15")
        )
        with pytest.raises(LimitExceeded, match="200 are taken"):
            await limits.enter_as((KEY,), tokens=801)


async def test_on_sqlite_no_row_is_looked_for_among_all_others(tmp_path: Path) -> None:
    """Each intent finds its settlement by the index: without it a restart under load would take minutes."""
    plans: list[str] = []

    def explain(_: object, cursor: Any, statement: str, values: Any, *__: object) -> None:
        cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values)
        plans.extend(str(row[3]) for row in cursor.fetchall())

    def read(connection: Connection) -> None:
        event.listen(connection, "before_cursor_execute", explain)
        used_lately(connection)

    async with store_in(tmp_path) as store:
        ledger = Ledger(store)
        await call(ledger)
        store.read_sync(read)
        await ledger.aclose()
    assert any("ix_ledger_" in plan for plan in plans), plans
    assert [plan for plan in plans if plan.startswith("SCAN") and "ledger_writers" not in plan] == []
