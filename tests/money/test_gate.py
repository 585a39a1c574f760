"""Counters in Redis: they refuse early, are read from the ledger when they are gone, and never have the last word."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.store.servers import databases, redis_url, store_url
from tidyllm.errors import BudgetExceeded
from tidyllm.money import Budget, Ledger
from tidyllm.store import Store
from tidyllm.store.shared import SharedState


@pytest.fixture(params=databases())
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Store]:
    one = Store.open(store_url(request.param, tmp_path))
    yield one
    one.close()


async def drained(ledger: Ledger) -> None:
    """Everything that was settled is on disk, and in Redis."""
    await ledger.flush()
    await asyncio.sleep(0.05)


async def test_two_processes_share_the_counters_and_a_refusal_writes_nothing(store: Store) -> None:
    shared = SharedState.open(redis_url())
    one, two = (Ledger(store, shared=shared) for _ in range(2))
    mine, theirs = (Budget(1, "day", name="org:a", ledger=each, wait_seconds=0) for each in (one, two))
    entry = await mine.reserve(Decimal("0.8"), what="x")
    with pytest.raises(BudgetExceeded) as caught:
        await theirs.reserve(Decimal("0.3"), what="x")
    assert (caught.value.reserved_usd, caught.value.limit_usd) == ("0.8", "1")
    assert caught.value.retry_after is not None
    await entry.settle(Decimal("0.1"))
    await drained(one)
    await (await theirs.reserve(Decimal("0.9"), what="x")).settle(None)
    await drained(two)
    found = await one.verify()
    assert (found.problems, found.entries, found.in_doubt) == ([], 2, 1)
    await shared.aclose()


async def test_counters_that_redis_lost_are_read_from_the_ledger(store: Store) -> None:
    shared = SharedState.open(redis_url())
    ledger = Ledger(store, shared=shared)
    budget = Budget(1, name="org:a", ledger=ledger, wait_seconds=0)
    await (await budget.reserve(Decimal("0.8"), what="x")).settle(Decimal("0.7"))
    await drained(ledger)
    await shared.delete("tidyllm:budget:org:a")
    with pytest.raises(BudgetExceeded) as caught:
        await budget.reserve(Decimal("0.4"), what="x")
    assert caught.value.spent_usd == "0.7"
    await shared.aclose()


async def test_whatever_redis_says_the_ledger_has_the_last_word(store: Store) -> None:
    """Counters that were set to nothing by hand let nobody past the cap, and are right again afterwards."""
    shared = SharedState.open(redis_url())
    ledger = Ledger(store, shared=shared)
    budget = Budget(1, name="org:a", ledger=ledger, wait_seconds=0)
    await (await budget.reserve(Decimal("0.8"), what="x")).settle(Decimal("0.8"))
    await drained(ledger)
    await shared.command("HSET", "tidyllm:budget:org:a", "s:0", 0)
    with pytest.raises(BudgetExceeded):
        await budget.reserve(Decimal("0.4"), what="x")
    assert await shared.command("HGET", "tidyllm:budget:org:a", "s:0") is None
    await (await budget.reserve(Decimal("0.2"), what="x")).settle(Decimal("0.2"))
    await drained(ledger)
    assert (await ledger.verify()).problems == []
    await shared.aclose()


async def test_while_redis_is_away_the_database_decides_alone_and_says_so(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    shared = SharedState.open("redis://127.0.0.1:1/0", patience=0.2)
    ledger = Ledger(store, shared=shared)
    budget = Budget(1, name="org:a", ledger=ledger, wait_seconds=0)
    await (await budget.reserve(Decimal("0.8"), what="x")).settle(Decimal("0.8"))
    await drained(ledger)
    with pytest.raises(BudgetExceeded):
        await budget.reserve(Decimal("0.4"), what="x")
    assert ledger.gate is not None
    assert ledger.gate.degraded
    assert len([one for one in caplog.records if "by the database alone" in one.message]) == 1
    await shared.aclose()


async def fields(shared: SharedState, name: str) -> dict[str, str]:
    found = await shared.command("HGETALL", f"tidyllm:budget:{name}")
    return {found[at].decode(): found[at + 1].decode() for at in range(0, len(found), 2)}


class Counting(SharedState):
    """It counts the scripts that somebody waits for, and those that nobody waits for."""

    waited = posted = 0

    def post(self, *args: Any, **options: Any) -> None:
        self.posted += 1
        super().post(*args, **options)

    async def run(self, *args: Any, **options: Any) -> Any:
        self.waited += 1
        return await super().run(*args, **options)


async def test_far_from_the_limit_nobody_waits_and_everything_is_counted(store: Store) -> None:
    shared = Counting.open(redis_url())
    ledger = Ledger(store, shared=shared)
    budget = Budget(100, name="org:a", ledger=ledger, wait_seconds=0)
    first = await budget.reserve(Decimal(1), what="x")  # tells how much is free
    shared.waited = 0
    entries = [await budget.reserve(Decimal(1), what="x") for _ in range(20)]
    assert shared.waited == 0
    assert (await fields(shared, "org:a"))["r:0"] == str(21 * 10**9)
    for entry in (first, *entries):
        await entry.settle(Decimal("0.5"))
    await drained(ledger)
    told = await fields(shared, "org:a")
    assert (told["r:0"], told["s:0"]) == ("0", str(int(10.5 * 10**9)))
    assert (await ledger.verify()).problems == []
    await shared.aclose()


async def test_calls_of_one_turn_are_counted_by_one_script_and_each_comes_out_right(store: Store) -> None:
    shared = Counting.open(redis_url())
    ledger = Ledger(store, shared=shared)
    team = Budget(100, name="team:t", ledger=ledger, wait_seconds=0)
    keys = [Budget(50, name=f"key:{at}", parent=team, wait_seconds=0) for at in range(2)]
    for key in keys:
        await (await key.reserve(Decimal(1), what="x")).settle(Decimal(1))
    await drained(ledger)
    shared.waited = shared.posted = 0
    entries = await asyncio.gather(*(keys[at % 2].reserve(Decimal(1), what="x") for at in range(20)))
    assert (await fields(shared, "key:0"))["r:0"] == str(10 * 10**9)
    for entry in entries[:16]:
        entry.close(Decimal("0.25"))
    await ledger.flush()
    assert (shared.waited, shared.posted) == (0, 4)  # two keys: added, then given back
    assert (await fields(shared, "key:1"))["r:0"] == str(2 * 10**9)
    assert (await fields(shared, "key:1"))["s:0"] == str(3 * 10**9)
    told = await fields(shared, "team:t")
    assert (told["r:0"], told["s:0"]) == (str(4 * 10**9), str(6 * 10**9))
    for entry in entries[16:]:
        entry.close(Decimal("0.25"))
    await drained(ledger)
    assert (await ledger.verify()).problems == []
    await shared.aclose()


async def test_who_waits_comes_after_what_was_asked_before_him_in_the_same_turn(store: Store) -> None:
    shared = SharedState.open(redis_url())
    ledger, other = (Ledger(store, shared=shared) for _ in range(2))
    team, theirs = (Budget(10, name="team:t", ledger=one, wait_seconds=0) for one in (ledger, other))
    known, new = (Budget(50, name=f"key:{name}", parent=team, wait_seconds=0) for name in ("known", "new"))
    for budget in (known, Budget(50, name="key:new", parent=theirs, wait_seconds=0)):
        await (await budget.reserve(Decimal(1), what="x")).settle(Decimal(0))
    await drained(ledger)
    await drained(other)
    asked = [known.reserve(Decimal(2), what="x") for _ in range(3)]  # far from the limit: nobody waits
    done = await asyncio.gather(*asked, new.reserve(Decimal(5), what="x"), return_exceptions=True)
    assert isinstance(done[3], BudgetExceeded)
    assert done[3].reserved_usd == "6"
    # Redis said so: after the database's refusal its counters would be gone.
    assert (await fields(shared, "team:t"))["r:0"] == str(6 * 10**9)
    for entry in done[:3]:
        assert not isinstance(entry, BaseException)
        await entry.settle(Decimal(1))
    await drained(ledger)
    await shared.aclose()


async def test_what_is_given_back_in_the_turn_of_the_end_arrives_and_leaves_nothing_open(
    store: Store,
) -> None:
    url = redis_url()
    shared, other = SharedState.open(url), SharedState.open(url)
    ledger = Ledger(store, shared=shared)
    budget = Budget(100, name="org:a", ledger=ledger, wait_seconds=0)
    entry = await budget.reserve(Decimal(2), what="x")
    entry.close(Decimal(1))
    await shared.aclose()
    told = await fields(other, "org:a")
    assert (told["r:0"], told["s:0"]) == ("0", str(10**9))
    await ledger.flush()
    await other.aclose()


async def test_what_cost_more_than_nothing_though_nothing_was_set_aside_counts(store: Store) -> None:
    shared = SharedState.open(redis_url())
    ledger = Ledger(store, shared=shared)
    budget = Budget(100, name="org:a", ledger=ledger, wait_seconds=0)
    await (await budget.reserve(Decimal(0), what="x")).settle(Decimal(3))
    await drained(ledger)
    assert (await fields(shared, "org:a"))["s:0"] == str(3 * 10**9)
    await shared.aclose()


@pytest.mark.parametrize(
    "windows", [("rolling:3600", "month"), ("day", "week"), ("month", "none"), ("none", "day")]
)
async def test_slots_of_an_earlier_window_do_not_count_in_redis(
    store: Store, windows: tuple[str, str]
) -> None:
    shared = SharedState.open(redis_url())
    ledger = Ledger(store, shared=shared)
    before, after = (Budget(9, one, name="key:k", ledger=ledger, wait_seconds=0) for one in windows)
    await (await before.reserve(Decimal(5), what="x")).settle(Decimal(5))
    await drained(ledger)
    # With both slots 10 would be spent already.
    await (await after.reserve(Decimal(4), what="x")).settle(Decimal(0))
    await drained(ledger)
    await shared.delete("tidyllm:budget:key:k")  # read anew from the database
    await (await after.reserve(Decimal(4), what="x")).settle(Decimal(0))
    await drained(ledger)
    assert (await ledger.verify()).problems == []
    await shared.aclose()


async def test_near_the_limit_everybody_waits_for_the_counters(store: Store) -> None:
    shared = SharedState.open(redis_url())
    one, two = (Ledger(store, shared=shared) for _ in range(2))
    mine, theirs = (Budget(10, name="org:a", ledger=each, wait_seconds=0) for each in (one, two))
    given = [await mine.reserve(Decimal(1), what="x") for _ in range(3)]
    given += [await theirs.reserve(Decimal(1), what="x") for _ in range(7)]
    for budget in (mine, theirs):
        with pytest.raises(BudgetExceeded):
            await budget.reserve(Decimal(1), what="x")
    for entry in given:
        await entry.settle(Decimal(1))
    await drained(one)
    await drained(two)
    assert (await one.verify()).problems == []
    await shared.aclose()


async def test_counters_that_vanish_while_nobody_waits_are_read_again(store: Store) -> None:
    shared = SharedState.open(redis_url())
    ledger = Ledger(store, shared=shared)
    budget = Budget(100, name="org:a", ledger=ledger, wait_seconds=0)
    before = await budget.reserve(Decimal(1), what="x")
    await shared.delete("tidyllm:budget:org:a")
    unheard = await budget.reserve(Decimal(2), what="x")
    assert await fields(shared, "org:a") == {}  # nobody waited, and nothing was added
    after = await budget.reserve(Decimal(3), what="x")
    assert (await fields(shared, "org:a"))["r:0"] == str(6 * 10**9)  # as the ledger says, and its own
    for entry in (before, unheard, after):
        await entry.settle(Decimal(1))
    await drained(ledger)
    await shared.aclose()


async def test_a_redis_that_goes_away_while_nobody_waits_is_noticed(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    shared = SharedState.open(redis_url(), patience=0.2)
    ledger = Ledger(store, shared=shared)
    assert ledger.gate is not None
    budget = Budget(100, name="org:a", ledger=ledger, wait_seconds=0)
    entries = [await budget.reserve(Decimal(1), what="x")]
    await shared.command("CLIENT", "PAUSE", 700)
    entries += [await budget.reserve(Decimal(1), what="x")]
    await asyncio.sleep(0.3)
    entries += [await budget.reserve(Decimal(1), what="x")]
    assert ledger.gate.degraded
    assert "by the database alone" in caplog.text
    for entry in entries:
        await entry.settle(Decimal(1))
    await ledger.flush()
    assert (await ledger.verify()).problems == []
    await shared.aclose()


async def test_who_settles_before_redis_has_answered_takes_nothing_from_others(store: Store) -> None:
    url = redis_url()
    shared, other = SharedState.open(url), SharedState.open(url)
    ledger = Ledger(store, shared=shared)
    budget = Budget(10, name="org:a", ledger=ledger, wait_seconds=0)
    await (await budget.reserve(Decimal("0.1"), what="x")).settle(Decimal("0.1"))
    await drained(ledger)
    # What another process has set aside just now: this one does not know of it yet.
    await other.command("HINCRBY", "tidyllm:budget:org:a", "r:0", 9_500_000_000)
    await other.command("CLIENT", "PAUSE", 300, "ALL")
    await (await budget.reserve(Decimal(1), what="x")).settle(Decimal(1))
    await ledger.flush()
    assert (await fields(other, "org:a"))["r:0"] == "9500000000"
    await shared.aclose()
    await other.aclose()


async def test_accounts_without_a_limit_are_no_matter_of_redis(store: Store) -> None:
    shared = SharedState.open(redis_url())
    ledger = Ledger(store, shared=shared)
    budget = Budget(None, name="org:a", ledger=ledger)
    await (await budget.reserve(Decimal(1), what="x")).settle(Decimal(1))
    await drained(ledger)
    assert await fields(shared, "org:a") == {}
    await shared.aclose()
