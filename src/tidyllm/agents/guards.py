"""What is decided before any model is asked: whether to stop, and whether the rule must decide. Pure.

It knows the record of a project and numbers. Dollars, tokens and seconds are the meter's.
"""

from __future__ import annotations

from itertools import takewhile

import msgspec

from tidyllm.agents.decision import AskUser, ChangePhase, ConsultSpecialist, Decision
from tidyllm.agents.phases import Phase
from tidyllm.agents.project import ProjectStop
from tidyllm.agents.state import ProjectState

__all__ = ["Ending", "GuardLimits", "rule_instead", "stop_of", "why_not"]

_CHANGING = (Phase.coding, Phase.debugging)


class GuardLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much of something is too much.

    - `failures`: agents in a row that ended before they were done. `idle`: pieces of coding and debugging in a row
      that left nothing new in the tree.
    - `debugs`: repairs after which the check failed all the same. `finishes`: how often a project may be called
      finished while its check fails.
    - `moves`: changes of phase without work in between, before the rule decides; `oscillations`: how often, before the
      arbiter is not asked any more. `consults`: questions to specialists in a row. `questions`: to the user, in all.
    - `attempts`: at one task; `reviews`: that may ask for fixes; `steps`: decisions in all.
    """

    failures: int = 3
    idle: int = 4
    debugs: int = 8
    finishes: int = 3
    moves: int = 4
    oscillations: int = 2
    consults: int = 3
    questions: int = 5
    attempts: int = 2
    reviews: int = 2
    steps: int = 120


class Ending(msgspec.Struct, frozen=True):
    """An end that was found, in words as well."""

    stop: ProjectStop
    detail: str = ""


def stop_of(state: ProjectState, limits: GuardLimits) -> Ending | None:
    """The reason to stop now, if there is one."""
    if state.step >= limits.steps:
        return Ending(ProjectStop.steps, f"{state.step} decisions were made.")
    failed = list(takewhile(lambda one: not one.ok, reversed(state.work)))
    if len(failed) >= limits.failures:
        last = failed[0]
        return Ending(
            ProjectStop(last.stop),
            f"{len(failed)} agents in a row ended before they were done; the last one: {last.agent}, {last.stop}."
            f" {last.detail}".rstrip(),
        )
    if state.finish_refused >= limits.finishes and state.last_check is not None and not state.check_passes:
        return Ending(
            ProjectStop.check_failed,
            f"It was called finished {state.finish_refused} times, and the check fails.",
        )
    return _stuck(state, limits)


def _stuck(state: ProjectState, limits: GuardLimits) -> Ending | None:
    changing = state.work_in(*_CHANGING)
    idle = sum(1 for _ in takewhile(lambda one: not one.progress, reversed(changing)))
    if idle >= limits.idle and state.last_check is not None and not state.check_passes:
        reason = ProjectStop.no_progress
        detail = f"{idle} pieces of work in a row left nothing new in the tree."
        if state.oscillations >= limits.oscillations:
            reason, detail = ProjectStop.oscillation, f"From phase to phase and back. {detail}"
        return Ending(reason, detail)
    debugs = len(state.work_in(Phase.debugging))
    if debugs >= limits.debugs and state.check_is_current and not state.check_passes:
        return Ending(ProjectStop.check_failed, f"After {debugs} repairs the check still fails.")
    return None


def rule_instead(state: ProjectState, limits: GuardLimits) -> str:
    """Why the rule decides this time, and not the arbiter; "" where it is the arbiter's turn."""
    if state.oscillations >= limits.oscillations:
        return "The arbiter went from phase to phase without work in between, and is not asked any more."
    if state.moves >= limits.moves:
        return f"{state.moves} changes of phase without work in between."
    recent = list(
        takewhile(lambda one: isinstance(one.decision, ConsultSpecialist), reversed(state.decisions))
    )
    if len(recent) >= limits.consults:
        return f"{len(recent)} questions to specialists in a row."
    return ""


def why_not(state: ProjectState, decision: Decision, limits: GuardLimits) -> str:
    """Why this decision of the arbiter is not taken; "" where it is."""
    if isinstance(decision, ConsultSpecialist):
        asked = [(one.kind, one.query) for one in state.consultations]
        if (decision.kind, decision.query) in asked:
            return "That was asked before."
    elif isinstance(decision, AskUser) and state.questions >= limits.questions:
        return f"The user was asked {state.questions} times."
    elif isinstance(decision, ChangePhase) and decision.to is state.phase:
        return "It is in that phase."
    return ""
