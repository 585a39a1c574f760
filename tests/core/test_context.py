"""The context: what it carries, how it changes, and that it never changes in place."""

from __future__ import annotations

import gc
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.core import Budget, Context, Parallel, Reservation, Sequence, step
from tidyllm.core.trace import format_traceparent, parse_traceparent
from tidyllm.errors import StepError
from tidyllm.testing import FakeClock

HEADER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Purse:
    """A budget that only notes what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[Decimal | None, str]] = []

    async def reserve(self, at_most_usd: Decimal | None, *, what: str) -> Reservation:
        self.asked.append((at_most_usd, what))
        return self

    async def settle(self, cost_usd: Decimal | None) -> None:
        self.asked.append((cost_usd, "settled"))


def test_a_context_cannot_be_changed() -> None:
    ctx: Any = Context.new(tags={"team": "a"})
    for change in ("deadline", "segment", "scope", "span_id"):
        with pytest.raises(AttributeError):
            setattr(ctx, change, None)
    with pytest.raises(AttributeError):
        ctx.scope.hooks = ()
    with pytest.raises(TypeError):
        ctx.tags["team"] = "b"


def test_tags_given_at_first_are_copied() -> None:
    given_tags = {"team": "a"}
    ctx = Context.new(tags=given_tags)
    given_tags["team"] = "b"
    assert ctx.tags == {"team": "a"}


def test_with_gives_a_new_context_and_leaves_the_old_one() -> None:
    purse: Budget = Purse()
    ctx = Context.new(tags={"team": "a", "env": "test"})
    changed = ctx.with_(tags={"env": "prod"}, idempotency_key="key", budget=purse)
    assert (changed.tags, changed.idempotency_key, changed.budget) == (
        {"team": "a", "env": "prod"},
        "key",
        purse,
    )
    assert (ctx.tags, ctx.idempotency_key, ctx.budget) == ({"team": "a", "env": "test"}, None, None)
    assert changed.run_id == ctx.run_id
    assert changed.with_().tags == changed.tags


def test_what_is_not_given_is_empty() -> None:
    ctx = Context.new()
    assert (ctx.tags, ctx.idempotency_key, ctx.budget, ctx.deadline, ctx.remaining) == (
        {},
        None,
        None,
        None,
        None,
    )
    assert (ctx.path, ctx.where, ctx.span_id, ctx.parent_span_id, ctx.cancelled) == ((), "root", 0, 0, False)
    assert not ctx.entered
    assert not ctx.recorded


def test_remaining_counts_down_to_zero() -> None:
    with FakeClock() as fake:
        ctx = Context.new(deadline=5)
        fake.advance(3)
        assert ctx.remaining == 2
        fake.advance(3)
        assert ctx.remaining == 0
        assert Context.new(deadline=math.inf).deadline is None


async def test_all_that_a_run_carries_reaches_every_step_of_it() -> None:
    seen: list[Any] = []

    async def look(x: int, ctx: Context) -> int:
        seen.append((dict(ctx.tags), ctx.idempotency_key, ctx.budget, ctx.deadline, ctx.run_id))
        return x

    ctx = Context.new(tags={"a": "b"}, idempotency_key="key", budget=Purse(), deadline=60)
    await Sequence(look, Parallel(look, step(look)))(1, ctx)
    assert seen == [({"a": "b"}, "key", ctx.budget, ctx.deadline, ctx.run_id)] * 3


async def test_a_part_of_a_run_can_have_another_budget() -> None:
    inner, outer = Purse(), Purse()

    async def spend(x: int, ctx: Context) -> None:
        assert ctx.budget is not None
        reservation = await ctx.budget.reserve(Decimal("0.10"), what="a call")
        await reservation.settle(Decimal("0.07"))

    async def work(x: int, ctx: Context) -> None:
        await ctx.with_(budget=inner).call(step(spend), x)
        await step(spend)(x)

    await step(work)(1, Context.new(budget=outer))
    assert inner.asked == outer.asked == [(Decimal("0.10"), "a call"), (Decimal("0.07"), "settled")]


def test_a_context_prints_its_place_and_run() -> None:
    ctx = Context.new(run_id="0af7651916cd43dd8448eb211c80319c")
    assert repr(ctx) == "<Context root of run 0af7651916cd43dd8448eb211c80319c>"
    assert repr(ctx.child("a").child("b")) == "<Context a/b of run 0af7651916cd43dd8448eb211c80319c>"


@pytest.mark.parametrize("wrong", ["", "abc", "0" * 32, "x" * 32, "0x" + "1" * 30, "1_" * 16, " " + "1" * 31])
def test_a_run_id_that_is_no_trace_id_is_refused(wrong: str) -> None:
    with pytest.raises(StepError, match="32 hexadecimal digits"):
        Context.new(run_id=wrong)


def test_a_trace_that_comes_in_goes_on() -> None:
    ctx = Context.new(trace_parent=HEADER)
    assert ctx.trace_id == 0x0AF7651916CD43DD8448EB211C80319C
    assert ctx.child("a").trace_id == ctx.trace_id
    assert ctx.span_id == 0xB7AD6B7169203331
    assert ctx.child("a").parent_span_id == 0xB7AD6B7169203331
    # Nobody watches, so there is no span of ours: what goes out is what came in.
    assert ctx.child("a").trace_parent == HEADER


def test_a_watched_call_is_the_parent_of_what_it_sends_out() -> None:
    ctx = Context.new(trace_parent=HEADER[:-2] + "00", hooks=(lambda event: None,))
    child = ctx.child("a")
    assert child.trace_parent == f"00-0af7651916cd43dd8448eb211c80319c-{child.span_id:016x}-00"
    assert child.trace_flags == 0
    assert child.span_id not in {0, ctx.span_id}


def test_a_run_of_its_own_is_a_new_sampled_trace() -> None:
    ctx = Context.new()
    found = parse_traceparent(ctx.trace_parent)
    assert found is not None
    assert (found[0], found[2]) == (ctx.trace_id, 1)
    assert found[1] != 0


class Keeping:
    """A hook that keeps all traces, or none."""

    def __init__(self, *, keeps: bool) -> None:
        self.keeps = keeps

    def __call__(self, event: object, /) -> None:
        """Nothing is kept of it."""

    def keeps_trace(self, ctx: Context) -> bool:
        return self.keeps


@pytest.mark.parametrize("came_in", [None, HEADER, HEADER[:-2] + "00"])
def test_a_trace_goes_out_as_kept_when_a_hook_keeps_it_and_else_as_not(came_in: str | None) -> None:
    def flags(*keeps: bool) -> int:
        return Context.new(trace_parent=came_in, hooks=tuple(Keeping(keeps=one) for one in keeps)).trace_flags

    assert flags(True) == flags(False, True) == 1
    assert flags(False) == flags(False, False) == 0
    assert flags() == (1 if came_in is None else int(came_in[-2:]))


def test_a_given_run_id_is_the_trace_unless_one_came_in() -> None:
    run_id = "1" * 32
    assert Context.new(run_id=run_id).trace_id == int(run_id, 16)
    ctx = Context.new(run_id=run_id, trace_parent=HEADER)
    assert (ctx.run_id, ctx.span_id) == (run_id, 0xB7AD6B7169203331)
    assert ctx.trace_parent.startswith("00-0af7651916cd43dd8448eb211c80319c-")


def test_runs_that_share_a_trace_have_ids_of_their_own() -> None:
    one, two = (Context.new(trace_parent=HEADER) for _ in range(2))
    assert one.trace_id == two.trace_id
    assert len({one.run_id, two.run_id, HEADER.split("-")[1]}) == 3
    assert one.child("a").run_id == one.run_id


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255))
def test_a_trace_header_read_back_is_the_same(trace: int, span: int, flags: int) -> None:
    assert parse_traceparent(format_traceparent(trace, span, flags)) == (trace, span, flags)


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        "",
        "garbage",
        HEADER.upper(),
        HEADER[:-3],
        HEADER + "-more",
        "ff" + HEADER[2:],
        HEADER.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        HEADER.replace("b7ad6b7169203331", "0" * 16),
        HEADER.replace("0af7", "+0af"),
        HEADER.replace("0af7", "0_a7"),
    ],
)
def test_a_malformed_trace_header_is_ignored(wrong: str | None) -> None:
    assert parse_traceparent(wrong) is None
    assert Context.new(trace_parent=wrong).span_id == 0


@given(st.text(max_size=60))
def test_no_header_breaks_the_parser(header: str) -> None:
    assert parse_traceparent(header) is None


def test_a_later_version_of_the_header_may_say_more() -> None:
    assert parse_traceparent("01" + HEADER[2:] + "-what-comes-later") is not None
    assert parse_traceparent("  " + HEADER + "  ") is not None


async def test_a_finished_run_leaves_nothing_for_the_garbage_collector() -> None:
    async def work(x: int, ctx: Context) -> int:
        return x

    gc.collect()
    gc.disable()
    try:
        before = len([each for each in gc.get_objects() if isinstance(each, Context)])
        for _ in range(5):
            await Sequence(work, work)(1, Context.new(deadline=60))
            _ = [piece async for piece in Sequence(work, work).stream(1, Context.new(deadline=60))]
        assert len([each for each in gc.get_objects() if isinstance(each, Context)]) == before
    finally:
        gc.enable()


async def test_calls_of_what_is_no_step_are_refused() -> None:
    async def outer(x: int, ctx: Context) -> None:
        not_a_step: Any = len
        with pytest.raises(StepError, match=r"is not a step.*@step"):
            await ctx.call(not_a_step, [x])

    await step(outer)(1)


@pytest.mark.parametrize("name", ["a#2", "#1", 5])
async def test_a_call_cannot_take_a_name_that_is_ours(name: Any) -> None:
    with pytest.raises(StepError, match="cannot be a name"):
        await Context.new().call(step(str), 1, name)
