"""`Timeout`: three clocks that measure the step and nobody else."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import pytest

from tests.resilience.doubles import Jumps, Script, collect, overloaded, settle
from tidyllm import clock
from tidyllm.core import Context, step
from tidyllm.errors import ConfigError, StepError, StreamInterrupted, TimeoutExceeded
from tidyllm.resilience import Limit, Retry, Timeout
from tidyllm.testing import FakeClock


def rang(error: BaseException) -> TimeoutExceeded:
    """The clock behind an error: itself, or what interrupted the stream."""
    clocked = error.__cause__ if isinstance(error, StreamInterrupted) else error
    assert isinstance(clocked, TimeoutExceeded)
    return clocked


async def test_a_call_that_takes_too_long_is_cancelled(time: Jumps) -> None:
    script, began = Script([10, "answer"]), time.time
    with pytest.raises(TimeoutExceeded, match="step 'script' did not finish within 3 s") as caught:
        await time.run(Timeout(script, 3)("x"))
    assert (caught.value.clock, caught.value.seconds, caught.value.retryable) == ("total", 3.0, True)
    assert (time.time - began, script.cancelled, script.running) == (3, 1, 0)


@pytest.mark.parametrize(
    ("acts", "ended", "at"),
    [
        ([4, "a", "b"], "first_piece", 3),
        (["a", 6, "b"], "gap", 5),
        (["a", 4, "b", 4, "c", 4, "d"], "total", 10),
        ([2, "a", 4, "b"], None, 6),
    ],
)
async def test_each_clock_of_a_stream_rings_by_its_own_name(
    time: Jumps, acts: list[Any], ended: str | None, at: float
) -> None:
    step, began = Timeout(Script(acts), total=10, first_piece=3, gap=5), time.time
    if ended is None:
        assert await time.run(collect(step, "x")) == ["a", "b"]
    else:
        with pytest.raises((TimeoutExceeded, StreamInterrupted)) as caught:
            await time.run(collect(step, "x"))
        assert rang(caught.value).clock == ended
    assert time.time - began == at
    assert time.pending == 0


async def test_the_time_of_the_reader_counts_for_no_clock(time: Jumps) -> None:
    step = Timeout(Script(["a", 1, "b", 1, "c"]), total=5, first_piece=5, gap=5)

    async def read() -> list[str]:
        seen: list[str] = []
        async with aclosing(step.stream("x")) as pieces:
            async for piece in pieces:
                seen.append(piece)
                await clock.sleep(60)
        return seen

    assert await time.run(read()) == ["a", "b", "c"]
    assert time.pending == 0


async def test_a_clock_that_rang_while_the_reader_worked_is_set_again(time: Jumps) -> None:
    step = Timeout(Script(["a", 8, "b"]), gap=5)

    async def read() -> None:
        async with aclosing(step.stream("x")) as pieces:
            await anext(pieces)
            await clock.sleep(6)
            await anext(pieces)

    began = time.time
    with pytest.raises(StreamInterrupted):
        await time.run(read())
    assert time.time - began == 11


async def test_a_stream_that_runs_out_of_time_gives_what_it_had(time: Jumps) -> None:
    """After its first piece the reader holds half an answer, whichever clock ended it and whatever is inside."""
    for inside in (Script(["an", 2, "sw", 9, "er"]), Retry(Script(["an", 2, "sw", 9, "er"]))):
        for stack in (Timeout(inside, total=5), Timeout(inside, gap=5)):
            with pytest.raises(StreamInterrupted, match="broke after 2 pieces") as caught:
                await time.run(collect(stack, "x"))
            assert caught.value.partial == "answ"
            assert rang(caught.value).clock == ("gap" if stack.gap else "total")


async def test_the_error_names_the_setting_as_it_was_written(time: Jumps) -> None:
    stack = Timeout(Script([10, "answer"]), 3, setting="deadline")
    for work in (stack("x"), collect(stack, "x")):
        with pytest.raises(TimeoutExceeded, match=r"within 3 s \(deadline\)\. Raise deadline=…") as caught:
            await time.run(work)
        assert caught.value.clock == "total"


async def test_the_first_piece_may_take_longer_than_a_gap(time: Jumps) -> None:
    """The clock for the gap is set anew when it is the shorter one."""
    step, began = Timeout(Script([9, "a", 3, "b"]), first_piece=10, gap=2), time.time
    with pytest.raises(StreamInterrupted) as caught:
        await time.run(collect(step, "x"))
    assert (rang(caught.value).clock, time.time - began) == ("gap", 11)


async def test_a_gap_rings_before_the_first_piece_would_have_been_due(time: Jumps) -> None:
    step, began = Timeout(Script([1, "a", 9, "b"]), first_piece=10, gap=2), time.time
    with pytest.raises(StreamInterrupted):
        await time.run(collect(step, "x"))
    assert time.time - began == 3


class Early(Jumps):
    """Real timers may ring a little before their time."""

    def call_later(self, seconds: float, callback: Callable[[], object]) -> clock.Timer:
        return super().call_later(seconds * 0.75 if seconds > 0.001 else seconds, callback)


async def test_timers_that_ring_too_early_are_set_again() -> None:
    with Early() as time:
        began = time.time
        for work in (Timeout(_never, 1)("x"), collect(Timeout(_never, first_piece=1), "x")):
            with pytest.raises(TimeoutExceeded):
                await time.run(work)
        assert 2 <= time.time - began < 2.01
        stack = Limit(Script("answer"), rate=1, burst=1)
        await stack("x")
        assert await time.run(stack("x")) == "answer"
        assert 3 <= time.time - began < 3.01


async def _never(x: str) -> str:
    await asyncio.Event().wait()
    return x


async def test_without_a_clock_for_the_first_piece_it_may_take_any_time(time: Jumps) -> None:
    assert await time.run(collect(Timeout(Script([500, "a", 1, "b"]), gap=2), "x")) == ["a", "b"]


async def test_a_call_that_is_not_streamed_has_only_the_clock_of_the_whole(time: Jumps) -> None:
    assert await time.run(Timeout(Script([50, "answer"]), first_piece=1, gap=1)("x")) == "answer"


async def test_each_attempt_gets_fresh_clocks(time: Jumps) -> None:
    script, began = Script([10, "late"], [2, "answer"]), time.time
    assert await time.run(Retry(Timeout(script, 3), base=0)("x")) == "answer"
    assert (time.time - began, script.calls) == (5, 2)


async def test_the_step_inside_sees_the_shrunk_deadline(time: Jumps) -> None:
    script = Script("answer")
    stack = Timeout(script, 7)
    await time.run(stack("x"))
    await time.run(collect(stack, "x"))
    await time.run(Context.new(deadline=5).call(stack, "x"))
    assert [ctx.deadline for ctx in script.contexts] == [time.time + 7, time.time + 7, time.time + 5]


async def test_a_deadline_that_is_earlier_rings_by_its_own_name(time: Jumps) -> None:
    script = Script([10, "answer"])
    with pytest.raises(TimeoutExceeded) as caught:
        await time.run(Context.new(deadline=2).call(Retry(Timeout(script, 3)), "x"))
    assert (caught.value.clock, script.calls) == ("deadline", 1)


async def test_of_two_clocks_at_the_same_moment_the_outer_one_is_told(time: Jumps) -> None:
    inner = Timeout(Script([10, "answer"], name="inside"), 3)
    outer = Timeout(inner.named("renamed"), 3).named("outside")
    with pytest.raises(TimeoutExceeded, match="'outside'"):
        await time.run(outer("x"))


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_cancellation_at_the_same_moment_wins(time: Jumps, streamed: bool) -> None:
    stack = Timeout(Script([10, "answer"]), total=3)
    task = asyncio.create_task(collect(stack, "x") if streamed else stack("x"))
    await settle()
    time.call_later(3, task.cancel)
    await time.lapse(5)
    assert task.cancelled()


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_step_that_swallows_the_cancellation_keeps_its_answer(time: Jumps, streamed: bool) -> None:
    """The task is as it was before: nothing of the cancellation stays behind."""

    async def stubborn(x: str) -> str:
        try:
            await clock.sleep(10)
        except asyncio.CancelledError:
            pass
        return "all the same"

    async def use() -> int:
        stack = Timeout(stubborn, 3)
        answer: Any = await collect(stack, "x") if streamed else await stack("x")
        assert answer in (["all the same"], "all the same")
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert await time.run(use()) == 0


async def test_many_calls_share_one_timer(time: Jumps) -> None:
    stack, began = Timeout(_never, 3), time.time
    calls = [asyncio.create_task(stack("x")) for _ in range(50)]
    await settle()
    assert time.pending == 1
    later = asyncio.create_task(_after(1, stack))
    await time.lapse(3)
    assert all(isinstance(task.exception(), TimeoutExceeded) for task in calls)
    assert not later.done()
    with pytest.raises(TimeoutExceeded):
        await time.run(later)
    assert time.time - began == 4


async def _after(seconds: float, stack: Timeout[Any, Any]) -> Any:
    await clock.sleep(seconds)
    return await stack("x")


async def test_a_timer_on_a_former_clock_does_not_keep_a_new_one_from_being_set(time: Jumps) -> None:
    stack = Timeout(Script("answer", [10, "late"]), 3)
    await time.run(stack("x"))
    with Jumps() as other, pytest.raises(TimeoutExceeded):
        await other.run(stack("x"))


async def test_loops_that_take_turns_keep_one_timer_each() -> None:
    stack = Timeout(Script("answer"), 1_000)
    with FakeClock() as time:
        for _ in range(20):
            assert await stack("x") == "answer"
            assert await asyncio.to_thread(stack.run_sync, "x") == "answer"
        assert time.timers == [1_000, 1_000]


def test_loops_that_were_closed_are_forgotten() -> None:
    stack = Timeout(Script("answer"), 1_000)
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def use() -> str:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        return await stack("x")

    assert [asyncio.run(use()) for _ in range(5)] == ["answer"] * 5
    gc.collect()
    assert [loop() is None for loop in loops] == [True, True, True, True, False]


async def test_it_may_be_used_from_several_loops_at_once() -> None:
    """The loop of `run_sync` and the caller's own, with real time."""
    stack = Timeout(Script([0.0, "answer"]), 30)
    assert await stack("x") == "answer"
    assert await asyncio.to_thread(stack.run_sync, "x") == "answer"
    slow = Timeout(Script([30, "answer"]), 0.01)
    for _ in range(2):
        with pytest.raises(TimeoutExceeded):
            await slow("x")
        with pytest.raises(TimeoutExceeded):
            await asyncio.to_thread(slow.run_sync, "x")


