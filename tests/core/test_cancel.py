"""Cancellation: it reaches every child, is never caught, and leaves nobody running."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.trees import AnyStep, expressions, same
from tidyllm.core import Branch, CallFinished, Context, Event, Parallel, Sequence, Step, step
from tidyllm.errors import StepError


class Waiting:
    """A step that waits for ever and remembers how it ended."""

    def __init__(self) -> None:
        self.started = 0
        self.ended = 0

    async def __call__(self, x: object) -> object:
        self.started += 1
        try:
            return await asyncio.Event().wait()
        finally:
            self.ended += 1


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def turns_until(done: Callable[[], bool], most: int = 200) -> int:
    for turn in range(most):
        if done():
            return turn
        await asyncio.sleep(0)
    raise AssertionError(f"not done after {most} turns")


def depth(tree: Any) -> int:
    """How many steps lie inside each other."""
    inside = [*getattr(tree, "steps", ()), *getattr(tree, "branches", {}).values()]
    inside += [
        each for each in (getattr(tree, "inner", None), getattr(tree, "default", None)) if each is not None
    ]
    return 1 + max(map(depth, inside), default=0)


@settings(max_examples=50)  # each takes some hundred turns of an event loop
@given(st.data(), st.booleans())
def test_cancelling_reaches_every_child_within_one_turn_for_each_level(
    data: st.DataObject, by_ctx: bool
) -> None:
    waiting = Waiting()
    tree = data.draw(expressions(st.just(step(waiting, name="wait"))))

    async def main() -> None:
        ctx = Context.new()
        task = asyncio.create_task(tree(1, ctx))
        await settle()
        assert waiting.started > 0
        ctx.cancel() if by_ctx else task.cancel()
        assert await turns_until(lambda: waiting.ended == waiting.started) <= depth(tree) + 1
        # And back: an end is heard one level up at most two turns later.
        assert await turns_until(task.done) <= 2 * depth(tree) + 2
        assert task.cancelled()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


@settings(max_examples=50)
@given(st.data())
def test_cancelling_a_stream_reaches_every_child(data: st.DataObject) -> None:
    waiting = Waiting()
    tree = data.draw(expressions(st.just(step(waiting, name="wait"))))

    async def read(ctx: Context) -> None:
        async with aclosing(tree.stream(1, ctx)) as pieces:
            async for _ in pieces:
                pass

    async def main() -> None:
        ctx = Context.new()
        task = asyncio.create_task(read(ctx))
        await settle()
        ctx.cancel()
        assert await turns_until(lambda: waiting.ended == waiting.started) <= 2 * depth(tree) + 2
        await turns_until(task.done)
        assert task.cancelled()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


async def test_the_callers_task_lives_on_when_only_the_run_is_cancelled() -> None:
    ctx = Context.new()
    asyncio.get_running_loop().call_soon(ctx.cancel, "no longer wanted")
    with pytest.raises(asyncio.CancelledError, match="no longer wanted"):
        await step(Waiting())(1, ctx)
    assert ctx.cancelled
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)  # nothing is in store


async def test_a_step_can_cancel_its_own_run() -> None:
    reached: list[str] = []

    async def stop(x: int, ctx: Context) -> int:
        ctx.cancel("enough")
        await asyncio.sleep(0)
        reached.append("after the wait")
        return x

    def next_one(x: int) -> None:
        reached.append("next")

    with pytest.raises(asyncio.CancelledError):
        await Sequence(stop, next_one)(1, Context.new())
    assert reached == []


async def test_a_step_that_cancels_its_run_and_returns_at_once_is_no_success() -> None:
    def stop(x: int, ctx: Context) -> int:
        ctx.cancel("enough")
        return x

    with pytest.raises(asyncio.CancelledError, match="enough"):
        await step(stop)(1, Context.new())
    await asyncio.sleep(0)


async def test_a_run_whose_step_swallows_the_cancellation_is_cancelled_all_the_same() -> None:
    async def stubborn(x: int) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass
        return "as if nothing had happened"

    ctx = Context.new()
    asyncio.get_running_loop().call_soon(ctx.cancel)
    with pytest.raises(asyncio.CancelledError):
        await step(stubborn)(1, ctx)


async def test_an_error_in_a_cleanup_is_not_hidden_by_the_cancellation() -> None:
    async def dirty(x: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("cannot close")

    ctx = Context.new()
    asyncio.get_running_loop().call_soon(ctx.cancel)
    with pytest.raises(OSError, match="cannot close"):
        await step(dirty)(1, ctx)


async def test_calls_that_start_after_the_cancellation_end_at_once() -> None:
    ctx = Context.new()
    ctx.cancel("too late")
    waiting = Waiting()
    for call in (lambda: step(waiting)(1, ctx), lambda: ctx.call(step(waiting), 1)):
        with pytest.raises(asyncio.CancelledError, match="too late"):
            await call()
    with pytest.raises(asyncio.CancelledError, match="too late"):
        await anext(step(waiting).stream(1, ctx))
    assert waiting.started == 0


async def test_all_calls_of_one_root_are_cancelled() -> None:
    ctx = Context.new()
    tasks = [asyncio.create_task(step(Waiting(), name=name)(1, ctx)) for name in "abc"]
    await settle()
    ctx.with_(tags={"from": "a changed copy"}).cancel()
    await settle()
    assert [task.cancelled() for task in tasks] == [True] * 3


async def test_a_call_with_a_deadline_of_its_own_does_not_hide_the_run_from_cancellation() -> None:
    """A second watch over the same task ends before the first one; the first one must still be found."""

    async def quick(x: int) -> int:
        return x

    async def outer(x: int, ctx: Context) -> Any:
        await ctx.with_(deadline=5).call(step(quick), x)
        return await asyncio.Event().wait()

    ctx = Context.new()
    task = asyncio.create_task(step(outer)(1, ctx))
    await settle()
    ctx.cancel()
    await settle()
    assert task.cancelled()


async def test_cancelling_works_from_another_thread() -> None:
    ctx = Context.new()
    task = asyncio.create_task(step(Waiting())(1, ctx))
    await asyncio.sleep(0)
    thread = threading.Thread(target=ctx.cancel)
    thread.start()
    with pytest.raises(asyncio.CancelledError):
        await task
    thread.join()


def test_cancelling_a_run_of_a_closed_loop_does_nothing() -> None:
    ctx = Context.new()

    async def main() -> None:
        left = step(Waiting())(1, ctx)
        task = asyncio.ensure_future(left)
        await asyncio.sleep(0)
        tasks.append(task)

    tasks: list[asyncio.Task[Any]] = []
    asyncio.run(main())
    ctx.cancel()
    assert tasks[0].cancelled()


async def test_a_run_without_a_context_says_how_to_cancel_it() -> None:
    def stop(x: int, ctx: Context) -> None:
        assert not ctx.cancelled
        ctx.cancel()

    with pytest.raises(StepError, match=r"nothing to cancel it by.*Context\.new\(\)"):
        await step(stop)(1)


class Sibling:
    """A step that takes some turns to clean up, and counts how often it was cancelled."""

    def __init__(self) -> None:
        self.cancels = 0
        self.cleaned = False

    async def __call__(self, x: object) -> None:
        while not self.cleaned:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancels += 1
                for _ in range(5):
                    await asyncio.sleep(0)
                self.cleaned = True
                raise


@pytest.mark.parametrize("collect", [False, True])
async def test_a_cancelled_parallel_cancels_each_branch_once_and_waits_for_all(collect: bool) -> None:
    branches = [Sibling(), Sibling()]
    task = asyncio.create_task(Parallel(*branches, collect=collect)(1))
    await settle()
    task.cancel("outside")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [(one.cancels, one.cleaned) for one in branches] == [(1, True)] * 2


async def test_a_second_cancellation_reaches_the_cleanup_as_it_would_without_a_parallel() -> None:
    interrupted: list[int] = []

    async def slow_to_go(x: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                interrupted.append(x)

    task = asyncio.create_task(Parallel(slow_to_go, slow_to_go)(1))
    for _ in range(2):
        await settle()
        assert not task.done()
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert interrupted == [1, 1]


async def test_cancelled_from_outside_while_a_branch_fails_it_is_cancelled() -> None:
    async def fail(x: int) -> None:
        await asyncio.sleep(0)
        raise ValueError("broken")

    sibling = Sibling()
    task = asyncio.create_task(Parallel(fail, sibling)(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sibling.cleaned


async def test_the_record_of_a_cancelled_call_says_so() -> None:
    events: list[Event] = []
    ctx = Context.new(hooks=(events.append,))
    asyncio.get_running_loop().call_soon(ctx.cancel, "why")
    with pytest.raises(asyncio.CancelledError):
        await Sequence(Waiting(), name="s")(1, ctx)
    errors = [event.error for event in events if isinstance(event, CallFinished)]
    assert [type(error) for error in errors] == [asyncio.CancelledError] * 2


# -- readers that leave


Log = list[str]


def logged(name: str, log: Log) -> Step[Any, Any]:
    async def pieces(x: object) -> AsyncIterator[str]:
        try:
            for n in range(100):
                yield f"{name}{n}"
        finally:
            await asyncio.sleep(0)
            log.append(name)

    return step(pieces).named(name)


def builds(log: Log) -> dict[str, AnyStep]:
    def g() -> AnyStep:
        return logged("g", log)

    return {
        "generator": g(),
        "sequence": Sequence(same, g()),
        "parallel": Parallel(g(), g()),
        "collected": Parallel(g(), g(), collect=True),
        "nested": Parallel(Sequence(same, Parallel(g(), g()))),
        "choice": Branch({1: g()}, by=same),
    }


@pytest.mark.parametrize("kind", builds([]))
@pytest.mark.parametrize("watched", [False, True])
async def test_a_reader_that_leaves_early_closes_every_generator_at_once(kind: str, watched: bool) -> None:
    log: Log = []
    events: list[Event] = []
    pieces = builds(log)[kind].stream(1, Context.new(hooks=(events.append,) if watched else ()))
    await anext(pieces)
    await pieces.aclose()
    assert set(log) == {"g"}
    assert asyncio.all_tasks() == {asyncio.current_task()}
    ended = [event for event in events if isinstance(event, CallFinished)]
    assert all(isinstance(event.error, asyncio.CancelledError) for event in ended if event.pieces)


async def test_inner_generators_are_closed_before_outer_ones() -> None:
    log: Log = []

    async def outer(x: int, ctx: Context) -> AsyncIterator[Any]:
        async with aclosing(ctx.stream(logged("inner", log), x)) as pieces:
            try:
                async for piece in pieces:
                    yield piece
            finally:
                log.append("outer")

    events: list[Event] = []
    stream = Sequence(outer, name="s").stream(1, Context.new(hooks=(events.append,)))
    await anext(stream)
    await stream.aclose()
    assert log == ["outer", "inner"]
    assert [event.step.name for event in events if isinstance(event, CallFinished)] == ["inner", "outer", "s"]


async def test_a_failure_while_a_left_stream_is_closed_is_raised() -> None:
    async def dirty(x: int) -> AsyncIterator[int]:
        try:
            yield x
            yield x
        finally:
            raise OSError("cannot close")

    for stream in (Sequence(dirty), Parallel(dirty), Parallel(dirty, dirty)):
        pieces = stream.stream(1)
        await anext(pieces)
        with pytest.raises(OSError, match="cannot close"):
            await pieces.aclose()


async def test_a_stream_that_nobody_read_was_never_started() -> None:
    waiting = Waiting()
    await step(waiting).stream(1, Context.new()).aclose()
    assert waiting.started == 0
