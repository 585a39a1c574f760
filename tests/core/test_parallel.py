"""Steps at the same time: order, failures, limits, outcomes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm import clock
from tidyllm.core import Failed, Ok, Parallel, Sequence, Step, step
from tidyllm.errors import StepError
from tidyllm.testing import FakeClock

AnyStep = Step[Any, Any]


class Broken(Exception):
    """A failure that can be referred to weakly."""


def sleeper(seconds: float) -> AnyStep:
    async def sleep(x: int) -> float:
        await clock.sleep(seconds)
        return seconds

    return step(sleep)


def failing(error: BaseException, seconds: float = 0.0) -> AnyStep:
    async def fail(x: int) -> int:
        if seconds:
            await clock.sleep(seconds)
        raise error

    return step(fail)


@given(st.lists(st.floats(0.001, 100), min_size=1, max_size=6), st.none() | st.integers(1, 4))
def test_answers_come_in_the_order_of_the_branches(delays: list[float], limit: int | None) -> None:
    with FakeClock(autojump=True):
        steps = [sleeper(delay) for delay in delays]
        assert asyncio.run(Parallel(*steps, limit=limit)(0)) == tuple(delays)
        named = Parallel({str(n): one for n, one in enumerate(steps)}, limit=limit)
        assert list(asyncio.run(named(0)).items()) == [(str(n), delay) for n, delay in enumerate(delays)]


@given(st.integers(1, 5), st.integers(1, 8))
def test_no_more_branches_run_at_once_than_the_limit(limit: int, branches: int) -> None:
    running: list[int] = []
    most: list[int] = []

    async def work(x: int) -> int:
        running.append(x)
        most.append(len(running))
        await asyncio.sleep(0)
        running.remove(x)
        return x

    asyncio.run(Parallel(*[step(work)] * branches, limit=limit)(1))
    assert max(most) == min(limit, branches)


class Cleanup:
    """A step that waits, and takes some turns of the loop to clean up when it is cancelled."""

    def __init__(self, turns: int = 5) -> None:
        self.turns = turns
        self.cancels = 0
        self.cleaned = False

    async def __call__(self, x: int) -> int:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancels += 1
            raise
        finally:
            for _ in range(self.turns):
                await asyncio.sleep(0)
            self.cleaned = True
        return x


async def test_a_failure_cancels_the_siblings_once_and_waits_for_their_cleanup() -> None:
    siblings = [Cleanup(), Cleanup(9)]
    with pytest.raises(ValueError, match="broken"):
        await Parallel(siblings[0], failing(ValueError("broken")), siblings[1])(1)
    assert [(one.cancels, one.cleaned) for one in siblings] == [(1, True), (1, True)]


async def test_of_failures_at_the_same_time_the_first_is_raised_and_bears_the_others_as_notes() -> None:
    both = Parallel(failing(ValueError("one")), failing(KeyError("two")), failing(ValueError("three")))
    with pytest.raises(ValueError, match="one") as raised:
        await both(1)
    assert raised.value.__notes__ == [
        "branch 'fail#2' failed as well: KeyError: 'two'",
        "branch 'fail#3' failed as well: ValueError: three",
    ]


async def test_a_failure_in_a_siblings_cleanup_is_noted() -> None:
    async def dirty(x: int) -> int:
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("cannot close")
        return x

    with pytest.raises(ValueError, match="first") as raised:
        await Parallel(dirty, failing(ValueError("first")))(1)
    assert raised.value.__notes__ == ["branch 'dirty' failed as well: OSError: cannot close"]


async def test_one_error_raised_twice_is_not_a_note_of_itself() -> None:
    error = ValueError("shared")
    with pytest.raises(ValueError, match="shared") as raised:
        await Parallel(failing(error), failing(error))(1)
    assert not hasattr(raised.value, "__notes__")


async def test_branches_that_waited_for_the_limit_never_start_after_a_failure() -> None:
    started: list[int] = []

    async def work(x: int) -> int:
        started.append(x)
        return x

    with pytest.raises(ValueError, match="broken"):
        await Parallel(failing(ValueError("broken")), work, work, limit=1)(1)
    assert started == []


async def test_collected_outcomes_never_turn_a_failure_into_content() -> None:
    error = ValueError("broken")
    both = Parallel(sleeper(0), failing(error), collect=True)
    assert await both(1) == (Ok(0), Failed(error))
    by_name = Parallel({"good": sleeper(0), "bad": failing(error)}, collect=True)
    assert await by_name(1) == {"good": Ok(0), "bad": Failed(error)}


async def test_a_failure_does_not_stop_the_others_when_outcomes_are_collected() -> None:
    with FakeClock(autojump=True) as fake:
        answer = await Parallel(failing(ValueError("now")), sleeper(5), collect=True)(1)
    assert isinstance(answer[0], Failed)
    assert answer[1] == Ok(5)
    assert fake.monotonic() == 1_005


@pytest.mark.parametrize("collect", [False, True])
async def test_a_branch_that_cancels_itself_ends_the_whole_as_cancelled(collect: bool) -> None:
    sibling = Cleanup()
    branches = (
        [failing(asyncio.CancelledError("mine"))]
        if collect
        else [failing(asyncio.CancelledError("mine")), sibling]
    )
    task = asyncio.ensure_future(Parallel(*branches, collect=collect)(1))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert collect or sibling.cleaned


async def test_each_branch_gets_the_same_input() -> None:
    def same(x: list[int]) -> int:
        return id(x)

    ids = await Parallel(same, same, Sequence(same))([1])
    assert len(set(ids)) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"limit": 0}, "at least one branch must be allowed"),
        ({"limit": sleeper(0)}, "limit is an option, not a branch.*in a dict"),
        ({"name": sleeper(0)}, "name is an option, not a branch.*in a dict"),
        ({"collect": sleeper(0)}, "collect is an option, not a branch.*in a dict"),
    ],
)
def test_options_that_are_none_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(StepError, match=words):
        Parallel(sleeper(0), **options)


def test_branches_in_order_and_by_name_do_not_mix() -> None:
    with pytest.raises(
        StepError, match=r"in order, or branches by name.*Parallel\(a, b\) or Parallel\(left=a"
    ):
        Parallel(sleeper(0), left=sleeper(0))


@pytest.mark.parametrize("collect", [False, True])
async def test_a_failure_leaves_nothing_for_the_garbage_collector(collect: bool) -> None:
    """Errors hold frames and frames hold tasks: a circle of them would keep memory until a full collection."""
    seen: list[weakref.ref[BaseException]] = []

    async def broken(x: int) -> int:
        error = Broken()
        seen.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(Broken):
            await Parallel(broken, Cleanup(), collect=collect)(1) if not collect else await Parallel(
                broken, broken, collect=True
            )(1)
        await asyncio.sleep(0)
        assert [ref() for ref in seen] == [None] * len(seen)
    finally:
        gc.enable()
