"""`CircuitBreaker`: a step that keeps failing is left alone for a while, and asked again by one call."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest

from tests.resilience.doubles import Events, Jumps, Script, collect, overloaded, settle
from tidyllm.core import BreakerChanged, Context
from tidyllm.errors import (
    AuthError,
    BadRequest,
    BreakerOpen,
    ConfigError,
    ContentRefused,
    LimitExceeded,
    Overloaded,
    RateLimited,
    TimeoutExceeded,
    Unreachable,
)
from tidyllm.resilience import BREAKERS, Breaker, Breakers, CircuitBreaker, Retry


async def fail(stack: CircuitBreaker[Any, Any], times: int) -> None:
    for _ in range(times):
        with pytest.raises(Overloaded):
            await stack("x")


async def test_it_opens_after_the_failures_and_says_when_to_come_again(time: Jumps) -> None:
    script = Script(overloaded(), name="fetch")
    stack = CircuitBreaker(script, failures=3, cooldown=10)
    await fail(stack, 3)
    await time.lapse(4)
    with pytest.raises(BreakerOpen) as caught:
        await stack("x")
    assert (caught.value.name, caught.value.retry_after, script.calls) == ("fetch", 6.0, 3)


async def test_of_many_calls_after_the_cooldown_exactly_one_gets_through(time: Jumps) -> None:
    script = Script(overloaded(), [1, "answer"])
    stack = CircuitBreaker(script, failures=1, cooldown=10)
    await fail(stack, 1)
    await time.lapse(10)
    calls = [asyncio.create_task(stack("x")) for _ in range(50)]
    await time.lapse(2)
    refused = [task for task in calls if isinstance(task.exception(), BreakerOpen)]
    assert (len(refused), script.calls, stack.breaker.status) == (49, 2, "closed")
    assert await time.run(stack("x")) == "answer"


async def test_a_probe_that_fails_opens_it_for_another_cooldown(time: Jumps) -> None:
    stack = CircuitBreaker(Script(overloaded()), failures=2, cooldown=10)
    await fail(stack, 2)
    await time.lapse(10)
    await fail(stack, 1)
    with pytest.raises(BreakerOpen) as caught:
        await stack("x")
    assert caught.value.retry_after == 10


async def test_a_late_success_of_an_older_call_never_closes_it(time: Jumps) -> None:
    script = Script([5, "late"], overloaded())
    stack = CircuitBreaker(script, failures=1)
    late = asyncio.create_task(stack("x"))
    await settle()
    await fail(stack, 1)
    assert await time.run(late) == "late"
    assert stack.breaker.status == "open"


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_cancelled_probe_leaves_its_place_to_the_next_call(time: Jumps, streamed: bool) -> None:
    script = Script(overloaded(), [5, "never"], "answer")
    stack = CircuitBreaker(script, failures=1, cooldown=10)
    await fail(stack, 1)
    await time.lapse(10)
    probe = asyncio.create_task(collect(stack, "x") if streamed else stack("x"))
    await settle()
    probe.cancel()
    await settle()
    assert stack.breaker.status == "half_open"
    assert await stack("x") == "answer"
    assert stack.breaker.status == "closed"


async def test_it_is_asked_before_every_attempt(time: Jumps) -> None:
    script = Script(overloaded())
    with pytest.raises(Overloaded):
        await time.run(Retry(CircuitBreaker(script, failures=2), attempts=5)("x"))
    assert script.calls == 2


async def test_failures_outside_the_window_do_not_add_up(time: Jumps) -> None:
    stack = CircuitBreaker(Script(overloaded()), failures=2, window=30)
    for _ in range(3):
        await fail(stack, 1)
        await time.lapse(31)
    assert stack.breaker.status == "closed"


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        (overloaded(), True),
        (Unreachable("gone"), True),
        (TimeoutExceeded("gap", 5, what="step"), True),
        (ValueError("a bug"), True),
        (TimeoutExceeded("deadline", 5, what="step"), False),
        (RateLimited("slow down"), False),
        (BadRequest("no"), False),
        (AuthError("key"), False),
        (ContentRefused("no"), False),
        (LimitExceeded("full"), False),
    ],
)
async def test_only_what_says_that_the_target_is_broken_counts(error: Exception, counted: bool) -> None:
    stack = CircuitBreaker(Script(error), failures=1)
    with pytest.raises(type(error)):
        await stack("x")
    assert stack.breaker.status == ("open" if counted else "closed")


async def test_the_caller_may_say_which_errors_count() -> None:
    stack = CircuitBreaker(Script(ValueError("v"), KeyError("k")), failures=1, counts=KeyError)
    for error in (ValueError, KeyError, BreakerOpen):
        with pytest.raises(error):
            await stack("x")


async def test_a_judge_that_fails_itself_does_not_keep_the_place_of_the_probe(time: Jumps) -> None:
    verdicts = iter([True])
    stack = CircuitBreaker(Script(overloaded()), failures=1, cooldown=10, counts=lambda error: next(verdicts))
    await fail(stack, 1)
    await time.lapse(10)
    for _ in range(2):  # both reach the step: the first one's place was freed
        with pytest.raises(RuntimeError, match="StopIteration"):
            await stack("x")


class Head:
    """A piece that only announces an answer."""

    is_head = True


async def test_a_probe_that_streams_succeeds_with_its_first_piece_of_the_answer(time: Jumps) -> None:
    """It may go on for minutes, and others need not wait for its end."""
    script = Script(["a", overloaded()], [Head(), 5, "a", 60, "b"], "answer")
    stack = CircuitBreaker(script, failures=1, cooldown=10)
    with pytest.raises(Overloaded):
        await time.run(collect(stack, "x"))
    assert stack.breaker.status == "open"
    await time.lapse(10)
    probe = asyncio.create_task(collect(stack, "x"))
    await time.lapse(1)
    with pytest.raises(BreakerOpen, match="a probe is under way") as caught:
        await stack("x")
    assert caught.value.retry_after is None
    await time.lapse(5)
    assert stack.breaker.status == "closed"
    assert await stack("x") == "answer"
    assert (await time.run(probe))[1:] == ["a", "b"]


async def test_a_probe_that_breaks_after_it_succeeded_counts_as_any_failure(time: Jumps) -> None:
    stack = CircuitBreaker(Script(overloaded(), overloaded(), ["a", overloaded()]), failures=2, cooldown=10)
    await fail(stack, 2)
    await time.lapse(10)
    for status in ("closed", "open"):
        with pytest.raises(Overloaded):
            await time.run(collect(stack, "x"))
        assert stack.breaker.status == status


async def test_a_reader_who_leaves_says_nothing_of_the_target(time: Jumps) -> None:
    script = Script(overloaded(), [Head(), "a", "b"], ["a", "b"])
    stack = CircuitBreaker(script, failures=1, cooldown=10)
    await fail(stack, 1)
    await time.lapse(10)
    pieces = stack.stream("x")
    await anext(pieces)
    await pieces.aclose()
    assert stack.breaker.status == "half_open"
    assert await stack("x") == "ab"


async def test_each_change_is_told_to_the_hooks(time: Jumps) -> None:
    heard, script = Events(), Script(overloaded(), "answer")
    stack, ctx = CircuitBreaker(script, failures=1, cooldown=10, name="told"), Context.new(hooks=(heard,))
    with pytest.raises(Overloaded):
        await ctx.call(stack, "x")
    await time.lapse(10)
    await ctx.call(stack, "x")
    changes = heard.of(BreakerChanged)
    assert [change.state for change in changes] == ["open", "half_open", "closed"]
    assert {change.name for change in changes} == {"told"}


async def test_steps_that_name_the_same_breaker_share_it() -> None:
    registry = Breakers()
    one = CircuitBreaker(Script(overloaded()), failures=1, name="main", breakers=registry)
    two = CircuitBreaker(Script("answer"), failures=1, name="main", breakers=registry)
    alone = CircuitBreaker(Script("answer"), failures=1)
    await fail(one, 1)
    with pytest.raises(BreakerOpen):
        await two("x")
    assert await alone("x") == "answer"
    assert [breaker.name for breaker in registry] == ["main"]


def test_without_a_registry_of_its_own_a_name_holds_in_the_whole_process() -> None:
    one, two = (CircuitBreaker(Script("a"), name="held by the process") for _ in range(2))
    assert one.breaker is two.breaker
    assert one.breaker in list(BREAKERS)


def test_a_name_with_other_settings_is_refused() -> None:
    registry = Breakers()
    held = CircuitBreaker(Script("a"), name="main", breakers=registry)
    with pytest.raises(
        ConfigError, match="there is a Breaker\\('main', failures=5, window=30, cooldown=10\\)"
    ):
        CircuitBreaker(Script("a"), failures=3, name="main", breakers=registry)
    assert held.breaker.settings == (5, 30.0, 10.0)


def test_a_breaker_lives_as_long_as_a_step_holds_it() -> None:
    """Names that callers make up cannot fill the memory."""
    registry = Breakers()
    for number in range(10):
        CircuitBreaker(Script("a"), name=f"model-{number}", breakers=registry)
    gc.collect()
    assert list(registry) == []


async def test_a_program_configured_anew_keeps_the_breakers_that_did_not_change() -> None:
    before = Breakers()
    same = CircuitBreaker(Script(overloaded()), failures=1, name="same", breakers=before)
    other = CircuitBreaker(Script(overloaded()), failures=1, name="other", breakers=before)
    await fail(same, 1)
    await fail(other, 1)
    after = Breakers(before)
    assert CircuitBreaker(Script("a"), failures=1, name="same", breakers=after).breaker is same.breaker
    assert CircuitBreaker(Script("a"), failures=2, name="other", breakers=after).breaker.status == "closed"


def test_threads_that_ask_at_the_same_time_get_one_probe() -> None:
    breaker = Breaker("b", failures=1, cooldown=0.0)
    breaker.finished(breaker.admit()[0], failed=True)
    admitted, barrier = list[int](), threading.Barrier(8)

    def ask() -> None:
        barrier.wait()
        try:
            admitted.append(breaker.admit()[0])
        except BreakerOpen:
            pass

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(admitted) == 1


@pytest.mark.parametrize("wrong", [{"failures": 0}, {"window": 0}, {"cooldown": -1}, {"counts": 7}])
def test_arguments_out_of_range_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"^CircuitBreaker.{next(iter(wrong))}: "):
        CircuitBreaker(Script("answer"), **wrong)


def test_it_prints_what_differs_from_the_defaults() -> None:
    script, registry = Script("a", name="fetch"), Breakers()
    assert repr(CircuitBreaker(script)) == "CircuitBreaker(fetch)"
    shared = CircuitBreaker(script, 3, window=60, name="main", counts=(OSError, KeyError), breakers=registry)
    text = "CircuitBreaker(fetch, failures=3, window=60.0, name='main', counts=(OSError, KeyError))"
    assert repr(shared) == text
