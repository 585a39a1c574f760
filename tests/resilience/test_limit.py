"""`Limit` and `Limiter`: so many at once, so many a second, first come, first served."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.resilience.doubles import Jumps, Script, collect, overloaded, settle
from tidyllm import clock
from tidyllm.core import Context
from tidyllm.errors import ConfigError, LimitExceeded, Overloaded
from tidyllm.resilience import Limit, Limiter, Retry


async def test_no_more_than_the_concurrency_run_at_once(time: Jumps) -> None:
    script, began = Script([1, "answer"]), time.time
    stack = Limit(script, concurrency=3)
    await time.run(asyncio.gather(*(stack("x") for _ in range(10))))
    assert (script.most_running, time.time - began) == (3, 4)


async def test_a_burst_starts_at_once_and_the_rest_at_the_rate(time: Jumps) -> None:
    starts: list[float] = []

    async def note(x: float) -> None:
        starts.append(clock.monotonic() - x)

    stack = Limit(note, rate=2, burst=3)
    began = time.time
    await time.run(asyncio.gather(*(stack(began) for _ in range(7))))
    assert starts == [0, 0, 0, 0.5, 1.0, 1.5, 2.0]


async def test_the_default_burst_is_that_of_a_second(time: Jumps) -> None:
    for rate, burst in ((5, 5), (2.5, 3), (0.1, 1)):
        limiter = Limiter(rate=rate)
        for _ in range(burst):
            limiter.acquire_nowait()
        with pytest.raises(LimitExceeded):
            limiter.acquire_nowait()


@given(
    st.lists(
        st.tuples(st.sampled_from(["come", "leave", "release", "wait"]), st.integers(0, 9)), max_size=40
    ),
    st.integers(1, 3),
    st.sampled_from([None, 2.0]),
)
@settings(max_examples=60)
def test_whatever_callers_do_the_order_holds_and_no_place_is_lost(
    acts: list[tuple[str, int]], places: int, rate: float | None
) -> None:
    """Callers come, give up, get in and leave in any order; at the end every place is free again."""

    async def play(time: Jumps) -> None:
        limiter = Limiter(concurrency=places, rate=rate, burst=None if rate is None else 2)
        waiting: list[tuple[int, asyncio.Task[None]]] = []
        holding: list[int] = []
        came = 0

        async def get_in(number: int) -> None:
            await limiter.acquire()
            holding.append(number)

        for act, choice in acts:
            if act == "come":
                waiting.append((came, asyncio.create_task(get_in(came))))
                came += 1
            elif act == "leave" and waiting:
                waiting.pop(choice % len(waiting))[1].cancel()
            elif act == "release" and holding:
                holding.pop(choice % len(holding))
                limiter.release()
            elif act == "wait":
                await time.lapse(choice / 4)
            await settle()
            inside = [number for number, task in waiting if task.done()]
            outside = [number for number, task in waiting if not task.done()]
            assert max(inside, default=-1) < min(outside, default=came)  # nobody overtook
            assert len(holding) <= places
            assert limiter.waiting == len(outside)
            assert rate is not None or not outside or len(holding) == places  # no place lies idle
            waiting = [one for one in waiting if not one[1].done()]
        while waiting or holding:
            for _ in range(len(holding)):
                holding.pop()
                limiter.release()
            await time.lapse(1)
            waiting = [one for one in waiting if not one[1].done()]
        assert (limiter.free, limiter.waiting, time.pending) == (places, 0, 0)

    with Jumps() as time:
        asyncio.run(play(time))


async def test_who_waits_for_a_place_alone_needs_no_timer(time: Jumps) -> None:
    """A timer for the next token would ring again and again for nothing."""
    limiter = Limiter(concurrency=1, rate=10, burst=1)
    await limiter.acquire()
    waiter = asyncio.create_task(limiter.acquire())
    await settle()
    assert time.pending == 0
    limiter.release()
    await time.run(waiter)


async def test_who_gives_up_after_getting_in_gives_place_and_token_back(time: Jumps) -> None:
    """Cancelled in the very turn in which the place was given: the next one gets both."""
    limiter = Limiter(concurrency=1, rate=1, burst=2)
    await limiter.acquire()
    first, second = (asyncio.create_task(limiter.acquire()) for _ in range(2))
    await settle()
    limiter.release()
    first.cancel()
    await settle()
    assert first.cancelled()
    assert second.done()
    assert not second.cancelled()


async def test_acquire_nowait_refuses_and_says_when_a_token_comes(time: Jumps) -> None:
    by_rate, by_number = Limiter(rate=2, burst=1, name="calls"), Limiter(concurrency=1)
    by_rate.acquire_nowait()
    by_number.acquire_nowait()
    with pytest.raises(LimitExceeded, match=r"'calls' \(2 a second\) has no room: it is full") as rate:
        by_rate.acquire_nowait()
    with pytest.raises(LimitExceeded, match=r"\(1 at once\)") as number:
        by_number.acquire_nowait()
    assert (rate.value.retry_after, number.value.retry_after) == (0.5, None)


async def test_nobody_overtakes_those_who_wait(time: Jumps) -> None:
    limiter = Limiter(concurrency=1)
    async with limiter:
        waiter = asyncio.create_task(limiter.acquire())
        await settle()
    with pytest.raises(LimitExceeded):
        limiter.acquire_nowait()
    await waiter


async def test_a_token_that_is_due_belongs_to_who_waits_for_it(time: Jumps) -> None:
    """Others ask at the very moment at which it comes, before the line has moved on."""
    limiter = Limiter(rate=1, burst=1)
    limiter.acquire_nowait()
    refused: list[LimitExceeded] = []

    def ask() -> None:
        late = limiter.acquire()
        late.send(None)  # it waits, too
        late.close()
        try:
            limiter.acquire_nowait()
        except LimitExceeded as error:
            refused.append(error)

    time.call_later(1, ask)
    waiter = asyncio.create_task(limiter.acquire())
    await time.lapse(1)
    assert len(refused) == 1
    assert waiter.done()


async def test_a_wait_that_is_known_to_be_too_long_is_refused_at_once(time: Jumps) -> None:
    stack = Limit(Script("answer"), rate=1, burst=1, max_wait=2)
    calls = [asyncio.create_task(stack("x")) for _ in range(5)]
    await settle()
    refused = [task.exception() for task in calls if task.done() and task.exception()]
    assert [error.retry_after for error in refused if isinstance(error, LimitExceeded)] == [3.0, 3.0]
    await time.lapse(2)
    assert [task.result() for task in calls if task.exception() is None] == ["answer"] * 3


async def test_a_wait_past_the_deadline_is_refused_at_once(time: Jumps) -> None:
    stack, began = Limit(Script("answer"), rate=0.1), time.time
    await stack("x")
    with pytest.raises(LimitExceeded, match=r"the deadline is in 5\.00 s") as caught:
        await time.run(Context.new(deadline=5).call(stack, "x"))
    assert (caught.value.retry_after, time.time) == (10.0, began)
    assert await time.run(Context.new(deadline=15).call(stack, "x")) == "answer"


async def test_patience_ends_after_max_wait(time: Jumps) -> None:
    stack, began = Limit(Script([10, "answer"]), concurrency=1, max_wait=3), time.time
    first = asyncio.create_task(stack("x"))
    await settle()
    with pytest.raises(LimitExceeded, match="waited 3 s"):
        await time.run(stack("x"))
    assert time.time - began == 3
    assert stack.limiter.waiting == 0
    patient = asyncio.create_task(Limit(Script("answer"), limiter=stack.limiter, max_wait=60)("x"))
    assert await time.run(first) == "answer"
    assert await patient == "answer"
    assert time.pending == 0


async def test_no_patience_means_no_waiting(time: Jumps) -> None:
    stack = Limit(Script([10, "answer"]), concurrency=1, max_wait=0)
    first = asyncio.create_task(stack("x"))
    await settle()
    with pytest.raises(LimitExceeded, match="waits at most 0 s"):
        await stack("x")
    await time.run(first)


async def test_who_loses_patience_lets_the_next_one_have_its_token(time: Jumps) -> None:
    """The one behind takes over the timer for the token, too."""
    limiter = Limiter(concurrency=1, rate=0.5, burst=1)
    await limiter.acquire()
    impatient = asyncio.create_task(limiter.acquire(max_wait=3))
    patient = asyncio.create_task(limiter.acquire())
    await time.lapse(3)
    assert isinstance(impatient.exception(), LimitExceeded)
    limiter.release()
    await time.run(patient)
    assert limiter.free == 0


async def test_a_retry_around_it_waits_for_the_token_that_was_named(time: Jumps) -> None:
    stack, began = Retry(Limit(Script("answer"), rate=0.1, max_wait=0), base=0), time.time
    await stack("x")
    assert await time.run(stack("x")) == "answer"
    assert time.time - began == 10


async def test_a_stream_keeps_its_place_until_it_ends(time: Jumps) -> None:
    stack = Limit(Script(["a", 5, "b"]), concurrency=1)
    reading = asyncio.create_task(collect(stack, "x"))
    await time.lapse(1)
    assert stack.limiter.free == 0
    await time.run(reading)
    assert stack.limiter.free == 1


async def test_a_failure_gives_the_place_back(time: Jumps) -> None:
    stack = Limit(Script(overloaded()), concurrency=1)
    for work in (stack("x"), collect(stack, "x")):
        with pytest.raises(Overloaded):
            await time.run(work)
        assert stack.limiter.free == 1


async def test_several_steps_may_share_a_limiter(time: Jumps) -> None:
    limiter = Limiter(concurrency=1)
    one, two = (Limit(Script([1, "answer"]), limiter=limiter) for _ in range(2))
    began = time.time
    await time.run(asyncio.gather(one("x"), two("x")))
    assert time.time - began == 2


async def test_callers_of_several_loops_wait_in_one_line() -> None:
    """Each is woken on its own loop, by a place that another loop gives back and by a token; with real time."""
    limiter = Limiter(concurrency=1, rate=200, burst=1)
    script = Script([0.001, "answer"])
    stack = Limit(script, limiter=limiter)

    async def some() -> list[str]:
        return await asyncio.gather(*(stack("x") for _ in range(10)))

    def own_loop() -> list[str]:
        return asyncio.run(some())

    answers = await asyncio.gather(
        some(),
        asyncio.to_thread(own_loop),
        asyncio.to_thread(own_loop),
        asyncio.to_thread(stack.run_sync, "x"),
    )
    assert [len(one) for one in answers] == [10, 10, 10, len("answer")]
    assert (script.most_running, limiter.free, limiter.waiting) == (1, 1, 0)


async def test_a_thread_without_a_loop_may_give_a_place_back() -> None:
    limiter = Limiter(concurrency=1)
    await limiter.acquire()
    waiter = asyncio.create_task(limiter.acquire())
    await settle()
    await asyncio.to_thread(limiter.release)
    await waiter
    assert limiter.free == 0


def test_a_loop_that_was_closed_leaves_no_hole_in_the_line() -> None:
    limiter = Limiter(concurrency=1)
    limiter.acquire_nowait()
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, what: None)  # a task that never ended is the accident under test
    task = loop.create_task(limiter.acquire())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    limiter.release()
    assert (limiter.free, limiter.waiting, task.done()) == (1, 0, False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": 0},
        {"rate": 0},
        {"rate": float("inf")},
        {"rate": 1, "burst": 0},
        {"burst": 2, "concurrency": 1},
    ],
)
def test_arguments_out_of_range_are_refused_by_name(wrong: dict[str, Any]) -> None:
    field = "burst" if "burst" in wrong else next(iter(wrong))
    with pytest.raises(ConfigError, match=f"^Limit.{field}: "):
        Limit(Script("answer"), **wrong)


def test_a_limit_must_limit_something_and_have_one_source() -> None:
    with pytest.raises(ConfigError, match="limits nothing"):
        Limit(Script("answer", name="fetch"))
    with pytest.raises(ConfigError, match="either a limiter or settings"):
        Limit(Script("answer"), 3, limiter=Limiter(rate=1))


def test_it_prints_as_it_was_written() -> None:
    script = Script("a", name="fetch")
    assert repr(Limit(script, 5)) == "Limit(fetch, concurrency=5)"
    full = Limit(script, rate=2, burst=3, max_wait=1, name="calls")
    assert repr(full) == "Limit(fetch, rate=2, burst=3, name='calls', max_wait=1.0)"
    shared = Limit(script, limiter=Limiter(concurrency=5, name="all"))
    assert repr(shared) == "Limit(fetch, limiter=Limiter(concurrency=5, name='all'))"
