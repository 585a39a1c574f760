"""The ledger on both databases: intents before calls, settlements after, windows, doubts, crashes, tampering."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from tests.models.raw_server import serve
from tests.models.upstreams import CHAT, json_body, model_at, play
from tests.money.tamper import let_it_change
from tests.store.servers import databases, store_url
from tests.store.stores import behind_a_door, held
from tidyllm import Context, Fallback, step
from tidyllm.core import AttemptStarted
from tidyllm.errors import BudgetExceeded, ConfigError, ModelError, PriceUnknown, StoreDown, StoreError
from tidyllm.money import Budget, Budgeted, Ledger
from tidyllm.money.budget import Stacked
from tidyllm.money.posting import Batch, Posted
from tidyllm.money.recovery import open_entries
from tidyllm.store import Store
from tidyllm.testing import FakeClock


@pytest.fixture(params=databases())
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Store]:
    one = Store.open(store_url(request.param, tmp_path))
    yield one
    one.close()


@pytest.fixture
def memory() -> Generator[Store]:
    one = Store.open("sqlite://")
    yield one
    one.close()


@asynccontextmanager
async def ledger_of(store: Store, **options: Any) -> AsyncGenerator[Ledger]:
    """A ledger that is whole when the block ends."""
    ledger = Ledger(store, **options)
    yield ledger
    await ledger.flush()
    assert (await ledger.verify()).problems == []


def rows(store: Store, columns: str = "kind, cost_nanos, error") -> list[tuple[Any, ...]]:
    def read(connection: Connection) -> list[tuple[Any, ...]]:
        return [
            tuple(row)
            for row in connection.exec_driver_sql(f"SELECT {columns} FROM ledger ORDER BY writer, seq")
        ]

    return store.read_sync(read)


async def test_the_intent_is_on_disk_before_the_provider_is_called(store: Store) -> None:
    async with ledger_of(store) as ledger:
        budget = Budget(1, "month", name="key:k", ledger=ledger)
        seen: list[int] = []

        async def handler(connection: Any) -> None:
            await connection.request()
            seen.append(len(rows(store)))
            await connection.write(json_body(CHAT, "x-request-id: req-7"))

        async with serve(handler) as server:
            await Budgeted(model_at(server), budget)("Hi")
    assert seen == [1]
    assert rows(store) == [(0, None, None), (1, 2_000_000, None)]


async def test_a_row_says_who_asked_whom_and_what_it_took(store: Store) -> None:
    async with ledger_of(store) as ledger:
        team = Budget(None, name="team:search", ledger=ledger)
        budget = Budget(1, name="key:k-1", parent=team)
        async with serve(play(json_body(CHAT, "x-request-id: req-7"))) as server:
            ctx = Context.new(tags={"app": "x"}, hooks=())
            await Budgeted(model_at(server), budget).named("fast")("Hi", ctx)
    intent, end = rows(
        store,
        "run_id, provider, target, model, route, key_id, team, tags, input_tokens, output_tokens, request_id, status",
    )
    assert (bytes(intent[0]).hex(), *intent[1:8]) == (
        ctx.run_id, "openai", "up", "priced", "fast", "k-1", "search", '{"app":"x"}'
    )  # fmt: skip
    assert end[8:] == (1000, 100, "req-7", 200)


async def test_each_target_of_a_fallback_is_an_entry_of_its_own(store: Store) -> None:
    async with ledger_of(store) as ledger:
        budget = Budget(1, name="key:k", ledger=ledger)
        async with serve(
            play(json_body({"error": {"message": "no"}}, status="500 Oh"), json_body(CHAT))
        ) as server:
            await Budgeted(Fallback(model_at(server), model_at(server)), budget)("Hi")
            assert (await budget.standing()).spent_usd == Decimal("0.002")
    assert sorted(row[1:] for row in rows(store) if row[0] == 1) == [(0, "Overloaded"), (2_000_000, None)]


async def test_what_may_have_been_billed_stays_in_doubt(store: Store) -> None:
    async with ledger_of(store) as ledger:
        budget = Budget(1, name="key:k", ledger=ledger)

        async def hangs_up(connection: Any) -> None:
            await connection.request()

        async with serve(hangs_up) as server:
            with pytest.raises(ModelError):
                await Budgeted(model_at(server), budget)("Hi")
        standing = await budget.standing()
    assert standing.spent_usd > 0
    assert standing.reserved_usd == 0
    assert rows(store)[-1] == (2, None, "Unreachable")


async def test_what_was_never_sent_is_no_call(store: Store) -> None:
    async with ledger_of(store) as ledger:
        entry = await Budget(1, name="key:k", ledger=ledger).reserve(Decimal("0.5"), what="x")
        entry.close(Decimal(0), None)
    assert rows(store)[-1] == (1, 0, "NotSent")


async def test_two_ledgers_on_one_store_share_every_budget(store: Store) -> None:
    async with ledger_of(store) as one, ledger_of(store) as two:
        mine = Budget(1, name="org:acme", ledger=one, wait_seconds=0)
        theirs = Budget(1, name="org:acme", ledger=two, wait_seconds=0)
        entry = await mine.reserve(Decimal("0.8"), what="x")
        with pytest.raises(BudgetExceeded) as caught:
            await theirs.reserve(Decimal("0.3"), what="x")
        assert (caught.value.limit_usd, caught.value.reserved_usd) == ("1", "0.8")
        await entry.settle(Decimal("0.1"))
        await one.flush()
        await (await theirs.reserve(Decimal("0.9"), what="x")).settle(Decimal(0))


async def test_whoever_waits_is_woken_by_what_another_process_settles(store: Store) -> None:
    async with ledger_of(store) as one, ledger_of(store) as two:
        mine, theirs = (Budget(1, name="org:acme", ledger=each) for each in (one, two))
        entry = await mine.reserve(Decimal("0.8"), what="x")
        waiting = asyncio.create_task(theirs.reserve(Decimal("0.3"), what="x"))
        await asyncio.sleep(0.06)
        assert not waiting.done()
        await entry.settle(Decimal("0.1"))
        await (await waiting).settle(Decimal("0.3"))


async def test_whoever_was_cancelled_gives_the_money_back(store: Store) -> None:
    async with ledger_of(store) as ledger:
        budget = Budget(1, name="key:k", ledger=ledger)
        tasks = [asyncio.create_task(budget.reserve(Decimal("0.1"), what="x")) for _ in range(5)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await ledger.flush()
        await asyncio.sleep(0.05)
        await ledger.flush()
        assert (await budget.standing()).left_usd == 1


async def test_an_unknown_price_is_refused_and_nothing_is_written(store: Store) -> None:
    async with ledger_of(store) as ledger:
        budget = Budget(1, name="key:k", ledger=ledger)
        async with serve(play(json_body(CHAT))) as server:
            with pytest.raises(PriceUnknown, match="key:k"):
                await Budgeted(model_at(server, name="unheard-of"), budget)("Hi")
            assert not server.requests
    assert rows(store) == []


async def test_without_a_limit_a_call_of_unknown_price_is_written_down_as_unpriced(store: Store) -> None:
    async with ledger_of(store) as ledger, serve(play(json_body(CHAT))) as server:
        await Budgeted(model_at(server, name="unheard-of"), Budget(None, name="org:a", ledger=ledger))("Hi")
    assert rows(store, "kind, reserved_nanos, cost_nanos, input_tokens") == [
        (0, None, None, None),
        (1, None, None, 1000),
    ]


async def test_a_dead_writers_open_calls_are_in_doubt_and_it_can_settle_them_after_all(store: Store) -> None:
    """A process that was only slow finds itself replaced, and goes on under another number."""
    async with ledger_of(store) as slow, ledger_of(store) as other:
        budget = Budget(1, name="key:k", ledger=slow)
        entry = await budget.reserve(Decimal("0.4"), what="x")
        await asyncio.sleep(0.02)
        store.write_sync(
            lambda c: c.exec_driver_sql("UPDATE ledger_writers SET host = 'gone', heartbeat_at = 5")
        )
        assert await other.recover() == 1
        assert await other.recover() == 0
        standing = await budget.standing()
        assert (standing.spent_usd, standing.reserved_usd) == (Decimal("0.4"), 0)
        await entry.settle(Decimal("0.1"))
        await slow.flush()
        standing = await budget.standing()
        assert (standing.spent_usd, standing.reserved_usd) == (Decimal("0.1"), 0)
        await (await budget.reserve(Decimal("0.9"), what="x")).settle(Decimal("0.2"))
    assert [row[0] for row in rows(store)].count(1) == 2


async def test_a_ledger_that_signs_off_leaves_nothing_open(store: Store) -> None:
    async with ledger_of(store) as ledger:
        await Budget(1, name="key:k", ledger=ledger).reserve(Decimal("0.4"), what="x")
        await ledger.aclose()
        found = await ledger.verify()
    assert (found.open, found.in_doubt) == (0, 1)


@pytest.mark.parametrize("change", ["UPDATE ledger SET cost_nanos = 1", "DELETE FROM ledger"])
async def test_the_database_itself_refuses_to_change_the_ledger(store: Store, change: str) -> None:
    async with ledger_of(store) as ledger:
        await (await Budget(1, name="key:k", ledger=ledger).reserve(Decimal("0.1"), what="x")).settle(
            Decimal("0.05")
        )
        await ledger.flush()
        with pytest.raises(StoreError, match="the ledger is append-only"):
            await store.write(lambda connection: connection.exec_driver_sql(change))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("DELETE FROM ledger WHERE seq = 2", "rows 2 to 2 are missing"),
        ("DELETE FROM ledger WHERE seq >= 4", "its last row is 3, it wrote 6"),
        ("UPDATE ledger SET cost_nanos = 1 WHERE kind = 1 AND seq = 2", "row 2 was changed"),
        ("UPDATE ledger SET team = 'other' WHERE seq = 3", "row 3 was changed"),
        ("UPDATE budget_counters SET spent_nanos = 0", "counters say"),
        ("DELETE FROM ledger_writers", "is not in the list of writers"),
        ("UPDATE spend_daily SET cost_nanos = 0", "the sums by day say"),
    ],
)
async def test_whatever_is_missing_or_was_changed_shows(store: Store, change: str, says: str) -> None:
    ledger = Ledger(store)
    budget = Budget(1, name="key:k", ledger=ledger)
    for _ in range(3):
        await (await budget.reserve(Decimal("0.1"), what="x")).settle(Decimal("0.05"))
        await ledger.flush()
    assert (await ledger.verify()).whole
    store.write_sync(let_it_change)
    store.write_sync(lambda connection: connection.exec_driver_sql(change))
    assert any(says in problem for problem in (await ledger.verify()).problems)


async def test_rows_beside_each_other_that_were_changed_are_one_line_of_at_most_twenty(memory: Store) -> None:
    ledger = Ledger(memory)
    for _ in range(60):
        await (await Budget(1, name="key:k", ledger=ledger).reserve(Decimal("0.1"), what="x")).settle(
            Decimal(0)
        )
    memory.write_sync(let_it_change)
    changes = "UPDATE ledger SET model = 'other' WHERE seq BETWEEN 5 AND 41 OR seq = 50"
    memory.write_sync(lambda connection: connection.exec_driver_sql(changes))
    assert (await ledger.verify()).problems == [
        "writer 1: rows 5 to 41 were changed, or do not follow the ones before them",
        "writer 1: row 50 was changed, or does not follow the one before it",
    ]
    memory.write_sync(
        lambda connection: connection.exec_driver_sql(
            "UPDATE ledger SET model = 'new' WHERE seq > 50 AND seq % 2 = 0"
        )
    )
    found = await ledger.verify()
    assert (len(found.problems), found.whole) == (20, False)
    assert found.more_problems > 0


async def test_a_hit_is_written_down_with_what_it_saved(store: Store) -> None:
    async with ledger_of(store) as ledger:
        ledger.hit(Context.new(), target="up", model="priced", saved_usd=Decimal("0.002"))
    assert rows(store, "kind, saved_nanos, model") == [(3, 2_000_000, "priced")]


class Watched(Ledger):
    """A ledger that remembers how many ends and how many beginnings were written together."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.batches: list[tuple[int, int]] = []

    def committed(self, batch: Batch, posted: Posted) -> None:
        self.batches.append((len(batch.closes), len(batch.asks)))
        super().committed(batch, posted)


