"""Every wrapper around every other one, called and streamed, through everything that can happen to a call.

What must come out is worked out from the contracts: how many tries each wrapper makes, and which of them turn a
broken stream into `StreamInterrupted`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from tests.resilience.doubles import Events, Jumps, Script, collect, overloaded, settle
from tidyllm.core import CallFinished, Context, Step
from tidyllm.errors import BreakerOpen, Overloaded, StreamInterrupted, TimeoutExceeded
from tidyllm.resilience import CircuitBreaker, Fallback, Hedge, Limit, Retry, Timeout

Wrap = Callable[[Step[Any, Any]], Step[Any, Any]]

WRAPPERS: dict[str, Wrap] = {
    "Retry": lambda step: Retry(step, attempts=3, base=1, cap=1),
    "Timeout": lambda step: Timeout(step, total=100, first_piece=50, gap=50),
    "Fallback": lambda step: Fallback(step, step),
    "CircuitBreaker": lambda step: CircuitBreaker(step, failures=20),
    "Limit": lambda step: Limit(step, concurrency=1),
    "Hedge": lambda step: Hedge(step, delay=60),
}
TRIES = {"Retry": 3, "Fallback": 2}  # the others make one
INTERRUPT = {"Retry", "Fallback"}

pairs = pytest.mark.parametrize(("outer", "inner"), list(product(WRAPPERS, WRAPPERS)), ids=str)
modes = pytest.mark.parametrize("streamed", [False, True], ids=["call", "stream"])


class Stack:
    """`outer(inner(script))`, with a hook that listens."""

    def __init__(self, outer: str, inner: str, *acts: Any) -> None:
        self.script = Script(*acts)
        self.inside = WRAPPERS[inner](self.script)
        self.outside = WRAPPERS[outer](self.inside)
        self.tries = TRIES.get(outer, 1) * TRIES.get(inner, 1)
        self.interrupts = bool({outer, inner} & INTERRUPT)
        self.heard = Events()

    async def use(self, streamed: bool, pieces: list[Any] | None = None) -> Any:
        """One use of the stack: the answer, whichever way it came."""
        ctx = Context.new(hooks=(self.heard,))
        if not streamed:
            return await ctx.call(self.outside, "x")
        pieces = [] if pieces is None else pieces
        async for piece in ctx.stream(self.outside, "x"):
            pieces.append(piece)
        return self.outside.join(pieces)

    async def check_that_nothing_is_left(self, time: Jumps) -> None:
        """No try still runs, no place is held, no breaker counts what it should not, one record was made."""
        await settle()
        assert self.script.running == 0
        assert len(self.heard.of(CallFinished)) == 1
        for step in (self.outside, self.inside):
            if isinstance(step, Limit):
                assert step.limiter.free == 1
            if isinstance(step, CircuitBreaker):
                assert step.breaker.status == "closed"
        self.script.acts = ("again",)
        assert await time.run(self.use(streamed=False)) == "again"


@modes
@pairs
async def test_success_passes_untouched_and_takes_no_time(
    time: Jumps, outer: str, inner: str, streamed: bool
) -> None:
    stack = Stack(outer, inner, ["an", "swer"])
    before = time.time
    assert await time.run(stack.use(streamed)) == "answer"
    assert time.time == before
    assert stack.script.calls == 1
    await stack.check_that_nothing_is_left(time)


@modes
@pairs
async def test_one_failure_is_overcome_by_whoever_tries_again(
    time: Jumps, outer: str, inner: str, streamed: bool
) -> None:
    stack = Stack(outer, inner, overloaded(), ["an", "swer"])
    if stack.tries > 1:
        assert await time.run(stack.use(streamed)) == "answer"
    else:
        with pytest.raises(Overloaded):
            await time.run(stack.use(streamed))
    assert stack.script.calls == min(stack.tries, 2)
    await stack.check_that_nothing_is_left(time)


@modes
@pairs
async def test_a_lasting_failure_is_raised_after_exactly_the_tries_of_the_policy(
    time: Jumps, outer: str, inner: str, streamed: bool
) -> None:
    stack = Stack(outer, inner, overloaded())
    with pytest.raises(Overloaded, match="busy"):
        await time.run(stack.use(streamed))
    assert stack.script.calls == stack.tries
    await stack.check_that_nothing_is_left(time)


@modes
@pairs
async def test_a_cancellation_stops_the_call_and_is_neither_tried_again_nor_counted(
    time: Jumps, outer: str, inner: str, streamed: bool
) -> None:
    stack = Stack(outer, inner, [10, "answer"])
    task = asyncio.create_task(stack.use(streamed))
    await time.lapse(5)
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError):
        await time.run(task)
    assert (stack.script.calls, stack.script.cancelled) == (1, 1)
    await stack.check_that_nothing_is_left(time)


@pairs
async def test_a_stream_that_is_cut_after_its_first_piece_never_starts_over(
    time: Jumps, outer: str, inner: str
) -> None:
    stack = Stack(outer, inner, ["an", "sw", overloaded()], "another")
    seen: list[str] = []
    with pytest.raises(StreamInterrupted if stack.interrupts else Overloaded) as caught:
        await time.run(stack.use(True, seen))
    assert seen == ["an", "sw"]
    assert stack.script.calls == 1
    if isinstance(caught.value, StreamInterrupted):
        assert caught.value.partial == "answ"
        assert isinstance(caught.value.__cause__, Overloaded)
        assert caught.value.provider == "main"
    await stack.check_that_nothing_is_left(time)


@pairs
async def test_a_call_whose_answer_breaks_off_has_shown_nothing_and_is_tried_again(
    time: Jumps, outer: str, inner: str
) -> None:
    stack = Stack(outer, inner, ["an", "sw", overloaded()], "another")
    if stack.tries > 1:
        assert await time.run(stack.use(streamed=False)) == "another"
    else:
        with pytest.raises(Overloaded):
            await time.run(stack.use(streamed=False))
    await stack.check_that_nothing_is_left(time)


@pairs
async def test_a_reader_who_leaves_closes_the_stream_and_frees_everything(
    time: Jumps, outer: str, inner: str
) -> None:
    stack = Stack(outer, inner, ["an", 10, "swer"])
    ctx = Context.new(hooks=(stack.heard,))
    pieces = ctx.stream(stack.outside, "x")
    assert await time.run(anext(pieces)) == "an"
    await pieces.aclose()
    await stack.check_that_nothing_is_left(time)


# -- what each wrapper is there for, inside and outside of every other one


def around(other: str, step: Step[Any, Any], outside: bool, own: Wrap) -> Step[Any, Any]:
    """`own` outside or inside of the wrapper `other`."""
    return own(WRAPPERS[other](step)) if outside else WRAPPERS[other](own(step))


each = pytest.mark.parametrize("other", WRAPPERS)
places = pytest.mark.parametrize("outside", [True, False], ids=["outside", "inside"])


@modes
@places
@each
async def test_a_timeout_ends_what_hangs(time: Jumps, other: str, outside: bool, streamed: bool) -> None:
    script = Script([40, "answer"])
    stack = around(other, script, outside, lambda step: Timeout(step, total=3))
    with pytest.raises(TimeoutExceeded):
        await time.run(collect(stack, "x") if streamed else stack("x"))
    assert script.calls == (1 if outside else TRIES.get(other, 1))
    assert (script.cancelled, script.running) == (script.calls, 0)


@modes
@places
@each
async def test_a_hedge_answers_with_the_quicker_of_two_tries(
    time: Jumps, other: str, outside: bool, streamed: bool
) -> None:
    script, began = Script([40, "slow"], [1, "quick"]), time.time
    stack = around(other, script, outside, lambda step: Hedge(step, delay=5))
    answer: Any = await time.run(collect(stack, "x") if streamed else stack("x"))
    # A limit of one place inside keeps the second try waiting for the first.
    queued = other == "Limit" and outside
    assert "".join(answer) == ("slow" if queued else "quick")
    assert time.time - began == (40 if queued else 6)
    await settle()
    assert (script.most_running, script.running) == (1 if queued else 2, 0)


@modes
@places
@each
async def test_a_breaker_opens_and_refuses_before_the_step_is_reached(
    time: Jumps, other: str, outside: bool, streamed: bool
) -> None:
    script = Script(overloaded())
    stack = around(other, script, outside, lambda step: CircuitBreaker(step, failures=1))
    with pytest.raises(Overloaded):
        await time.run(collect(stack, "x") if streamed else stack("x"))
    calls = script.calls
    assert calls == (TRIES.get(other, 1) if outside else 1)
    with pytest.raises(BreakerOpen):
        await time.run(collect(stack, "x") if streamed else stack("x"))
    assert script.calls == calls


@modes
@places
@each
async def test_a_limit_lets_calls_wait_for_their_turn(
    time: Jumps, other: str, outside: bool, streamed: bool
) -> None:
    script, began = Script([5, "answer"]), time.time
    stack = around(other, script, outside, lambda step: Limit(step, concurrency=1))
    calls: list[Any] = [collect(stack, "x") if streamed else stack("x") for _ in range(3)]
    assert ["".join(answer) for answer in await time.run(asyncio.gather(*calls))] == ["answer"] * 3
    assert (script.calls, script.most_running, time.time - began) == (3, 1, 15)


@pairs
def test_a_stack_prints_as_it_is_written(outer: str, inner: str) -> None:
    stack = Stack(outer, inner, "answer")
    names: dict[str, Any] = {"script": stack.script}
    kinds = (Retry, Timeout, Fallback, CircuitBreaker, Limit, Hedge)
    names.update({kind.__name__: kind for kind in kinds})
    for written in (stack.outside, stack.outside.named("fast")):
        again = eval(repr(written), names)  # the point of the test
        assert repr(again) == repr(written)
        assert (type(again), again.name) == (type(written), written.name)


async def test_pieces_of_a_stream_make_the_answer_of_a_call(time: Jumps) -> None:
    for outer, inner in product(WRAPPERS, WRAPPERS):
        stack = Stack(outer, inner, ["a", "b", "c"])
        pieces = await time.run(collect(stack.outside, "x"))
        assert stack.outside.join(pieces) == await time.run(stack.outside("x"))
