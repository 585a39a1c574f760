"""Who hears of what: one record for each call, one tree for each run, and no cost where nobody listens."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tidyllm import clock
from tidyllm.core import (
    Branch,
    CallFinished,
    Context,
    Event,
    Parallel,
    Progress,
    Sequence,
    Wrapper,
    install,
    step,
)
from tidyllm.core.events import default_hooks
from tidyllm.testing import FakeClock


class Ears:
    """A hook that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.heard.append(event)

    @property
    def calls(self) -> list[CallFinished]:
        return [event for event in self.heard if isinstance(event, CallFinished)]


@pytest.fixture
def ears() -> Iterator[Ears]:
    ears = Ears()
    remove = install(ears)
    yield ears
    remove()
    assert default_hooks() == ()


async def a(x: int) -> int:
    return x


async def test_a_run_is_one_tree(ears: Ears) -> None:
    run = step(a) >> (step(a).named("b") | step(a).named("c"))
    await run(1)
    calls = {"/".join(call.ctx.path): call.ctx for call in ears.calls}
    root, both = "a >> (b | c)", "a >> (b | c)/b | c"
    parents = {f"{root}/a": root, both: root, f"{both}/b": both, f"{both}/c": both}
    assert set(calls) == {root, *parents}
    assert {path: calls[path].parent_span_id for path in parents} == {
        path: calls[parent].span_id for path, parent in parents.items()
    }
    assert calls[root].parent_span_id == 0
    assert len({ctx.span_id for ctx in calls.values()}) == 5
    assert len({ctx.run_id for ctx in calls.values()}) == 1


async def test_a_wrapped_step_is_one_record(ears: Ears) -> None:
    await Sequence(Wrapper(Wrapper(a)), name="s")(1)
    assert [call.step.name for call in ears.calls] == ["a", "s"]


async def test_a_choice_by_function_is_no_record_and_by_step_is_one(ears: Ears) -> None:
    await Branch({1: step(a)}, by=lambda x: x, name="b")(1)
    assert [call.ctx.path for call in ears.calls] == [("b", "1"), ("b",)]
    ears.heard.clear()
    await Branch({1: step(a)}, by=step(a), name="b")(1)
    assert [call.ctx.path for call in ears.calls] == [("b", "by"), ("b", "1"), ("b",)]


async def test_calls_inside_a_step_belong_to_it(ears: Ears) -> None:
    async def outer(x: int, ctx: Context) -> int:
        return (
            await step(a)(x)
            + await ctx.call(step(a), x, "named")
            + await asyncio.to_thread(step(a).run_sync, x)
        )

    assert await step(outer)(1) == 3
    *inside, whole = ears.calls
    assert [call.ctx.path for call in inside] == [("outer", "a"), ("outer", "named"), ("outer", "a#2")]
    assert {call.ctx.parent_span_id for call in inside} == {whole.ctx.span_id}


async def test_a_record_knows_when_it_began_and_ended(ears: Ears) -> None:
    async def slow(x: int) -> int:
        await clock.sleep(2.5)
        return x

    with FakeClock(autojump=True):
        await step(slow)(1)
    (call,) = ears.calls
    assert (call.started, call.ended, call.error, call.pieces, call.first_piece) == (
        1_000,
        1_002.5,
        None,
        0,
        None,
    )


async def test_a_failure_is_recorded_at_every_call_around_it(ears: Ears) -> None:
    def fail(x: int) -> int:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken") as raised:
        await Sequence(a, fail, a, name="s")(1)
    assert [(call.step.name, call.error) for call in ears.calls] == [
        ("a", None),
        ("fail", raised.value),
        ("s", raised.value),
    ]


async def ticks(x: int) -> AsyncIterator[int]:
    for n in range(x):
        await clock.sleep(1)
        yield n
    if x > 3:
        raise ValueError("too many")


async def test_a_stream_is_recorded_with_its_first_piece_and_their_number(ears: Ears) -> None:
    with FakeClock(autojump=True):
        assert [piece async for piece in Sequence(a, ticks, name="s").stream(3)] == [0, 1, 2]
    assert [(call.step.name, call.pieces, call.first_piece) for call in ears.calls] == [
        ("a", 0, None),
        ("ticks", 3, 1_001),
        ("s", 3, 1_001),
    ]
    assert {call.ended for call in ears.calls[1:]} == {1_003}