async def test_what_ends_goes_along_with_what_begins_next(store: Store) -> None:
    ledger = Watched(store)
    budget = Budget(100, name="key:k", ledger=ledger)
    first = await asyncio.gather(*(budget.reserve(Decimal(1), what="x") for _ in range(8)))
    with held(store):
        for entry in first:
            entry.close(Decimal(1))
        second = [asyncio.create_task(budget.reserve(Decimal(1), what="x")) for _ in range(8)]
        await asyncio.sleep(0.05)
    for entry in await asyncio.gather(*second):
        entry.close(Decimal(1))
    await ledger.flush()
    assert ledger.batches == [(0, 8), (8, 8), (8, 0)]
    assert (await budget.standing()).spent_usd == 16
    assert (await ledger.verify()).problems == []


async def test_a_flush_waits_for_what_was_closed_though_more_is_asked_behind_it(store: Store) -> None:
    ledger = Watched(store)
    budget = Budget(100, name="key:k", ledger=ledger)
    entry = await budget.reserve(Decimal(1), what="x")
    with held(store):
        entry.close(Decimal(1))
        flushed = asyncio.create_task(ledger.flush())
        await asyncio.sleep(0.05)
        asked = asyncio.create_task(budget.reserve(Decimal(1), what="x"))
        await asyncio.sleep(0.05)
    await flushed
    assert [kind for kind, *_ in rows(store)].count(1) == 1
    (await asked).close(Decimal(0))
    await ledger.flush()
    assert (await ledger.verify()).problems == []


