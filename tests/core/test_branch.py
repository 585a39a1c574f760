"""Choices: by key, by predicate, by a step; and keys that have no branch."""

from __future__ import annotations

from typing import Any

import pytest

from tidyllm.core import Branch, Context, step
from tidyllm.errors import StepError


def fast(x: str) -> str:
    return f"fast {x}"


async def premium(x: str) -> str:
    return f"premium {x}"


def by_prefix(x: str) -> str:
    return x.split(":", maxsplit=1)[0]


async def by_prefix_later(x: str) -> str:
    return by_prefix(x)


def by_tag(x: str, ctx: Context) -> str:
    return ctx.tags["tier"]


@pytest.mark.parametrize("by", [by_prefix, by_prefix_later, step(by_prefix), step(by_prefix_later)])
async def test_the_key_names_the_branch(by: Any) -> None:
    choice = Branch({"fast": fast, "premium": premium}, by=by)
    assert await choice("premium:x") == "premium premium:x"
    assert await choice("fast:x") == "fast fast:x"


async def test_a_predicate_goes_with_true_and_false() -> None:
    def is_long(x: str) -> bool:
        return len(x) > 3

    choice = Branch({True: fast, False: premium}, by=is_long)
    assert [await choice(x) for x in ("abcd", "abc")] == ["fast abcd", "premium abc"]


async def test_the_choice_may_look_at_the_context() -> None:
    choice = Branch({"fast": fast, "premium": premium}, by=by_tag)
    assert await choice("x", Context.new(tags={"tier": "premium"})) == "premium x"


async def test_a_key_without_a_branch_takes_the_default() -> None:
    choice = Branch({"fast": fast}, by=by_prefix, default=premium)
    assert await choice("other") == "premium other"
    assert [piece async for piece in choice.stream("other")] == ["premium other"]


async def test_a_key_without_a_branch_or_default_names_the_branches_there_are() -> None:
    choice = Branch({"fast": fast, "premium": premium}, by=by_prefix, name="tier")
    with pytest.raises(
        StepError, match=r"tier: the choice was 'cheap', but the branches are 'fast', 'premium'\..*default="
    ):
        await choice("cheap")


async def test_a_key_that_cannot_be_one_is_a_key_without_a_branch() -> None:
    def unhashable(x: str) -> Any:
        return [x]

    with pytest.raises(StepError, match=r"the choice was \['x'\]"):
        await Branch({"fast": fast}, by=unhashable)("x")


async def test_a_choice_that_fails_fails_the_call() -> None:
    def fails(x: str) -> str:
        raise ValueError("cannot decide")

    with pytest.raises(ValueError, match="cannot decide"):
        await Branch({"fast": fast}, by=fails)("x")


def test_branches_are_copied_so_that_later_changes_do_not_count() -> None:
    given = {"fast": step(fast)}
    choice = Branch(given, by=by_prefix)
    given.clear()
    assert repr(choice) == "Branch({'fast': fast}, by=by_prefix)"