async def test_a_stream_that_breaks_is_recorded_with_its_error(ears: Ears) -> None:
    with FakeClock(autojump=True), pytest.raises(ValueError, match="too many") as raised:
        _ = [piece async for piece in step(ticks).stream(4)]
    (call,) = ears.calls
    assert (call.error, call.pieces) == (raised.value, 4)


async def test_a_stream_of_nothing_has_no_first_piece(ears: Ears) -> None:
    assert [piece async for piece in step(ticks).stream(0, Context.new())] == []
    (call,) = ears.calls
    assert (call.error, call.pieces, call.first_piece) == (None, 0, None)


async def test_progress_is_told_with_its_place(ears: Ears) -> None:
    def work(x: int, ctx: Context) -> None:
        ctx.progress(x, 10)
        ctx.emit(Progress(ctx, 2, None))

    await step(work)(1)
    told = [(event.ctx.path, event.done, event.total) for event in ears.heard if isinstance(event, Progress)]
    assert told == [(("work",), 1, 10), (("work",), 2, None)]


async def test_a_hook_that_fails_is_reported_once_and_breaks_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    after = Ears()

    def broken(event: Event) -> None:
        raise RuntimeError("hook is broken")

    ctx = Context.new(hooks=(broken, after))
    with caplog.at_level(logging.ERROR, "tidyllm"):
        assert await Sequence(a, a, name="s")(1, ctx) == 1
    assert len(after.calls) == 3
    (record,) = caplog.records
    assert "broken" in record.getMessage()
    assert "CallFinished" in record.getMessage()
    assert record.exc_info is not None


class Slotted:
    """A hook that nobody can refer to weakly."""

    __slots__ = ()

    def __call__(self, event: Event) -> None:
        raise RuntimeError("broken too")


async def test_a_new_hook_is_reported_even_where_an_old_one_lay_in_memory(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run() -> None:
        def broken(event: Event) -> None:
            raise RuntimeError("broken")

        await step(a)(1, Context.new(hooks=(broken, Slotted())))

    for _ in range(3):
        await run()
        gc.collect()
    assert len(caplog.records) >= 4


async def test_a_hook_may_be_installed_twice_and_each_is_taken_away_once() -> None:
    ears = Ears()
    first, second = install(ears), install(ears)
    first()
    first()
    await step(a)(1)
    second()
    await step(a)(1)
    assert len(ears.calls) == 1


async def test_a_context_can_turn_the_installed_hooks_off(ears: Ears) -> None:
    await Sequence(a, a)(1, Context.new(hooks=()))
    assert ears.heard == []


async def test_where_nobody_listens_no_record_is_made() -> None:
    seen: list[Context | None] = []

    async def look(x: int) -> int:
        seen.append(Context.current())
        return x

    await Sequence(look, Parallel(look, look))(1)
    assert [(ctx.watched, ctx.recorded, ctx.span_id) for ctx in seen if ctx] == [(False, False, 0)] * 3


async def test_what_is_watched_says_so(ears: Ears) -> None:
    def look(x: int, ctx: Context) -> tuple[bool, bool]:
        return ctx.watched, ctx.recorded

    assert await step(look)(1) == (True, True)


def test_events_cannot_be_changed() -> None:
    event: Any = Progress(Context.new(), 1, None)
    with pytest.raises(AttributeError):
        event.done = 2


async def test_events_that_a_run_keeps_of_itself_are_garbage_when_it_is_over() -> None:
    """A hook of the run that keeps events is a circle: event, context, hooks, and the list of events."""
    refs: list[weakref.ref[Ears]] = []

    def fail(x: int) -> int:
        raise ValueError("broken")

    async def run() -> None:
        ears = Ears()
        ctx = Context.new(hooks=(ears,))
        refs.append(weakref.ref(ears))
        with contextlib.suppress(ValueError):
            await Sequence(a, fail)(1, ctx)
        assert len(ears.calls) == 3

    await run()
    gc.collect()
    assert [ref() for ref in refs] == [None]