async def refuse_the_model_bad(store: Store) -> None:
    """From now on the database takes no intent of the model `bad`."""
    fails = "BEFORE INSERT ON ledger"
    if store.dialect == "sqlite":
        makes = f"CREATE TRIGGER fails {fails} WHEN NEW.model = 'bad' BEGIN SELECT RAISE(ABORT, 'no'); END"
    else:
        makes = (
            "CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN IF NEW.model = 'bad' THEN RAISE EXCEPTION 'no' USING ERRCODE = '22000'; END IF;"
            f" RETURN NEW; END $$; CREATE TRIGGER fails {fails} FOR EACH ROW EXECUTE FUNCTION fails()"
        )
    await store.write(lambda c: bool(c.exec_driver_sql(makes)))


async def test_a_flush_waits_for_what_a_batch_at_fault_held(store: Store) -> None:
    ledger = Ledger(store)
    attempts = [AttemptStarted(Context.new(hooks=()), 1, "p", "t", model) for model in ("good", "bad")]
    entries = [await ledger.intent(attempts[0], Decimal(1)) for _ in range(3)]
    await refuse_the_model_bad(store)
    with held(store):
        for entry in entries:
            entry.close(Decimal(1))
        asked = asyncio.create_task(ledger.intent(attempts[1], Decimal(1)))
        await asyncio.sleep(0.05)
        flushed = asyncio.create_task(ledger.flush())
        await asyncio.sleep(0.05)
    await flushed
    assert [kind for kind, *_ in rows(store)] == [0, 0, 0, 1, 1, 1]
    with pytest.raises(StoreError, match="no"):
        await asked
    assert (await ledger.verify()).problems == []


