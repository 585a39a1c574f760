"""The fixed order of work: from where a project stands to what comes next, by rules alone. Pure; it asks nobody."""

from __future__ import annotations

from tidyllm.agents.decision import ChangePhase, ContinuePhase, Decision, Finish
from tidyllm.agents.phases import Phase
from tidyllm.agents.state import ProjectState
from tidyllm.agents.tasks import TaskStatus

__all__ = ["has_work", "next_by_rule"]


def next_by_rule(state: ProjectState, *, checks: bool, documents: bool = True) -> Decision:
    """What comes next. `checks`: there is a check; `documents`: the team documents what it did."""
    if has_work(state, checks=checks, documents=documents):
        return ContinuePhase()
    match state.phase:
        case Phase.planning:
            return ChangePhase(Phase.coding, "The plan is made.")
        case Phase.coding | Phase.review if state.open_tasks():
            return ChangePhase(Phase.coding, "There are tasks to do.")
        case Phase.coding if _to_review(state):
            return ChangePhase(Phase.review, "All tasks were worked on.")
        case Phase.coding | Phase.review if checks:
            return ChangePhase(Phase.testing, "What was done is to be checked.")
        case Phase.debugging:
            return ChangePhase(Phase.testing, "The repair is to be checked.")
        case _:
            return _towards_the_end(state, checks=checks, documents=documents)


def _towards_the_end(state: ProjectState, *, checks: bool, documents: bool) -> Decision:
    if not state.tasks and not state.planned:
        return ChangePhase(Phase.planning, "Nothing is planned yet.")
    if state.open_tasks() or not state.tasks:
        return ChangePhase(Phase.coding, "There are tasks to do.")
    if checks and not state.check_is_current:
        return ChangePhase(Phase.testing, "The tree has changed since the last check.")
    if checks and not state.check_passes:
        return ChangePhase(Phase.debugging, "The check fails.")
    if documents and not state.documented:
        return ChangePhase(Phase.documentation, "All is done but its description.")
    return Finish("All tasks are closed, and the check passes." if checks else "All tasks are closed.")


def has_work(state: ProjectState, *, checks: bool, documents: bool = True) -> bool:
    """Whether there is anything to do in the phase it is in."""
    match state.phase:
        case Phase.planning:
            return not state.planned
        case Phase.coding:
            return bool(state.open_tasks()) or not state.tasks
        case Phase.review:
            return _to_review(state)
        case Phase.testing:
            return checks and not state.check_is_current
        case Phase.debugging:
            return checks and state.check_is_current and not state.check_passes
        case Phase.documentation:
            settled = not state.open_tasks() and bool(state.tasks) and (not checks or state.check_passes)
            return documents and settled and not state.documented


def _to_review(state: ProjectState) -> bool:
    return not state.reviewed and bool(state.tasks_by_status(TaskStatus.review))
