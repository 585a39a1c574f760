"""Amounts and counts that no database adds up: only who asks for them is refused, and the books stay exact."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from tests.money.tamper import let_it_change
from tests.store.servers import databases, store_url
from tidyllm import Context
from tidyllm.core import AttemptStarted
from tidyllm.errors import BudgetExceeded
from tidyllm.money import Budget, Ledger
from tidyllm.money.recovery import recover
from tidyllm.money.spend import spend
from tidyllm.store import Store
from tidyllm.store.check import check

BILLION = Decimal(1_000_000_000)


@pytest.fixture(params=databases())
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Store]:
    one = Store.open(store_url(request.param, tmp_path))
    yield one
    one.close()


def attempt(span: int = 1) -> AttemptStarted:
    return AttemptStarted(Context.new(hooks=()), span, "up", "up", "m")


async def test_an_amount_above_all_limits_is_refused_alone(store: Store) -> None:
    ledger = Ledger(store)
    team = Budget(None, name="team:t", ledger=ledger)
    asks = [ledger.intent(attempt(), usd, team.account) for usd in (Decimal(1), Decimal("1e30"), Decimal(2))]
    first, huge, last = await asyncio.gather(*asks, return_exceptions=True)
    assert isinstance(huge, BudgetExceeded)
    assert (huge.name, huge.limit_usd) == ("team:t", "1000000000")
    assert not isinstance(first, BaseException)
    assert not isinstance(last, BaseException)
    assert (await team.standing()).reserved_usd == 3


async def test_an_account_without_a_limit_holds_no_more_than_can_be_added_up(store: Store) -> None:
    ledger = Ledger(store)
    team = Budget(None, name="team:t", ledger=ledger, wait_seconds=0)
    got = await asyncio.gather(*(team.reserve(BILLION, what="x") for _ in range(9)), return_exceptions=True)
    held = [one for one in got if not isinstance(one, BaseException)]
    assert len(held) == 4
    assert all(isinstance(one, BudgetExceeded) for one in got if isinstance(one, BaseException))
    for one in held:
        await one.settle(Decimal(1))
    await ledger.flush()
    assert (await team.standing()).spent_usd == 4
    assert (await ledger.verify()).problems == []


async def test_what_cannot_be_written_fails_alone(store: Store) -> None:
    ledger = Ledger(store)
    settled = await ledger.intent(attempt(), Decimal(1))
    settled.close(Decimal(1))
    spans = (1, 1 << 70, 2, 3)
    got = await asyncio.gather(
        *(ledger.intent(attempt(one), Decimal(1)) for one in spans), return_exceptions=True
    )
    assert [isinstance(one, BaseException) for one in got] == [False, True, False, False]
    await ledger.flush()
    found = await ledger.verify()
    assert (found.problems, found.entries, found.settled) == ([], 4, 1)


def _as_an_earlier_version_left_it(connection: Connection) -> None:
    let_it_change(connection)
    connection.exec_driver_sql("UPDATE budget_counters SET reserved_nanos = 1.6e19")
    connection.exec_driver_sql("UPDATE ledger SET reserved_nanos = 4000000000000000000")


async def test_counters_that_became_inexact_are_told_and_survived(tmp_path: Path) -> None:
    store = Store.open(store_url("sqlite", tmp_path))
    ledger = Ledger(store)
    team = Budget(None, name="team:t", ledger=ledger, wait_seconds=0)
    for _ in range(4):
        await team.reserve(Decimal(1), what="x")
    store.write_sync(_as_an_earlier_version_left_it)
    assert (
        "1 rows of budget_counters hold sums that are no whole numbers"
        in check(store_url("sqlite", tmp_path)).problems
    )
    with pytest.raises(BudgetExceeded):
        await team.reserve(Decimal(1), what="x")

    def crash(connection: Connection) -> int:
        connection.exec_driver_sql("UPDATE ledger_writers SET host = 'elsewhere', heartbeat_at = 0")
        return recover(connection, None)

    assert store.write_sync(crash) == 4
    total: Any = store.read_sync(lambda connection: spend(connection, "team")).total
    assert total.doubts == 4
    await store.aclose()