async def test_what_is_written_apart_hides_no_open_call_from_whoever_recovers(store: Store) -> None:
    ledger = Ledger(store)
    ledger.hit(Context.new(), target="up", model="m", saved_usd=None)
    await ledger.flush()
    await refuse_the_model_bad(store)
    attempts = [
        AttemptStarted(Context.new(hooks=()), 1, "p", "t", model) for model in ("good", "bad", "good")
    ]
    with held(store):
        asked = [asyncio.create_task(ledger.intent(attempt, Decimal(1))) for attempt in attempts]
        await asyncio.sleep(0.05)
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(one, StoreError) for one in done] == [False, True, False]
    found = await store.write(lambda c: len(open_entries(c, ledger.writer or 0)))
    assert found == 2
    for one in (done[0], done[2]):
        assert not isinstance(one, BaseException)
        one.close(Decimal(0))
    await ledger.flush()
    assert (await ledger.verify()).problems == []


async def spent(budget: Budget) -> Decimal:
    """What is spent; 0 while the database is away."""
    try:
        return (await budget.standing()).spent_usd
    except StoreDown:
        return Decimal(0)


@pytest.mark.skipif("postgresql" not in databases(), reason="not chosen")
async def test_a_batch_whose_commit_nobody_heard_of_settles_once_and_keeps_no_money() -> None:
    with behind_a_door(patience=0.5) as (door, store):
        ledger = Watched(store)
        budget = Budget(100, name="key:k", ledger=ledger)
        entries = await asyncio.gather(*(budget.reserve(Decimal(5), what="x") for _ in range(3)))
        ledger.hit(Context.new(), target="up", model="m", saved_usd=Decimal("0.5"))
        await ledger.flush()
        with held(store):
            await asyncio.sleep(0.1)  # the message of what holds is on its way
            for entry in entries:
                entry.close(Decimal(3))
            ledger.hit(Context.new(), target="up", model="m", saved_usd=Decimal("0.5"))
            asked = asyncio.create_task(budget.reserve(Decimal(1), what="x"))
            await asyncio.sleep(0.1)
            door.cut_after(rb"\\x", shut=True)  # the rows, behind the COMMIT that waits for them
        with pytest.raises(StoreDown):
            await asked
        door.shut = False
        while await spent(budget) == 0:
            await asyncio.sleep(0.05)
        await ledger.flush()
        standing = await budget.standing()
        assert (door.cuts, standing.spent_usd, standing.reserved_usd) == (1, 9, 0)
        assert [kind for kind, *_ in rows(store)].count(3) == 2
        assert (await ledger.verify()).problems == []


