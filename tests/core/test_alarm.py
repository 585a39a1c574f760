"""Clocks around blocks: they ring once, and give way to whoever cancels for another reason."""

from __future__ import annotations

import asyncio

import pytest

from tidyllm import clock
from tidyllm.core import Alarm, StreamAlarm
from tidyllm.errors import StepError, TimeoutExceeded
from tidyllm.testing import FakeClock


def alarm(after: float, kind: str = "total") -> Alarm:
    return Alarm(after, kind, after, "a test")


def cancelling() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


async def test_it_ends_the_block_with_its_error_and_leaves_the_task_as_it_was() -> None:
    with (
        FakeClock(autojump=True),
        pytest.raises(TimeoutExceeded, match=r"a test did not finish within 5 s \(total\)"),
        alarm(5),
    ):
        await clock.sleep(60)
    assert cancelling() == 0
    await asyncio.sleep(0)


async def test_a_block_that_ends_in_time_leaves_no_timer() -> None:
    with FakeClock() as fake:
        with alarm(5):
            await asyncio.sleep(0)
        assert fake.timers == []


@pytest.mark.parametrize("after", [0, -3])
async def test_with_no_time_left_it_rings_at_the_next_turn(after: float) -> None:
    with FakeClock(), pytest.raises(TimeoutExceeded), alarm(after):
        await asyncio.Event().wait()


async def test_an_error_of_the_block_is_not_replaced() -> None:
    async def block() -> None:
        with alarm(5):
            try:
                await clock.sleep(60)
            finally:
                raise ValueError("from the block")

    with FakeClock(autojump=True), pytest.raises(ValueError, match="from the block"):
        await block()
    assert cancelling() == 0


async def test_a_block_that_swallows_the_cancellation_ends_as_it_likes() -> None:
    with FakeClock(autojump=True), alarm(5):
        try:
            await clock.sleep(60)
        except asyncio.CancelledError:
            pass
    assert cancelling() == 0


@pytest.mark.parametrize("order", [("ring", "cancel"), ("cancel", "ring")])
async def test_a_cancellation_from_outside_at_the_same_moment_wins(order: tuple[str, ...]) -> None:
    async def block() -> None:
        with alarm(5):
            await clock.sleep(60)

    with FakeClock() as fake:
        task = asyncio.create_task(block())
        await asyncio.sleep(0)
        for what in order:
            fake.advance(5) if what == "ring" else task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_cancellation_that_came_before_does_not_hide_a_later_ring() -> None:
    async def block() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            with alarm(5):
                await clock.sleep(60)

    with FakeClock(autojump=True):
        task = asyncio.create_task(block())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(TimeoutExceeded):
            await task


@pytest.mark.parametrize(("outer", "inner", "wins"), [(5, 5, "outer"), (5, 3, "inner"), (3, 5, "outer")])
async def test_of_nested_alarms_the_earlier_rings_and_at_the_same_moment_the_outer(
    outer: float, inner: float, wins: str
) -> None:
    rings = alarm(outer, "outer"), alarm(inner, "inner")
    with FakeClock(autojump=True), pytest.raises(TimeoutExceeded) as raised, rings[0], rings[1]:
        await clock.sleep(60)
    assert raised.value.clock == wins
    assert cancelling() == 0


async def test_the_outer_alarm_interrupts_a_cleanup_that_takes_too_long() -> None:
    async def block() -> None:
        with alarm(5, "outer"), alarm(3, "inner"):
            try:
                await clock.sleep(60)
            finally:
                await clock.sleep(60)

    with FakeClock(autojump=True), pytest.raises(TimeoutExceeded) as raised:
        await block()
    assert raised.value.clock == "outer"


async def test_expired_says_beforehand_what_the_block_ends_with() -> None:
    guard = alarm(5)

    async def block() -> None:
        with guard:
            assert guard.expired is None
            try:
                await clock.sleep(60)
            finally:
                assert isinstance(guard.expired, TimeoutExceeded)

    with FakeClock(autojump=True), pytest.raises(TimeoutExceeded):
        await block()


def test_outside_of_a_task_there_is_nothing_to_ring_for() -> None:
    with pytest.raises(StepError, match="outside of any asyncio task"):
        alarm(5).__enter__()


async def test_one_clock_over_a_stream_rings_while_a_piece_is_awaited() -> None:
    with FakeClock(autojump=True) as fake:
        over = StreamAlarm(5, "total", 5, "a stream")
        with over:
            await clock.sleep(3)
        with pytest.raises(TimeoutExceeded), over:
            await clock.sleep(60)
        assert fake.monotonic() == 1_005


async def test_one_clock_over_a_stream_lets_the_reader_finish_his_work() -> None:
    with FakeClock(autojump=True):
        over = StreamAlarm(5, "total", 5, "a stream")
        with over:
            await clock.sleep(3)
        await clock.sleep(60)
        with pytest.raises(TimeoutExceeded), over:
            pytest.fail("no piece is awaited any more")


async def test_a_stream_may_be_read_by_different_tasks() -> None:
    over = StreamAlarm(5, "total", 5, "a stream")

    async def read(seconds: float) -> None:
        with over:
            await clock.sleep(seconds)

    with FakeClock(autojump=True) as fake:
        await asyncio.create_task(read(1))
        with pytest.raises(TimeoutExceeded):
            await asyncio.create_task(read(60))
        assert fake.timers == []


async def test_a_closed_stream_leaves_no_timer() -> None:
    with FakeClock() as fake:
        over = StreamAlarm(5, "total", 5, "a stream")
        over.close()
        with over:
            await asyncio.sleep(0)
        assert fake.timers == [5]
        over.close()
        assert fake.timers == []
