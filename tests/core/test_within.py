"""The steps inside a step."""

from __future__ import annotations

from typing import Any

from tidyllm import Fallback, Retry, Step, Timeout, step
from tidyllm.core.within import steps_within


@step
async def one(x: int) -> int:
    return x


@step
async def two(x: int) -> int:
    return x


def names(whole: Step[Any, Any]) -> list[str]:
    return [found.name for found in steps_within(whole) if found in (one, two)]


def test_a_plain_step_holds_itself() -> None:
    assert list(steps_within(one)) == [one]


def test_wrappers_and_fallbacks_are_looked_through_in_order() -> None:
    assert names(Timeout(Fallback(Retry(two), one), total=5)) == ["two", "one"]
    assert names(one >> two) == ["one", "two"]
    assert names(one | two) == ["one", "two"]


def test_what_is_held_twice_comes_once() -> None:
    assert names(Fallback(one, Retry(one), two)) == ["one", "two"]


def test_steps_that_hold_each_other_end() -> None:
    outer = Retry(one)
    inner = Retry(outer)
    outer.inner = inner
    assert list(steps_within(outer)) == [outer, inner]


def test_what_only_has_the_name_is_no_step() -> None:
    class Odd(Step[int, int]):
        inner = "text"
        steps = ("a", 1)

        async def invoke(self, x: int, ctx: Any) -> int:
            return x

    odd = Odd("odd")
    assert list(steps_within(odd)) == [odd]
