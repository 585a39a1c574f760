"""The door to time, and the clock that tests move."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import subprocess
import sys
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm import clock, testing
from tidyllm.errors import ConfigError
from tidyllm.testing import FakeClock

milliseconds = st.integers(0, 100_000).map(lambda n: n / 1_000)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_the_real_clock_is_the_one_of_the_system() -> None:
    assert clock.monotonic is time.monotonic
    assert clock.now is time.time
    assert clock.sleep is asyncio.sleep


async def test_a_real_timer_rings_and_can_be_cancelled() -> None:
    rang: list[str] = []
    clock.call_later(0, lambda: rang.append("a"))
    clock.call_later(0, lambda: rang.append("b")).cancel()
    await clock.sleep(0.001)
    assert rang == ["a"]


@given(st.floats(allow_nan=False) | st.timedeltas() | st.integers(-(10**6), 10**6))
def test_durations_are_seconds_or_timedeltas(value: float | timedelta) -> None:
    seconds = clock.seconds(value)
    assert type(seconds) is float
    assert seconds == (value.total_seconds() if isinstance(value, timedelta) else value)


def test_a_clock_in_use_is_put_away_also_after_an_error() -> None:
    real = clock.monotonic
    with contextlib.suppress(ValueError), FakeClock() as fake:
        assert clock.monotonic == fake.monotonic
        raise ValueError("inside")
    assert clock.monotonic is real


def test_clocks_can_be_nested() -> None:
    with FakeClock() as outer, FakeClock() as inner:
        outer.advance(5)
        assert clock.monotonic() == inner.monotonic() == 1_000


def test_it_stands_until_it_is_moved() -> None:
    with FakeClock() as fake:
        assert (clock.monotonic(), clock.now()) == (1_000, 1_750_000_000)
        fake.advance(2.5)
        fake.advance(timedelta(minutes=1))
        assert (clock.monotonic(), clock.now()) == (1_062.5, 1_750_000_062.5)


@pytest.mark.parametrize("wrong", [-1, math.nan, math.inf, timedelta(seconds=-1)])
def test_it_never_goes_back(wrong: float | timedelta) -> None:
    with pytest.raises(ConfigError, match=r"cannot be moved.*from 0 upwards"):
        FakeClock().advance(wrong)


@given(st.lists(milliseconds, max_size=8), st.lists(milliseconds, max_size=8))
def test_timers_ring_in_order_when_they_are_due_and_not_before(
    delays: list[float], moves: list[float]
) -> None:
    rang: list[float] = []

    async def main() -> None:
        with FakeClock() as fake:
            for delay in delays:
                clock.call_later(delay, lambda delay=delay: rang.append(delay))
            for move in moves:
                fake.advance(move)
                await settle()
            await settle()
            passed = sum(moves)
            assert rang == sorted(rang)
            assert [delay for delay in rang if delay > passed + 1e-6] == []
            assert [left for left in fake.timers if left < -1e-6] == []
            assert len(rang) + len(fake.timers) == len(delays)

    asyncio.run(main())


async def test_three_sleeps_of_a_tenth_end_with_one_move_of_three() -> None:
    async def sleeps() -> None:
        for _ in range(3):
            await clock.sleep(0.1)

    with FakeClock() as fake:
        task = asyncio.create_task(sleeps())
        for _ in range(3):
            await settle()
            fake.advance(0.1)
        await settle()
        assert task.done()
        single = asyncio.create_task(clock.sleep(0.1 + 0.2))
        await settle()
        fake.advance(0.3)
        await settle()
        assert single.done()


async def test_a_cancelled_timer_does_not_ring_even_when_it_was_due() -> None:
    rang: list[str] = []
    with FakeClock() as fake:
        timer = clock.call_later(5, lambda: rang.append("a"))
        fake.advance(5)
        timer.cancel()
        await settle()
    assert rang == []


async def test_a_cancelled_sleep_leaves_no_timer() -> None:
    with FakeClock() as fake:
        task = asyncio.create_task(clock.sleep(5))
        await settle()
        assert fake.timers == [5]
        task.cancel()
        await settle()
        assert fake.timers == []
        fake.advance(10)


@pytest.mark.parametrize("seconds", [0, -1])
async def test_no_time_at_all_passes_at_the_next_turn(seconds: float) -> None:
    with FakeClock():
        await clock.sleep(seconds)


async def test_a_timer_rings_with_the_variables_of_whoever_set_it() -> None:
    word: contextvars.ContextVar[str] = contextvars.ContextVar("word")
    seen: list[str] = []
    with FakeClock() as fake:
        word.set("then")
        clock.call_later(1, lambda: seen.append(word.get()))
        word.set("now")
        fake.advance(1)
        await settle()
    assert seen == ["then"]


async def test_it_can_be_moved_from_another_thread() -> None:
    with FakeClock() as fake:
        task = asyncio.create_task(clock.sleep(5))
        await settle()
        thread = threading.Thread(target=fake.advance, args=(5,))
        thread.start()
        await task
        thread.join()


def test_a_timer_of_a_closed_loop_is_forgotten() -> None:
    async def main() -> None:
        clock.call_later(5, lambda: pytest.fail("rang for nobody"))

    with FakeClock() as fake:
        asyncio.run(main())
        fake.advance(5)
        assert fake.timers == []


# -- jumping


async def test_when_all_wait_it_jumps_to_the_next_timer() -> None:
    log: list[tuple[str, float]] = []

    async def sleeper(name: str, *pauses: float) -> None:
        for pause in pauses:
            await clock.sleep(pause)
            log.append((name, clock.monotonic() - 1_000))

    with FakeClock(autojump=True):
        await asyncio.gather(sleeper("a", 3600, 1), sleeper("b", 10, 10))
    assert log == [("b", 10), ("b", 20), ("a", 3600), ("a", 3601)]


async def test_it_does_not_jump_while_anybody_works() -> None:
    with FakeClock(autojump=True):
        task = asyncio.create_task(clock.sleep(3600))
        for _ in range(500):
            await asyncio.sleep(0)
            assert clock.monotonic() == 1_000
        await task
        assert clock.monotonic() == 4_600


async def test_cancelled_timers_are_not_jumped_to() -> None:
    with FakeClock(autojump=True):
        clock.call_later(5, lambda: None).cancel()
        await clock.sleep(7)
        assert clock.monotonic() == 1_007


async def test_with_a_threshold_it_waits_for_real_answers() -> None:
    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    with FakeClock(autojump=True, threshold=timedelta(seconds=0.2)):
        server = await asyncio.start_server(served, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        timeout = asyncio.create_task(clock.sleep(30))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hello\n")
        assert await reader.readline() == b"hello\n"
        assert clock.monotonic() == 1_000
        await timeout
        assert clock.monotonic() == 1_030
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()


async def test_what_runs_in_a_thread_is_waited_for() -> None:
    with FakeClock(autojump=True):
        timeout = asyncio.create_task(clock.sleep(30))
        await asyncio.sleep(0)
        await asyncio.to_thread(time.sleep, 0.1)
        assert clock.monotonic() == 1_000
        await timeout
        assert clock.monotonic() == 1_030


def test_a_loop_that_ends_before_its_timers_is_left_alone() -> None:
    async def main() -> None:
        clock.call_later(5, lambda: None)
        await asyncio.sleep(0)

    with FakeClock(autojump=True):
        asyncio.run(main())
        asyncio.run(main())


def test_a_loop_that_hides_its_queue_is_refused() -> None:
    uvloop: Any = pytest.importorskip("uvloop")

    async def main() -> None:
        with FakeClock(autojump=True):
            await clock.sleep(5)

    message = r"cannot tell whether Loop is idle.*advance\(\)"
    with (
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        pytest.raises(ConfigError, match=message),
    ):
        runner.run(main())


# -- the folder of doubles


def test_doubles_are_loaded_when_they_are_used() -> None:
    code = "import sys, tidyllm.testing as t; print('tidyllm.testing.clock' in sys.modules, 'FakeClock' in dir(t))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False True\n"


def test_a_double_that_there_is_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'FakeMoon'"):
        getattr(testing, "FakeMoon")  # noqa: B009 - a plain access would not pass the type checker