@pytest.mark.skipif("postgresql" not in databases(), reason="not chosen")
async def test_whoever_was_told_that_the_database_is_away_does_not_go_on_asking() -> None:
    with behind_a_door(patience=0.5) as (door, store):
        ledger = Watched(store)
        budget = Budget(10, name="key:k", ledger=ledger, wait_seconds=60)
        first = await budget.reserve(Decimal(9), what="x")
        with held(store):
            await asyncio.sleep(0.1)
            first.close(Decimal(1))
            asked = [asyncio.create_task(budget.reserve(Decimal(8), what="x")) for _ in range(2)]
            await asyncio.sleep(0.1)
            door.cut_after(rb"\\x", shut=True)
        told = await asyncio.gather(
            *asked, return_exceptions=True
        )  # one has its money, the other waits for it
        assert [type(one) for one in told] == [StoreDown, StoreDown]
        door.shut = False
        while await spent(budget) == 0:
            await asyncio.sleep(0.05)
        await ledger.flush()
        assert (await budget.standing()).left_usd == 9
        written = len(rows(store))
        await asyncio.sleep(0.3)
        await ledger.flush()
        assert (len(rows(store)), door.cuts) == (written, 1)
        assert (await ledger.verify()).problems == []


async def test_odd_texts_and_counts_are_written_harmlessly(store: Store) -> None:
    odd = "a'; DROP TABLE ledger; --\0\ud800\n" * 30
    async with ledger_of(store) as ledger:
        ctx = Context.new(tags={odd: odd, "tidyllm.key": odd}, hooks=())
        entry = await ledger.intent(AttemptStarted(ctx, 2**64 - 1, odd, odd, odd), Decimal(1))
        entry.close(Decimal("Infinity"), None)
    assert len(rows(store)) == 2