async def test_an_error_of_the_step_passes_untouched(time: Jumps) -> None:
    error = overloaded()
    stack = Timeout(Script(error), total=3, gap=3)
    for work in (stack("x"), collect(stack, "x")):
        with pytest.raises(type(error)) as caught:
            await time.run(work)
        assert caught.value is error


async def test_the_ambient_context_is_what_it_was(time: Jumps) -> None:
    seen: list[Context | None] = []

    @step
    async def outer(x: str, ctx: Context) -> str:
        async with aclosing(Timeout(Script(["a", "b"]), 5).stream(x)) as pieces:
            seen.extend([Context.current() async for _ in pieces])
        await Timeout(Script("a"), 5)(x)
        seen.append(Context.current())
        return str({*seen} == {ctx})

    assert await time.run(outer("x")) == "True"


async def test_outside_of_a_task_there_is_nothing_to_cancel() -> None:
    stack, said = Timeout(Script(["a"]), 5, gap=5), list[str]()

    def drive() -> None:
        """A callback of the loop is no task."""
        for work in (stack.invoke("x", Context.new()), stack.invoke_stream("x", Context.new()).asend(None)):
            with pytest.raises(StepError) as caught:
                work.send(None)
            said.append(str(caught.value))

    asyncio.get_running_loop().call_soon(drive)
    await settle()
    assert said == [
        "a Timeout was started outside of any asyncio task.",
        "a stream with a Timeout was read outside of any asyncio task.",
    ]


@pytest.mark.parametrize("wrong", [{"total": 0}, {"first_piece": -1}, {"gap": float("nan")}, {"total": "5"}])
def test_arguments_out_of_range_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"^Timeout.{next(iter(wrong))}: "):
        Timeout(Script("answer"), **wrong)


def test_a_timeout_without_any_clock_is_refused() -> None:
    with pytest.raises(ConfigError, match="the Timeout around 'fetch' has no clock"):
        Timeout(Script("answer", name="fetch"))


def test_it_prints_the_clocks_it_has() -> None:
    assert (
        repr(Timeout(Script("a", name="fetch"), timedelta(minutes=1), gap=5))
        == "Timeout(fetch, total=60.0, gap=5.0)"
    )
