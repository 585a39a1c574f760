"""Generate, review, revise: it ends when nothing serious is left, and it ends as well when that never happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.agents import (
    Agent,
    AgentLimits,
    Analysis,
    Draft,
    Finding,
    ReviewStop,
    Ruling,
    Specialist,
    review_loop,
)
from tidyllm.errors import ConfigError, StepError
from tidyllm.models import Request
from tidyllm.testing import Reply, call, scripted


async def generate(task: str) -> int:
    return 0


async def revise(draft: Draft) -> int:
    return int(draft.value) + 1


def finding(what: str, severity: Any = "major") -> Finding:
    return Finding("f.py:1", what, severity)


def reviewer(*rounds: list[Finding]) -> Callable[[Draft], Any]:
    left: Iterator[list[Finding]] = iter(rounds)
    nothing: list[Finding] = []

    async def review(draft: Draft) -> list[Finding]:
        return next(left, nothing)

    return review


async def test_it_revises_until_nothing_serious_is_left() -> None:
    review = reviewer([finding("a"), finding("b")], [finding("c")], [])
    result = await review_loop(generate, review, revise)("Write.")
    assert (result.stop, result.value, result.curve, result.open) == (ReviewStop.clean, 2, [2, 1, 0], [])
    assert [one.kind for one in result.log][:2] == ["task", "result"]


async def test_what_lies_below_the_floor_never_keeps_it_going() -> None:
    minor = [finding("taste", "minor"), finding("hm", "note")]
    result = await review_loop(generate, reviewer(minor), revise)("Write.")
    assert (result.stop, result.value, len(result.rounds[0].findings)) == (ReviewStop.clean, 0, 2)
    low = await review_loop(generate, reviewer(minor), revise, floor="minor")("Write.")
    assert (low.stop, low.value, low.curve) == (ReviewStop.clean, 1, [1, 0])


async def test_rounds_are_capped_and_the_best_value_is_kept() -> None:
    review = reviewer(
        [finding("a"), finding("b"), finding("c")], [finding("d")], [finding("e"), finding("f")]
    )
    result = await review_loop(generate, review, revise, rounds=3)("Write.")
    assert (result.stop, result.value) == (ReviewStop.rounds, 1)
    assert [one.what for one in result.open] == ["d"]


async def test_a_curve_that_does_not_fall_ends_it() -> None:
    async def review(draft: Draft) -> list[Finding]:
        return [finding(f"{draft.round}{letter}") for letter in "ab"]

    result = await review_loop(generate, review, revise, rounds=50)("Write.")
    assert (result.stop, result.curve) == (ReviewStop.not_converging, [2, 2, 2])
    assert "2, 2, 2" in result.detail


async def test_a_finding_that_comes_back_is_a_dispute() -> None:
    result = await review_loop(generate, reviewer(*[[finding("a")]] * 9), revise, rounds=9)("Write.")
    assert (result.stop, len(result.rounds)) == (ReviewStop.disputed, 2)
    moved = reviewer([Finding("f.py:1", "A!", "major")], [Finding("f.py:7", "a", "major")])
    assert (await review_loop(generate, moved, revise)("Write.")).stop is ReviewStop.disputed


async def test_an_arbiter_dismisses_or_upholds_once() -> None:
    async def dismiss(draft: Draft) -> Ruling:
        return Ruling([], "A matter of taste.")

    async def uphold(draft: Draft) -> Ruling:
        return Ruling([1])

    stubborn = [[finding("a")]] * 9
    dismissed = await review_loop(generate, reviewer(*stubborn), revise, arbiter=dismiss, rounds=9)("Write.")
    assert (dismissed.stop, [one.what for one in dismissed.dismissed]) == (ReviewStop.clean, ["a"])
    upheld = await review_loop(generate, reviewer(*stubborn), revise, arbiter=uphold, rounds=9)("Write.")
    assert (upheld.stop, len(upheld.rounds)) == (ReviewStop.disputed, 3)


async def test_what_was_dismissed_is_not_held_against_later_values() -> None:
    async def dismiss(draft: Draft) -> Ruling:
        return Ruling([])

    seen: list[tuple[Finding, ...]] = []
    left = iter([[finding("a")], [finding("a"), finding("b")], [finding("a")]])

    async def review(draft: Draft) -> list[Finding]:
        seen.append(draft.findings)
        return next(left)

    result = await review_loop(generate, review, revise, arbiter=dismiss)("Write.")
    assert (result.stop, result.value) == (ReviewStop.clean, 2)
    assert seen[2] == (finding("a"),)


def analyst(request: Request) -> Reply:
    fine = "Second" in str(request.turns[-1])
    found = [] if fine else [{"place": "f.py:1", "what": "It is the first.", "severity": "blocker"}]
    return Reply(tool_calls=(call("final_answer", summary="Read.", findings=found),))


def writer(request: Request) -> Reply:
    return Reply(text="Second" if "It is the first." in str(request.turns[-1]) else "First")


async def test_agents_write_and_review_in_words() -> None:
    loop = review_loop(Agent(scripted(writer), name="writer"), Specialist("analysis", scripted(analyst)))
    result = await loop("Write a word.")
    assert (result.stop, result.value, result.usage.turns) == (ReviewStop.clean, "Second", 4)


async def test_the_ceiling_and_the_caps_hold_for_all_of_it() -> None:
    def loop(**limits: Any) -> Any:
        reviews = Specialist("analysis", scripted(analyst))
        return review_loop(Agent(scripted(writer), name="writer"), reviews, limits=AgentLimits(**limits))

    assert (await loop(usd=Decimal("0.01"))("Write.")).stop is ReviewStop.budget
    capped = await loop(turns=2)("Write.")
    assert (capped.stop, capped.value, capped.usage.turns) == (ReviewStop.caps, "First", 2)


async def test_an_agent_that_fails_ends_it_with_its_reason() -> None:
    def broken(request: Request) -> Reply:
        return Reply(status=500)

    result = await review_loop(generate, Specialist("analysis", scripted(broken)), revise)("Write.")
    assert result.stop is ReviewStop.agent_failed
    assert (result.value, "model_error" in result.detail) == (0, True)


@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from("abcd"), st.sampled_from(["note", "major", "blocker"])), max_size=4
        )
    ),
    st.integers(1, 8),
)
def test_it_always_ends_within_its_rounds(script: list[list[tuple[str, str]]], rounds: int) -> None:
    left = iter(script)

    async def review(draft: Draft) -> Analysis:
        return Analysis(
            "Read.", [finding(what, severity) for what, severity in next(left, script[-1] if script else [])]
        )

    result = review_loop(generate, review, revise, rounds=rounds).run_sync("Write.")
    assert len(result.rounds) <= rounds
    assert result.clean == (not result.open)
    fewest = min(one.serious for one in result.rounds)
    assert result.clean or len(result.open) == fewest


@pytest.mark.parametrize("options", [{"rounds": 0}, {"patience": 0}, {"floor": "awful"}, {"revise": None}])
def test_settings_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    given: dict[str, Any] = {"revise": revise, **options}
    with pytest.raises(ConfigError):
        review_loop(generate, reviewer(), **given)


async def test_a_reviewer_without_findings_is_an_error() -> None:
    async def review(draft: Draft) -> str:
        return "Looks good to me!"

    with pytest.raises(StepError, match="gave str, and no findings"):
        await review_loop(generate, review, revise)("Write.")
