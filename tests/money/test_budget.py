"""Budgets of one process: the whole path or nothing, waiting that ends, refusals that say why."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidyllm.errors import BudgetExceeded, ConfigError, PriceUnknown
from tidyllm.money import Budget
from tidyllm.testing import FakeClock


async def refused(budget: Budget, usd: str) -> BudgetExceeded:
    with pytest.raises(BudgetExceeded) as caught:
        await budget.reserve(Decimal(usd), what="up/priced")
    return caught.value


async def test_money_is_set_aside_and_what_was_not_used_comes_back() -> None:
    budget = Budget(1, wait_seconds=0)
    entry = await budget.reserve(Decimal("0.8"), what="x")
    assert (await budget.standing()).left_usd == Decimal("0.2")
    await refused(budget, "0.3")
    await entry.settle(Decimal("0.1"))
    assert (await budget.standing()).spent_usd == Decimal("0.1")
    await budget.reserve(Decimal("0.9"), what="x")


async def test_every_budget_above_must_agree_and_none_is_charged_otherwise() -> None:
    org = Budget(1, name="org:acme", wait_seconds=0)
    team = Budget(5, name="team:a", parent=org, wait_seconds=0)
    other = Budget(5, name="team:b", parent=org, wait_seconds=0)
    await team.reserve(Decimal("0.7"), what="x")
    error = await refused(other, "0.5")
    assert error.name == "org:acme"
    assert (await other.standing()).reserved_usd == 0
    assert (await org.standing()).reserved_usd == Decimal("0.7")


async def test_a_refusal_says_limit_spent_reserved_and_when_the_window_rolls() -> None:
    with FakeClock():  # 32,000 s before midnight
        budget = Budget("1", "day", name="key:k", wait_seconds=0)
        await (await budget.reserve(Decimal("0.5"), what="x")).settle(Decimal("0.4"))
        await budget.reserve(Decimal("0.25"), what="x")
        error = await refused(budget, "0.5")
    assert (error.limit_usd, error.spent_usd, error.reserved_usd) == ("1", "0.4", "0.25")
    assert error.window_ends_at == 1_750_032_000
    assert error.retry_after == 32_000
    assert "up/priced may cost $0.5, but budget 'key:k' of $1 has $0.4 spent and $0.25 reserved" in str(error)


async def test_an_unknown_cost_stays_in_doubt_and_counts_as_spent() -> None:
    budget = Budget(1)
    entry = await budget.reserve(Decimal("0.6"), what="x")
    await entry.settle(None)
    await entry.settle(Decimal(0))
    assert (await budget.standing()).spent_usd == Decimal("0.6")


async def test_an_unknown_price_is_refused_where_there_is_a_limit_and_only_there() -> None:
    root = Budget(None)
    await (await root.reserve(None, what="x")).settle(None)
    with pytest.raises(PriceUnknown, match="catalog") as caught:
        await Budget(1, name="key:k", parent=root).reserve(None, what="up/new")
    assert (caught.value.budget, caught.value.what) == ("key:k", "up/new")


async def test_who_is_blocked_only_by_calls_under_way_waits_for_them() -> None:
    budget = Budget(1)
    entry = await budget.reserve(Decimal("0.9"), what="x")
    waiting = asyncio.create_task(budget.reserve(Decimal("0.5"), what="y"))
    await asyncio.sleep(0)
    assert not waiting.done()
    await entry.settle(Decimal("0.2"))
    await (await waiting).settle(Decimal("0.5"))
    assert (await budget.standing()).spent_usd == Decimal("0.7")


async def test_the_wait_ends() -> None:
    with FakeClock() as fake:
        budget = Budget(1, wait_seconds=5)
        await budget.reserve(Decimal("0.9"), what="x")
        waiting = asyncio.create_task(budget.reserve(Decimal("0.5"), what="y"))
        await asyncio.sleep(0)
        fake.advance(5)
        with pytest.raises(BudgetExceeded):
            await waiting


async def test_whoever_is_cancelled_while_he_waits_takes_no_money() -> None:
    budget = Budget(1)
    entry = await budget.reserve(Decimal("0.9"), what="x")
    waiting = asyncio.create_task(budget.reserve(Decimal("0.5"), what="y"))
    await asyncio.sleep(0)
    await entry.settle(Decimal(0))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(0)
    assert (await budget.standing()).left_usd == 1


async def test_a_window_rolls_and_late_settlements_belong_to_the_old_one() -> None:
    with FakeClock() as fake:
        budget = Budget(1, "day", wait_seconds=0)
        entry = await budget.reserve(Decimal(1), what="x")
        await refused(budget, "0.1")
        fake.advance(86_400)
        await budget.reserve(Decimal(1), what="x")
        await entry.settle(Decimal("0.9"))
        assert (await budget.standing()).reserved_usd == 1
        assert (await budget.standing()).spent_usd == 0


async def test_crossing_the_soft_limit_is_told_once_a_window(caplog: pytest.LogCaptureFixture) -> None:
    budget = Budget(10, soft_usd=1, name="team:t")
    for _ in range(4):
        await (await budget.reserve(Decimal("0.6"), what="x")).settle(Decimal("0.6"))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "'team:t' has crossed its soft limit of $1" in caplog.text


@pytest.mark.parametrize(
    ("options", "field"),
    [({"limit_usd": -1}, "Budget.limit_usd"), ({"limit_usd": float("nan")}, "Budget.limit_usd"),
     ({"limit_usd": "5 EUR"}, "Budget.limit_usd"), ({"limit_usd": 1, "window": "fortnight"}, "Budget.window"),
     ({"limit_usd": 1, "soft_usd": -2}, "Budget.soft_usd"), ({"limit_usd": 1, "soft_usd": 2}, "Budget.soft_usd"),
     ({"limit_usd": 1, "name": ""}, "Budget.name"), ({"limit_usd": 1, "name": "a\nb"}, "Budget.name"),
     ({"limit_usd": 1, "wait_seconds": -1}, "Budget.wait_seconds"),
     ({"limit_usd": 1, "wait_seconds": float("nan")}, "Budget.wait_seconds")],
)  # fmt: skip
def test_wrong_settings_are_refused_with_their_name(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Budget(**options)
    assert caught.value.where == field


# -- random trees and interleavings

USD = st.integers(0, 60).map(lambda cents: Decimal(cents) / 100)
TREES = st.lists(st.tuples(st.integers(0, 5), st.one_of(st.none(), USD)), min_size=1, max_size=6)
CALLS = st.lists(
    st.tuples(st.integers(0, 5), USD, st.integers(0, 100), st.booleans(), st.integers(0, 3)), max_size=40
)


@settings(max_examples=150)
@given(tree=TREES, calls=CALLS)
def test_no_budget_of_any_tree_is_ever_passed_in_any_order(
    tree: list[tuple[int, Decimal | None]], calls: list[tuple[int, Decimal, int, bool, int]]
) -> None:
    asyncio.run(_play(tree, calls))


async def _play(
    tree: list[tuple[int, Decimal | None]], calls: list[tuple[int, Decimal, int, bool, int]]
) -> None:
    budgets: list[Budget] = []
    for place, (above, limit) in enumerate(tree):
        parent = budgets[above % place] if place else None
        budgets.append(Budget(limit, name=f"n{place}", parent=parent, wait_seconds=3600))
    truth = dict.fromkeys(range(len(tree)), Decimal(0))

    async def holds() -> None:
        for budget in budgets:
            one = await budget.standing()
            assert one.limit_usd is None or one.spent_usd + one.reserved_usd <= one.limit_usd
            assert one.reserved_usd >= 0

    async def call(at: int, most: Decimal, share: int, lost: bool, turns: int) -> None:
        budget = budgets[at % len(budgets)]
        try:
            entry = await budget.reserve(most, what="x")
        except BudgetExceeded:
            return
        for _ in range(turns):
            await asyncio.sleep(0)
            await holds()
        cost = (most * share / 100).quantize(Decimal("0.000000001"))
        for account in budget.path:
            truth[int(account.name[1:])] += most if lost else cost
        await entry.settle(None if lost else cost)

    await asyncio.gather(*(call(*one) for one in calls))
    await holds()
    for place, budget in enumerate(budgets):
        one = await budget.standing()
        assert (one.spent_usd, one.reserved_usd) == (truth[place], 0)
