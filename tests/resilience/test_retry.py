"""`Retry`: when it tries again, how long it waits, and what it makes of a broken stream."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.resilience.doubles import Events, Jumps, Script, collect, overloaded
from tidyllm.core import Context, Retrying, Step, step
from tidyllm.errors import (
    BadRequest,
    BreakerOpen,
    ConfigError,
    Overloaded,
    RateLimited,
    StreamInterrupted,
    TimeoutExceeded,
    Unreachable,
)
from tidyllm.resilience import CircuitBreaker, Fallback, Hedge, Limit, Retry, Saga, Timeout


def half() -> float:
    return 0.5


async def test_pauses_double_up_to_the_cap(time: Jumps) -> None:
    script, began = Script(overloaded()), time.time
    with pytest.raises(Overloaded):
        await time.run(Retry(script, attempts=5, base=1, cap=3, rng=half)("x"))
    assert time.time - began == 0.5 + 1.0 + 1.5 + 1.5


async def test_pauses_may_grow_by_another_factor_and_be_exact(time: Jumps) -> None:
    script, began = Script(overloaded()), time.time
    with pytest.raises(Overloaded):
        await time.run(Retry(script, attempts=5, base=1, cap=20, multiplier=3, jitter=False)("x"))
    assert time.time - began == 1 + 3 + 9 + 20


@given(
    st.lists(st.tuples(st.floats(0, 20), st.none() | st.floats(0, 70)), max_size=8),
    st.integers(1, 5),
    st.none() | st.floats(0.1, 60),
)
def test_whatever_fails_it_makes_no_try_too_many_and_none_past_the_deadline(
    failures: list[tuple[float, float | None]], attempts: int, deadline: float | None
) -> None:
    """Failures come after some time and may ask for a pause; then the step answers at once."""
    script = Script(*([took, overloaded(retry_after=asked)] for took, asked in failures), "answer")

    async def play() -> None:
        with Jumps() as time:
            began = time.time
            stack = Retry(script, attempts=attempts, base=0.5, cap=4)
            try:
                assert await time.run(Context.new(deadline=deadline).call(stack, "x")) == "answer"
            except (Overloaded, TimeoutExceeded):
                assert failures
            spent = sum(took for took, _ in failures[: script.calls])
            asked = [pause or 0.0 for _, pause in failures[: script.calls - 1]]
            assert script.calls <= min(attempts, len(failures) + 1)
            assert max(asked, default=0) <= 60
            if deadline is not None:
                assert time.time - began <= deadline + 1e-6
            else:
                assert sum(asked) + spent <= time.time - began + 1e-6
                assert time.time - began <= sum(asked) + spent + 4 * len(asked) + 1e-6

    asyncio.run(play())


async def test_one_try_alone_adds_nothing_to_the_error(time: Jumps) -> None:
    with pytest.raises(Overloaded) as caught:
        await time.run(Retry(Script(overloaded()), attempts=1)("x"))
    assert not hasattr(caught.value, "__notes__")


async def test_a_pause_that_is_asked_for_is_waited_in_full(time: Jumps) -> None:
    script, began = Script(RateLimited("slow down", retry_after=20.0), "answer"), time.time
    assert await time.run(Retry(script, base=1, rng=half)("x")) == "answer"
    assert time.time - began == 20.5


async def test_a_pause_that_is_too_long_goes_to_the_caller_at_once(time: Jumps) -> None:
    script, began = Script(RateLimited("tomorrow", retry_after=61.0), "answer"), time.time
    with pytest.raises(RateLimited) as caught:
        await time.run(Retry(script)("x"))
    assert (time.time, script.calls) == (began, 1)
    assert caught.value.retry_after == 61.0
    assert "asks for a pause of 61 s" in caught.value.__notes__[0]


async def test_it_does_not_wait_past_the_deadline(time: Jumps) -> None:
    """The caller gets the error at once, not a timeout later."""
    script, began = Script(overloaded(retry_after=10.0)), time.time
    with pytest.raises(Overloaded) as caught:
        await time.run(Context.new(deadline=5).call(Retry(script), "x"))
    assert (time.time, script.calls) == (began, 1)
    assert "the deadline is in 5.00 s" in caught.value.__notes__[0]


async def test_the_last_error_is_raised_with_the_number_of_attempts(time: Jumps) -> None:
    script = Script(overloaded("one"), overloaded("two"), Unreachable("three"))
    with pytest.raises(Unreachable, match="three") as caught:
        await time.run(Retry(script)("x"))
    assert caught.value.__notes__ == ["Retry of 'script' gave up: 3 of 3 attempts failed."]


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (overloaded(), 3),
        (ConnectionResetError("gone"), 3),
        (TimeoutError("late"), 3),
        (BadRequest("no"), 1),
        (BreakerOpen("b", failures=5, window=30, retry_after=5), 1),
        (ValueError("a bug"), 1),
    ],
)
async def test_by_default_the_error_says_whether_another_try_can_help(
    time: Jumps, error: Exception, tries: int
) -> None:
    script = Script(error)
    with pytest.raises(type(error)):
        await time.run(Retry(script)("x"))
    assert script.calls == tries


def says_again(error: Exception) -> bool:
    return error.args == ("again",)


@pytest.mark.parametrize("on", [ValueError, (KeyError, ValueError), says_again])
async def test_the_caller_may_say_which_errors(time: Jumps, on: Any) -> None:
    script, other = Script(ValueError("again"), "answer"), Script(overloaded())
    assert await time.run(Retry(script, on=on)("x")) == "answer"
    with pytest.raises(Overloaded):
        await time.run(Retry(other, on=on)("x"))
    assert other.calls == 1


async def test_each_pause_is_told_to_the_hooks(time: Jumps) -> None:
    heard, error = Events(), overloaded()
    await time.run(Context.new(hooks=(heard,)).call(Retry(Script(error, "answer"), base=1, rng=half), "x"))
    [told] = heard.of(Retrying)
    assert (told.name, told.attempt, told.error, told.delay) == ("script", 1, error, 0.5)


async def test_calls_of_a_later_attempt_have_places_of_their_own(time: Jumps) -> None:
    """A runtime that remembers calls by their path must not take the second attempt for the first."""
    script = Script(overloaded(), overloaded(), "answer")

    @step
    async def outer(x: str) -> str:
        return await script(x)

    await time.run(Context.new(hooks=()).call(Retry(outer), "x"))
    assert [ctx.path for ctx in script.contexts] == [
        ("outer", "script"),
        ("outer", "retry", "script"),
        ("outer", "retry#2", "script"),
    ]


async def test_retries_in_retries_never_share_a_place(time: Jumps) -> None:
    script = Script(overloaded())
    with pytest.raises(Overloaded):
        await time.run(Context.new().call(Retry(Retry(script, attempts=2), attempts=2), "x"))
    assert len({ctx.path for ctx in script.contexts}) == script.calls == 4


async def test_a_stream_that_breaks_before_its_first_piece_starts_over_unseen(time: Jumps) -> None:
    script = Script(StreamInterrupted("cut at once"), ["an", "swer"])
    assert await time.run(collect(Retry(script), "x")) == ["an", "swer"]
    with pytest.raises(StreamInterrupted):
        await time.run(collect(Retry(Script(StreamInterrupted("cut")), on=ValueError), "x"))


async def test_a_broken_stream_that_brings_its_partial_answer_passes_on(time: Jumps) -> None:
    own, bare = StreamInterrupted("cut", partial="mine"), StreamInterrupted("cut")
    with pytest.raises(StreamInterrupted) as first:
        await time.run(collect(Retry(Script(["an", own])), "x"))
    with pytest.raises(StreamInterrupted) as second:
        await time.run(collect(Retry(Script(["an", bare])), "x"))
    assert (first.value, own.partial) == (own, "mine")
    assert (second.value, bare.partial) == (bare, "an")


async def test_the_error_of_a_broken_stream_says_what_happened(time: Jumps) -> None:
    script = Script(["an", "sw", overloaded("too much", retry_after=3.0)])
    with pytest.raises(StreamInterrupted) as caught:
        await time.run(collect(Retry(script), "x"))
    error = caught.value
    assert "the stream of 'script' broke after 2 pieces (Overloaded: too much)." in error.message
    assert (error.provider, error.model, error.retry_after) == ("main", "m", 3.0)


async def test_pieces_that_cannot_be_joined_leave_a_note_instead(time: Jumps) -> None:
    class Numbers(Script):
        async def invoke_stream(self, x: Any, ctx: Context) -> AsyncGenerator[Any, None]:
            yield 1
            raise overloaded()

    with pytest.raises(StreamInterrupted) as caught:
        await time.run(collect(Retry(Numbers("unused")), "x"))
    assert caught.value.partial is None
    assert "could not be joined: TypeError" in caught.value.__notes__[0]


class Joins(Script):
    """Counts how often its pieces are joined."""

    joins = 0

    def join(self, pieces: Any) -> Any:
        self.joins += 1
        return super().join(pieces)


async def test_one_wrapper_of_a_stack_keeps_the_pieces(time: Jumps) -> None:
    """An outer one relies on the inner one, unless something between them can end the stream by itself."""
    script = Joins(["an", "sw", overloaded()])
    stacks: list[Step[Any, Any]] = [
        Fallback(Retry(script)),
        Retry(Fallback(Retry(script))),
        Retry(Timeout(Fallback(script), gap=5)),
    ]
    for stack in stacks:
        script.joins = 0
        with pytest.raises(StreamInterrupted) as caught:
            await time.run(collect(stack, "x"))
        assert (caught.value.partial, script.joins) == ("answ", 1)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_breaker_that_the_attempts_opened_does_not_hide_what_went_wrong(
    time: Jumps, streamed: bool
) -> None:
    script = Script(overloaded("the disk is full"))
    stack = Retry(CircuitBreaker(script, failures=2), attempts=3, base=0)
    with pytest.raises(Overloaded, match="the disk is full") as caught:
        await time.run(collect(stack, "x") if streamed else stack("x"))
    assert script.calls == 2
    assert "A further attempt was refused (BreakerOpen)" in caught.value.__notes__[-1]
    with pytest.raises(BreakerOpen):
        await time.run(collect(stack, "x") if streamed else stack("x"))


async def test_what_breaks_the_promise_to_report_is_still_an_interrupted_stream(time: Jumps) -> None:
    class Promises(Script):
        reports_partial = True

    with pytest.raises(StreamInterrupted, match="after some pieces") as caught:
        await time.run(collect(Retry(Promises(["an", overloaded()])), "x"))
    assert caught.value.partial is None


async def test_what_a_reader_throws_into_the_stream_is_not_the_steps_failure(time: Jumps) -> None:
    script = Script(["an", "swer"])
    stacks: list[Step[Any, Any]] = [Retry(script), Fallback(script), CircuitBreaker(script, failures=1)]
    for stack in stacks:
        async with aclosing(stack.stream("x")) as pieces:
            assert await anext(pieces) == "an"
            with pytest.raises(Overloaded, match="the reader's own"):
                await pieces.athrow(overloaded("the reader's own"))
    assert (script.calls, script.running) == (3, 0)


@pytest.mark.parametrize("streamed", [False, True])
async def test_failures_leave_no_garbage_behind(time: Jumps, streamed: bool) -> None:
    """An error refers to frames; frames that refer to it would live until the collector comes."""

    alive: weakref.WeakSet[Exception] = weakref.WeakSet()
    made: list[int] = []

    class Special(Overloaded):
        def __init__(self, message: str) -> None:
            super().__init__(message)
            alive.add(self)
            made.append(1)

    async def fail(x: str) -> str:
        raise Special(x)

    hedged = Hedge(CircuitBreaker(Limit(Timeout(fail, 5, gap=5), 5)), delay=5)
    stack = Fallback(Retry(hedged, attempts=2), Retry(Saga((str, str), hedged), attempts=2, base=0))
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(Special):
            await time.run(collect(stack, "x") if streamed else stack("x"))
        assert (len(made), len(alive)) == (4, 0)
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"attempts": 1.5},
        {"attempts": True},
        {"base": -1},
        {"base": "1"},
        {"cap": float("inf")},
        {"cap": float("nan")},
        {"longest_wait": -1},
        {"on": 5},
        {"on": (ValueError, BaseException)},
        {"on": KeyboardInterrupt},
    ],
)
def test_arguments_out_of_range_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"^Retry.{next(iter(wrong))}: "):
        Retry(Script("answer"), **wrong)


def test_it_prints_what_differs_from_the_defaults() -> None:
    script = Script("answer", name="fetch")
    assert repr(Retry(script)) == "Retry(fetch)"
    assert repr(Retry(script, 5, cap=2, on=ValueError)) == "Retry(fetch, attempts=5, cap=2.0, on=ValueError)"
    assert repr(Retry(script, on=(ValueError,))) == "Retry(fetch, on=(ValueError,))"
    assert repr(Retry(script, multiplier=3, jitter=False)) == "Retry(fetch, multiplier=3.0, jitter=False)"
    assert repr(Retry(script, on=says_again)) == "Retry(fetch, on=says_again)"
