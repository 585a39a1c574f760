"""`Saga`: what is done is undone in reverse when a later action fails or the run is cancelled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from tests.resilience.doubles import Events, Jumps, Script, collect, overloaded, settle
from tests.resilience.test_pairs import TRIES, WRAPPERS, Wrap
from tidyllm import clock
from tidyllm.core import CallFinished, Context, Step, step
from tidyllm.errors import ConfigError, Overloaded, SagaFailed, TimeoutExceeded
from tidyllm.resilience import Done, Saga


class Journey:
    """Actions that add a letter, and compensations that write down what they were given."""

    def __init__(self) -> None:
        self.undone: list[tuple[str, Any, Any]] = []

    def action(self, letter: str, *, takes: float = 0) -> Step[Any, Any]:
        async def work(x: str) -> str:
            await clock.sleep(takes)
            return x + letter

        return step(work).named(letter)

    def undo(self, letter: str, error: Exception | None = None, *, takes: float = 0) -> Step[Any, Any]:
        async def work(done: Done[str, str]) -> None:
            await clock.sleep(takes)
            if error is not None:
                raise error
            self.undone.append((letter, done.input, done.output))

        return step(work).named(f"un{letter}")

    def pair(self, letter: str) -> tuple[Step[Any, Any], Step[Any, Any]]:
        return self.action(letter), self.undo(letter)


async def test_without_a_failure_it_is_a_sequence(time: Jumps) -> None:
    way = Journey()
    saga = Saga[str, str](way.pair("a"), way.pair("b"), way.action("c"))
    assert await time.run(saga("")) == "abc"
    assert await time.run(collect(saga, "")) == ["abc"]
    assert way.undone == []


async def test_a_failure_undoes_what_was_done_in_reverse(time: Jumps) -> None:
    way, error = Journey(), overloaded()
    saga = Saga[str, str](
        way.pair("a"), (way.action("b"), None), way.pair("c"), (Script(error), way.undo("never"))
    )
    with pytest.raises(Overloaded) as caught:
        await time.run(saga("x"))
    assert caught.value is error
    assert way.undone == [("c", "xab", "xabc"), ("a", "x", "xa")]
    assert "has compensated what was done before 'script'" in error.__notes__[0]


async def test_the_first_action_leaves_nothing_to_undo(time: Jumps) -> None:
    way = Journey()
    with pytest.raises(Overloaded) as caught:
        await time.run(Saga((Script(overloaded()), way.undo("never")), way.pair("b"))("x"))
    assert (way.undone, hasattr(caught.value, "__notes__")) == ([], False)


async def test_a_cancellation_undoes_it_as_well_and_goes_on(time: Jumps) -> None:
    way = Journey()
    saga = Saga(way.pair("a"), way.action("b", takes=10))
    task = asyncio.create_task(saga("x"))
    await time.lapse(5)
    task.cancel()
    await settle()
    assert task.cancelled()
    assert way.undone == [("a", "x", "xa")]


async def test_further_cancellations_do_not_stop_the_compensations(time: Jumps) -> None:
    way = Journey()
    saga = Saga((way.action("a"), way.undo("a", takes=5)), Script(overloaded()))
    task = asyncio.create_task(saga("x"))
    await settle()
    for _ in range(3):
        task.cancel()
        await time.lapse(1)
    assert not task.done()
    await time.lapse(2)
    assert task.cancelled()
    assert way.undone == [("a", "x", "xa")]


async def test_neither_an_expired_deadline_nor_a_cancelled_run_stops_them(time: Jumps) -> None:
    way = Journey()
    saga = Saga((way.action("a"), way.undo("a", takes=5)), way.action("b", takes=10))
    with pytest.raises(TimeoutExceeded) as caught:
        await time.run(Context.new(deadline=2).call(saga, "x"))
    assert caught.value.clock == "deadline"
    ctx = Context.new()
    task = asyncio.create_task(ctx.call(saga, "y"))
    await settle()
    ctx.cancel("enough")
    await time.lapse(5)
    assert task.cancelled()
    assert way.undone == [("a", "x", "xa"), ("a", "y", "ya")]


async def test_a_compensation_that_fails_does_not_stop_the_others(time: Jumps) -> None:
    way, error, broken = Journey(), overloaded("first"), ValueError("cannot")
    saga = Saga[str, str](
        way.pair("a"), (way.action("b"), way.undo("b", broken)), way.pair("c"), Script(error, name="d")
    )
    with pytest.raises(
        SagaFailed, match=r"step 'd' failed .* could not be undone: 'b' \(ValueError: cannot\)"
    ) as caught:
        await time.run(saga("x"))
    assert [letter for letter, _, _ in way.undone] == ["c", "a"]
    assert caught.value.__cause__ is error
    assert caught.value.uncompensated == (("b", broken),)


async def test_each_compensation_has_a_time_limit_of_its_own(time: Jumps) -> None:
    way, began = Journey(), time.time
    actions = [(way.action(letter), way.undo(letter, takes=takes)) for letter, takes in (("a", 2), ("b", 60))]
    saga = Saga[str, str](*actions, Script(overloaded()), compensation_timeout=3)
    with pytest.raises(SagaFailed) as caught:
        await time.run(saga("x"))
    assert time.time - began == 5
    [(name, error)] = caught.value.uncompensated
    assert (name, type(error)) == ("b", TimeoutExceeded)
    assert [letter for letter, _, _ in way.undone] == ["a"]


async def test_a_compensation_that_is_cancelled_itself_counts_as_failed(time: Jumps) -> None:
    way = Journey()
    stopped = step(_stop).named("stop")
    with pytest.raises(SagaFailed) as caught:
        await time.run(Saga(way.pair("a"), (way.action("b"), stopped), Script(overloaded()))("x"))
    assert [name for name, _ in caught.value.uncompensated] == ["b"]
    assert [letter for letter, _, _ in way.undone] == ["a"]


async def _stop(done: Done[str, str]) -> None:
    raise asyncio.CancelledError


async def test_a_cancelled_run_that_could_not_be_undone_says_so(
    time: Jumps, caplog: pytest.LogCaptureFixture
) -> None:
    """It stays a cancellation, and what is left to do by hand is in the log and in its notes."""
    way = Journey()
    saga = Saga((way.action("a"), way.undo("a", ValueError("cannot"))), way.action("b", takes=10))

    async def main() -> list[str]:
        try:
            return [await saga("x")]
        except asyncio.CancelledError as error:
            return error.__notes__

    task = asyncio.create_task(main())
    await settle()
    with caplog.at_level(logging.ERROR, "tidyllm"):
        task.cancel()
        [note] = await time.run(task)
    assert "could not be undone: 'a' (ValueError: cannot)" in note
    assert "Saga(a, b) was cancelled" in caplog.text


async def test_actions_and_compensations_are_calls_of_their_own(time: Jumps) -> None:
    way, heard = Journey(), Events()
    saga = Saga(way.pair("a"), way.pair("a"), Script(overloaded(), name="c"))
    with pytest.raises(Overloaded):
        await time.run(Context.new(hooks=(heard,)).call(saga, "x", name="saga"))
    paths = ["/".join(event.ctx.path) for event in heard.of(CallFinished)]
    assert paths == ["saga/a", "saga/a#2", "saga/c", "saga/undo a", "saga/undo a#2", "saga"]


@pytest.mark.parametrize("name", WRAPPERS)
@pytest.mark.parametrize("streamed", [False, True], ids=["call", "stream"])
async def test_a_wrapper_around_it_starts_from_the_first_action(
    time: Jumps, name: str, streamed: bool
) -> None:
    way, script = Journey(), Script(overloaded(), "done")
    stack = WRAPPERS[name](Saga(way.pair("a"), script))
    work: Callable[[Any], Any] = (lambda s: collect(s, "x")) if streamed else (lambda s: s("x"))
    if name in TRIES:
        assert await time.run(work(stack)) == (["done"] if streamed else "done")
    else:
        with pytest.raises(Overloaded):
            await time.run(work(stack))
    assert way.undone == [("a", "x", "xa")]


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
async def test_an_action_in_a_wrapper_is_undone_once(time: Jumps, wrap: Wrap) -> None:
    way = Journey()
    saga = Saga((wrap(way.action("a")), wrap(way.undo("a"))), wrap(Script(overloaded())))
    with pytest.raises(Overloaded):
        await time.run(saga("x"))
    assert way.undone == [("a", "x", "xa")]


def test_what_is_no_action_is_refused() -> None:
    way = Journey()
    with pytest.raises(ConfigError, match="needs at least one action"):
        Saga[str, str](*[])
    with pytest.raises(ConfigError, match="expected two, not 3"):
        Saga(*[(way.action("a"), way.undo("a"), way.undo("b"))])
    with pytest.raises(ConfigError, match=r"^Saga\.compensation_timeout: "):
        Saga(way.action("a"), compensation_timeout=0)


def test_it_prints_as_it_was_written() -> None:
    way = Journey()
    saga = Saga(way.pair("a"), way.action("b"), compensation_timeout=5)
    assert repr(saga) == "Saga((a, una), b, compensation_timeout=5.0)"
    assert repr(Saga(way.action("b"))) == "Saga(b)"
    assert repr(Saga(way.action("b"), name="trip")) == "Saga(b).named('trip')"
