"""A limit that is given or changed late counts what was spent before it, in its window."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.store.servers import databases, store_url
from tests.store.stores import held
from tidyllm import Context
from tidyllm.access import Actor, Organisations, OrganisationSpec, Role, Teams, TeamSpec
from tidyllm.core import AttemptStarted
from tidyllm.errors import BudgetExceeded
from tidyllm.money import Budget, Ledger
from tidyllm.store import Store

TAGS = {"tidyllm.key": "k", "tidyllm.team": "t"}


@pytest.fixture(params=databases())
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Store]:
    one = Store.open(store_url(request.param, tmp_path))
    yield one
    one.close()


async def spend(ledger: Ledger, *budgets: Budget, cost: Decimal | None = Decimal(3)) -> None:
    attempt = AttemptStarted(Context.new(tags=TAGS, hooks=()), 1, "up", "up", "m")
    entry = await ledger.intent(attempt, Decimal(3), *(budget.account for budget in budgets))
    await entry.settle(cost)
    await ledger.flush()


@pytest.mark.parametrize("window", ["none", "day", "week", "month", "rolling:3600", "rolling:30d"])
@pytest.mark.parametrize("name", ["key:k", "team:t"])
async def test_a_limit_given_late_counts_what_was_spent_before(store: Store, name: str, window: str) -> None:
    ledger = Ledger(store)
    await spend(ledger)
    await spend(ledger, cost=None)
    budget = Budget(10, window, name=name, ledger=ledger, wait_seconds=0)
    with pytest.raises(BudgetExceeded, match=r"has \$6 spent"):
        await budget.reserve(Decimal(5), what="x")
    await spend(ledger, budget)
    assert (await budget.standing()).spent_usd == 9
    assert (await ledger.verify()).problems == []


async def test_another_window_or_limit_forgets_nothing_and_counts_nothing_twice(store: Store) -> None:
    ledger = Ledger(store)
    await spend(ledger, Budget(10, "month", name="key:k", ledger=ledger))
    for limit, window in ((10, "day"), (8, "day"), (8, "rolling:3600"), (9, "month")):
        budget = Budget(limit, window, name="key:k", ledger=ledger, wait_seconds=0)
        with pytest.raises(BudgetExceeded):
            await budget.reserve(Decimal(limit - 2), what="x")
        await (await budget.reserve(Decimal(limit - 3), what="x")).settle(Decimal(0))
    await ledger.flush()
    assert (await ledger.verify()).problems == []


@pytest.mark.parametrize(
    "windows", [("rolling:3600", "month"), ("day", "week"), ("month", "none"), ("day", "rolling:3600")]
)
async def test_what_ends_under_an_earlier_window_frees_nothing_in_the_new_one(
    store: Store, windows: tuple[str, str]
) -> None:
    ledger = Ledger(store)
    before, after = (Budget(9, one, name="key:k", ledger=ledger, wait_seconds=0) for one in windows)
    await spend(ledger, before)
    under_way = [await before.reserve(Decimal(1), what="x") for _ in range(6)]
    await (await after.reserve(Decimal(0), what="x")).settle(Decimal(0))
    await ledger.flush()
    with held(store):
        for entry in under_way:
            entry.close(Decimal(0))
        asked = asyncio.create_task(after.reserve(Decimal(7), what="x"))
        await asyncio.sleep(0.05)
    with pytest.raises(BudgetExceeded, match=r"has \$3 spent"):
        await asked
    await ledger.flush()
    standing = await after.standing()
    assert (standing.spent_usd, standing.reserved_usd) == (3, 0)
    assert (await ledger.verify()).problems == []


async def test_what_others_spent_or_another_day_does_not_count(store: Store) -> None:
    ledger = Ledger(store)
    await spend(ledger)
    for name in ("key:other", "team:k", "org:o"):
        budget = Budget(1, "day", name=name, ledger=ledger, wait_seconds=0)
        await (await budget.reserve(Decimal(1), what="x")).settle(Decimal(0))


@pytest.mark.parametrize("window", ["none", "day", "rolling:3600"])
@pytest.mark.parametrize("name", ["org:o", "gateway"])
async def test_of_an_organisation_its_teams_count_and_of_the_gateway_everything(
    store: Store, name: str, window: str
) -> None:
    ledger, by = Ledger(store), Actor(name="ada", kind="cli", role=Role.ADMIN)
    await Organisations(store).create(OrganisationSpec(name="o"), by=by)
    await Teams(store).create(TeamSpec(name="t", organisation="o"), by=by)
    await spend(ledger)
    budget = Budget(5, window, name=name, ledger=ledger, wait_seconds=0)
    with pytest.raises(BudgetExceeded, match=r"has \$3 spent"):
        await budget.reserve(Decimal(3), what="x")
    assert (await ledger.verify()).problems == []


async def test_the_gateway_has_a_window_late_and_forgets_nothing(store: Store) -> None:
    ledger = Ledger(store)
    await spend(ledger, Budget(None, name="gateway", ledger=ledger))
    budget = Budget(5, "month", name="gateway", ledger=ledger, wait_seconds=0)
    with pytest.raises(BudgetExceeded, match=r"has \$3 spent"):
        await budget.reserve(Decimal(3), what="x")


async def test_of_two_limits_for_one_account_in_one_batch_the_smaller_holds(store: Store) -> None:
    ledger = Ledger(store)
    wide, tight = (Budget(limit, name="key:k", ledger=ledger, wait_seconds=0) for limit in (10, 5))
    got = await asyncio.gather(
        *(one.reserve(Decimal(4), what="x") for one in (wide, tight)), return_exceptions=True
    )
    assert sum(isinstance(one, BudgetExceeded) for one in got) == 1
