"""The deadline: it only shrinks, rings for calls and streams, and leaves the reader's own time alone."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.trees import read
from tidyllm import clock
from tidyllm.core import CallFinished, Context, Event, Parallel, Sequence, Wrapper, step
from tidyllm.errors import StepError, TimeoutExceeded
from tidyllm.testing import FakeClock


async def slow(x: float) -> float:
    await clock.sleep(x)
    return x


async def ticking(x: float) -> AsyncIterator[int]:
    for n in range(3):
        await clock.sleep(x)
        yield n


seconds = st.floats(-5, 1e6) | st.just(math.inf)
changes = st.one_of(
    st.tuples(st.just("with_"), seconds),
    st.tuples(st.just("until"), seconds),
    st.tuples(st.just("child"), st.just(0.0)),
    st.tuples(st.just("place"), st.just(0.0)),
    st.tuples(st.just("tags"), st.just(0.0)),
    st.tuples(st.just("detached"), st.just(0.0)),
)


def change(ctx: Context, what: str, by: float) -> Context:
    match what:
        case "with_":
            return ctx.with_(deadline=by)
        case "until":
            return ctx.until(clock.monotonic() + by)
        case "child":
            return ctx.child("c")
        case "place":
            return ctx.place("p")
        case "detached":
            return ctx.detached()
        case _:
            return ctx.with_(tags={"a": "b"}, idempotency_key="k")


@given(st.none() | seconds, st.lists(changes, max_size=6))
def test_a_deadline_never_grows(first: float | None, steps: list[tuple[str, float]]) -> None:
    with FakeClock() as fake:
        ctx = Context.new(deadline=first)
        for what, by in steps:
            fake.advance(1)
            former, ctx = ctx, change(ctx, what, by)
            assert former.deadline is None or (ctx.deadline is not None and ctx.deadline <= former.deadline)
            assert ctx.remaining is None or ctx.remaining >= 0


async def test_it_rings_for_a_call() -> None:
    with FakeClock(autojump=True) as fake:
        with pytest.raises(TimeoutExceeded) as raised:
            await Sequence(slow, slow, name="s")(3.0, Context.new(deadline=5))
        assert fake.monotonic() == 1_005
    error = raised.value
    assert (error.clock, error.seconds, error.retryable) == ("deadline", 5, False)
    assert str(error) == (
        "step 's' did not finish before the deadline, 5 s after it began. "
        "Give the run a later deadline, or let it do less."
    )
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_it_rings_for_a_stream_after_the_pieces_that_were_in_time() -> None:
    seen: list[int] = []
    with FakeClock(autojump=True), pytest.raises(TimeoutExceeded, match="deadline"):
        await read(step(ticking).stream(2.0, Context.new(deadline=timedelta(seconds=5))), seen)
    assert seen == [0, 1]


async def test_the_error_of_a_stream_that_it_broke_has_what_had_come() -> None:
    with FakeClock(autojump=True), pytest.raises(TimeoutExceeded, match="deadline") as raised:
        await read(step(ticking).stream(2.0, Context.new(deadline=5)), [])
    assert raised.value.partial == step(ticking).join([0, 1])
    with FakeClock(autojump=True), pytest.raises(TimeoutExceeded, match="deadline") as raised:
        await read(step(ticking).stream(6.0, Context.new(deadline=5)), [])
    assert raised.value.partial is None


async def test_what_cannot_be_joined_is_told_beside_the_deadline() -> None:
    class Unjoined(Wrapper[float, Any]):
        def join(self, pieces: Any) -> Any:
            raise ValueError("half a thing")

    with FakeClock(autojump=True), pytest.raises(TimeoutExceeded, match="deadline") as raised:
        await read(Unjoined(step(ticking)).stream(2.0, Context.new(deadline=5)), [])
    assert raised.value.partial is None
    assert raised.value.__notes__ == ["The 2 pieces could not be joined: ValueError: half a thing"]


async def test_the_readers_time_between_pieces_does_not_cancel_the_reader() -> None:
    with FakeClock(autojump=True) as fake:
        pieces = step(ticking).stream(1.0, Context.new(deadline=5))
        assert await anext(pieces) == 0
        await clock.sleep(60)  # the deadline passes here, and nothing happens to the reader
        assert fake.timers == []
        with pytest.raises(TimeoutExceeded, match="deadline"):
            await anext(pieces)


async def test_a_stream_that_ends_in_time_leaves_no_timer() -> None:
    with FakeClock(autojump=True) as fake:
        assert [piece async for piece in step(ticking).stream(1.0, Context.new(deadline=5))] == [0, 1, 2]
        assert await step(slow)(1.0, Context.new(deadline=5)) == 1.0
        await asyncio.sleep(0)
        assert fake.timers == []


async def test_a_reader_that_leaves_a_stream_leaves_no_timer() -> None:
    with FakeClock(autojump=True) as fake:
        pieces = step(ticking).stream(1.0, Context.new(deadline=5))
        await anext(pieces)
        await pieces.aclose()
        assert fake.timers == []


@pytest.mark.parametrize("left", [0, -1.5])
async def test_a_deadline_that_has_passed_lets_nothing_begin(left: float) -> None:
    ctx = Context.new(deadline=left)
    for call in (lambda: step(slow)(1.0, ctx), lambda: anext(step(ticking).stream(1.0, ctx))):
        with pytest.raises(TimeoutExceeded, match="was not begun: the deadline had passed") as raised:
            await call()
        assert not raised.value.retryable
    assert ctx.remaining == 0


async def test_an_earlier_deadline_rings_for_the_calls_made_with_it_only() -> None:
    async def outer(x: float, ctx: Context) -> str:
        try:
            await ctx.with_(deadline=1).call(step(slow), 10.0)
        except TimeoutExceeded as error:
            await clock.sleep(2)
            return f"{error.clock} after {error.seconds:.0f} s"
        return "never"

    with FakeClock(autojump=True):
        assert await step(outer)(0.0, Context.new(deadline=5)) == "deadline after 1 s"
        assert await step(outer)(0.0) == "deadline after 1 s"


async def test_a_later_deadline_changes_nothing() -> None:
    with FakeClock(autojump=True) as fake:
        ctx = Context.new(deadline=5).with_(deadline=10).with_(deadline=math.inf)
        with pytest.raises(TimeoutExceeded):
            await step(slow)(60.0, ctx)
        assert fake.monotonic() == 1_005


async def test_the_record_of_the_call_that_rang_says_so_and_those_inside_were_cancelled() -> None:
    events: list[Event] = []
    with FakeClock(autojump=True), pytest.raises(TimeoutExceeded):
        await Sequence(slow, name="s")(60.0, Context.new(deadline=5, hooks=(events.append,)))
    ended = {event.step.name: type(event.error) for event in events if isinstance(event, CallFinished)}
    assert ended == {"slow": asyncio.CancelledError, "s": TimeoutExceeded}


async def test_cancelled_from_outside_when_it_rings_it_is_cancelled() -> None:
    with FakeClock() as fake:
        task = asyncio.create_task(step(slow)(60.0, Context.new(deadline=5)))
        await asyncio.sleep(0)
        fake.advance(5)
        task.cancel("outside")
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_it_stops_all_branches() -> None:
    with FakeClock(autojump=True) as fake, pytest.raises(TimeoutExceeded):
        await Parallel(slow, slow, collect=True)(60.0, Context.new(deadline=5))
    assert fake.monotonic() == 1_005
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_shielded_place_outlives_the_runs_deadline_and_has_its_own() -> None:
    async def outer(x: float, ctx: Context) -> list[Any]:
        fake.advance(10)
        undo = ctx.shielded(3)
        done: list[Any] = [await undo.call(step(slow), 2.0)]
        with pytest.raises(TimeoutExceeded, match="deadline"):
            await undo.call(step(slow), 60.0)
        return done

    async def on_cancel(x: float, ctx: Context) -> list[Any]:
        try:
            await asyncio.Event().wait()
        finally:
            undone.extend(await outer(x, ctx))
        return []

    undone: list[Any] = []
    with FakeClock(autojump=True) as fake:
        ctx = Context.new()
        asyncio.get_running_loop().call_soon(ctx.cancel)
        with pytest.raises(asyncio.CancelledError):
            await step(on_cancel)(1.0, ctx)
    assert undone == [2.0]


async def test_a_blocked_loop_does_not_save_a_nested_synchronous_call_from_the_deadline() -> None:
    """A plain function stops its own loop; what it waits for runs on another one and must watch for itself."""

    async def waits(x: float) -> float:
        return await asyncio.Event().wait()

    def blocking(x: float) -> str:
        try:
            step(waits).run_sync(x)
        except TimeoutExceeded as error:
            return error.clock
        return "never"

    assert await step(blocking)(1.0, Context.new(deadline=0.01)) == "deadline"


def test_a_deadline_that_is_no_number_is_refused() -> None:
    for make in (lambda: Context.new(deadline=math.nan), lambda: Context.new().with_(deadline=math.nan)):
        with pytest.raises(StepError, match="not a number of seconds"):
            make()
