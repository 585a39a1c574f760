"""`Hedge`: a second try beside a slow first one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.resilience.doubles import Jumps, Script, collect, overloaded, settle
from tidyllm import clock
from tidyllm.core import Context, step
from tidyllm.errors import ConfigError, Overloaded
from tidyllm.resilience import Hedge


async def test_a_quick_answer_needs_no_second_try(time: Jumps) -> None:
    script = Script([1, "answer"])
    assert await time.run(Hedge(script, 2)("x")) == "answer"
    assert (script.calls, time.pending) == (1, 0)


async def test_a_slow_one_is_overtaken_and_cancelled(time: Jumps) -> None:
    script, began = Script([60, "slow"], [1, "quick"]), time.time
    assert await time.run(Hedge(script, 2)("x")) == "quick"
    assert (time.time - began, script.calls, script.cancelled, script.running) == (3, 2, 1, 0)


async def test_the_first_try_may_still_win(time: Jumps) -> None:
    script = Script([3, "first"], [60, "second"])
    assert await time.run(Hedge(script, 2)("x")) == "first"
    assert (script.cancelled, script.running) == (1, 0)


async def test_the_loser_has_ended_before_the_answer_is_given(time: Jumps) -> None:
    async def tidy(x: list[str]) -> str:
        if x:
            return "quick"
        x.append("began")
        try:
            await clock.sleep(60)
        finally:
            await clock.sleep(1)
            x.append("tidied up")
        return "never"

    log: list[str] = []
    assert await time.run(Hedge(tidy, 2)(log)) == "quick"
    assert log == ["began", "tidied up"]


async def test_more_tries_come_one_delay_after_the_other(time: Jumps) -> None:
    script, began = Script([60, "a"], [60, "b"], [60, "c"], [1, "d"]), time.time
    assert await time.run(Hedge(script, 2, max_hedges=3)("x")) == "d"
    assert (time.time - began, script.calls, script.cancelled) == (7, 4, 3)


async def test_a_failure_before_the_delay_is_raised_at_once(time: Jumps) -> None:
    """It is no retry."""
    script, began = Script([1, overloaded()], "unused"), time.time
    with pytest.raises(Overloaded):
        await time.run(Hedge(script, 2)("x"))
    assert (script.calls, time.time - began, time.pending) == (1, 1, 0)


async def test_a_failure_while_another_try_runs_waits_for_that(time: Jumps) -> None:
    script = Script([3, overloaded()], [5, "answer"])
    assert await time.run(Hedge(script, 2)("x")) == "answer"


async def test_when_all_fail_the_first_error_is_raised_and_the_others_are_noted(time: Jumps) -> None:
    script = Script([9, overloaded("one")], [3, overloaded("two")])
    with pytest.raises(Overloaded, match="two") as caught:
        await time.run(Hedge(script, 2)("x"))
    [note] = caught.value.__notes__
    assert note.startswith("try 1 failed as well: Overloaded: main/m: one")


async def test_cancelling_it_cancels_every_try(time: Jumps) -> None:
    script = Script([60, "answer"])
    task = asyncio.create_task(Hedge(script, 2)("x"))
    await time.lapse(5)
    task.cancel()
    await settle()
    assert task.cancelled()
    assert (script.calls, script.cancelled, script.running, time.pending) == (2, 2, 0, 0)


async def test_a_step_that_is_cancelled_inside_ends_in_cancellation(time: Jumps) -> None:
    with pytest.raises(asyncio.CancelledError):
        await time.run(Hedge(Script(asyncio.CancelledError()), 2)("x"))


async def test_named_calls_of_the_tries_do_not_collide(time: Jumps) -> None:
    script = Script([60, "slow"], "quick")

    @step
    async def ask(x: str, ctx: Context) -> str:
        return await ctx.call(script, x, name="inside")

    assert await time.run(Context.new().call(Hedge(ask, 2), "x")) == "quick"
    assert [ctx.path for ctx in script.contexts] == [("ask", "inside"), ("ask", "hedge", "inside")]


async def test_streams_race_to_their_first_piece(time: Jumps) -> None:
    script, began = Script([60, "slow"], [1, "an", 60, "swer"]), time.time
    assert await time.run(collect(Hedge(script, 2), "x")) == ["an", "swer"]
    assert (time.time - began, script.calls, script.cancelled, script.running) == (63, 2, 1, 0)


async def test_a_stream_that_has_its_first_piece_too_late_is_closed(time: Jumps) -> None:
    """Both have one at the same moment: one is read on, the other one is closed at once."""
    script = Script([3, "first", 60, "!"], [1, "second", 60, "!"])
    pieces = Hedge(script, 2).stream("x")
    assert await time.run(anext(pieces)) == "first"
    assert script.running == 1
    await pieces.aclose()
    assert script.running == 0


async def test_an_empty_stream_is_an_answer(time: Jumps) -> None:
    assert await time.run(collect(Hedge(Script([]), 2), "x")) == []


async def test_streams_that_all_fail_raise_the_first_error(time: Jumps) -> None:
    with pytest.raises(Overloaded, match="one"):
        await time.run(collect(Hedge(Script([3, overloaded("one")], [9, overloaded("two")]), 2), "x"))


@pytest.mark.parametrize("wrong", [{"delay": -1}, {"delay": 1, "max_hedges": 0}])
def test_arguments_out_of_range_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"^Hedge.{list(wrong)[-1]}: "):
        Hedge(Script("answer"), **wrong)


def test_it_prints_as_it_was_written() -> None:
    script = Script("a", name="fetch")
    assert repr(Hedge(script, 2)) == "Hedge(fetch, delay=2.0)"
    assert repr(Hedge(script, 2, max_hedges=3)) == "Hedge(fetch, delay=2.0, max_hedges=3)"