# -- trees and the context


async def test_a_budget_in_the_context_stays_in_force(memory: Store) -> None:
    ledger = Ledger(memory)
    outer = Budget("0.0001", name="key:k", ledger=ledger, wait_seconds=0)
    for inner in (Budget(5, name="run:1", ledger=ledger), Budget(5)):
        async with serve(play(json_body(CHAT))) as server:
            with pytest.raises(BudgetExceeded) as caught:
                await Budgeted(model_at(server), inner)("Hi", Context.new(budget=outer, hooks=()))
            assert caught.value.name == "key:k"
            assert (await inner.standing()).left_usd == 5


async def test_the_wrapper_only_changes_the_context(memory: Store) -> None:
    ledger = Ledger(memory)
    outer, inner = Budget(5, name="org:a", ledger=ledger), Budget(1, name="run:1", ledger=ledger)

    @step
    async def look(x: int, ctx: Context) -> str:
        return repr(ctx.budget)

    wrapped: Budgeted[int, str] = Budgeted(Budgeted(look, inner), outer)
    assert await wrapped(1) == "<Budget run:1 < org:a>"
    assert wrapped.name == "look"
    assert isinstance(Budget(1).under(outer), Stacked)
    assert inner.under(inner) is inner


async def test_both_places_are_settled_with_what_it_cost(memory: Store) -> None:
    ledger = Ledger(memory)
    outer, inner = Budget(5, name="key:k", ledger=ledger), Budget(1)
    async with serve(play(json_body(CHAT))) as server:
        await Budgeted(model_at(server), inner)("Hi", Context.new(budget=outer, hooks=()))
    await ledger.flush()
    assert (await inner.standing()).spent_usd == (await outer.standing()).spent_usd == Decimal("0.002")


def test_budgets_that_cannot_be_kept_together_are_refused(memory: Store) -> None:
    ledger = Ledger(memory)
    with pytest.raises(ConfigError, match="name"):
        Budget(1, ledger=ledger)
    with pytest.raises(ConfigError, match="different places"):
        Budget(1, name="key:k", ledger=ledger, parent=Budget(5))
    with pytest.raises(ConfigError, match="above itself"):
        Budget(1, name="org:a", parent=Budget(1, name="org:a", ledger=ledger))
    with pytest.raises(ConfigError, match="no budget"):
        Budgeted(step(lambda x: x), 5)  # pyright: ignore[reportArgumentType]


# -- random trees and interleavings

USD = st.integers(0, 60).map(lambda cents: Decimal(cents) / 100)
WINDOWS = st.sampled_from(["none", "day", "month", "rolling:3600"])
TREES = st.lists(st.tuples(st.integers(0, 5), st.one_of(st.none(), USD), WINDOWS), min_size=1, max_size=5)
CALLS = st.lists(st.tuples(st.integers(0, 4), USD, st.integers(0, 100), st.sampled_from("slx")), max_size=25)


@settings(max_examples=25)
@given(tree=TREES, calls=CALLS)
def test_no_budget_of_any_tree_is_ever_passed_in_any_order(
    tree: list[tuple[int, Decimal | None, str]], calls: list[tuple[int, Decimal, int, str]]
) -> None:
    asyncio.run(_play(tree, calls))


async def _play(
    tree: list[tuple[int, Decimal | None, str]], calls: list[tuple[int, Decimal, int, str]]
) -> None:
    store = Store.open("sqlite://")
    ledgers = [Ledger(store), Ledger(store)]
    trees: list[list[Budget]] = []
    for ledger in ledgers:
        budgets: list[Budget] = []
        for place, (above, limit, window) in enumerate(tree):
            parent = budgets[above % place] if place else None
            options: dict[str, Any] = {"ledger": ledger} if parent is None else {"parent": parent}
            budgets.append(Budget(limit, window, name=f"n{place}", wait_seconds=0.05, **options))
        trees.append(budgets)
    truth = dict.fromkeys(range(len(tree)), Decimal(0))

    async def call(number: int, at: int, most: Decimal, share: int, end: str) -> None:
        budget = trees[number % 2][at % len(tree)]
        try:
            entry = await budget.reserve(most, what="x")
        except BudgetExceeded:
            return
        one = await budget.standing()
        assert one.limit_usd is None or one.spent_usd + one.reserved_usd <= one.limit_usd
        cost = Decimal(0) if end == "x" else most * share / 100
        for account in budget.path:
            truth[int(account.name[1:])] += most if end == "l" else cost
        await entry.settle(None if end == "l" else cost)

    await asyncio.gather(*(call(number, *one) for number, one in enumerate(calls)))
    for ledger in ledgers:
        await ledger.flush()
    for place, budget in enumerate(trees[0]):
        one = await budget.standing()
        assert (one.spent_usd, one.reserved_usd) == (truth[place], 0)
        assert one.limit_usd is None or one.spent_usd <= one.limit_usd
    assert (await ledgers[0].verify()).problems == []
    await store.aclose()


async def test_a_rolling_window_frees_what_was_spent_once_it_is_over(memory: Store) -> None:
    with FakeClock() as fake:
        budget = Budget(1, "rolling:600", name="key:k", ledger=Ledger(memory), wait_seconds=0)
        await (await budget.reserve(Decimal("0.9"), what="x")).settle(Decimal("0.9"))
        with pytest.raises(BudgetExceeded) as caught:
            await budget.reserve(Decimal("0.2"), what="x")
        assert caught.value.retry_after is not None
        fake.advance(599)
        with pytest.raises(BudgetExceeded):
            await budget.reserve(Decimal("0.2"), what="x")
        fake.advance(caught.value.retry_after - 599)
        await (await budget.reserve(Decimal("0.2"), what="x")).settle(Decimal("0.2"))


async def test_a_burst_on_a_closed_store_is_refused_whole(store: Store) -> None:
    ledger = Ledger(store)
    budget = Budget(100, name="org:a", ledger=ledger)
    await (await budget.reserve(Decimal(1), what="x")).settle(Decimal(1))
    await ledger.aclose()
    store.close()
    asked = (budget.reserve(Decimal(1), what="x") for _ in range(20))
    refused = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(one).__name__ for one in refused} == {"StoreDown"}


async def test_a_first_batch_that_fails_leaves_no_trace_in_the_next(store: Store) -> None:
    if store.dialect == "sqlite":
        fails = "CREATE TRIGGER fails BEFORE INSERT ON spend_daily BEGIN SELECT RAISE(ABORT, 'no'); END"
        works = "DROP TRIGGER fails"
    else:
        fails = (
            "CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '57014'; END $$;"
            " CREATE TRIGGER fails BEFORE INSERT ON spend_daily FOR EACH ROW EXECUTE FUNCTION fails()"
        )
        works = "DROP TRIGGER fails ON spend_daily"
    await store.write(lambda c: bool(c.exec_driver_sql(fails)))
    ledger = Ledger(store)
    ledger.hit(Context.new(), target="t", model="m", saved_usd=Decimal("0.1"))
    while not store.lost:
        await asyncio.sleep(0.01)
    assert ledger.writer is None
    await store.write(lambda c: bool(c.exec_driver_sql(works)))
    async with ledger_of(store) as again:
        budget = Budget(1, name="a", ledger=again)
        await (await budget.reserve(Decimal("0.1"), what="x")).settle(Decimal("0.1"))
    budget = Budget(1, name="a", ledger=ledger)
    await (await budget.reserve(Decimal("0.1"), what="x")).settle(Decimal("0.1"))
    await ledger.flush()
    assert (await ledger.verify()).problems == []
