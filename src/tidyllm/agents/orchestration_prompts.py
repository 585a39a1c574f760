"""What the members of a team are told: the situation for the arbiter, the task for each agent. Texts; no agent.

Everything in them comes from the record of the project, so that a run that is replayed says the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tidyllm.agents.decision import Decision
from tidyllm.agents.state import CheckNote, ProjectState
from tidyllm.agents.tasks import Task
from tidyllm.agents.wording import bounded

__all__ = ["ARBITER", "AS_JSON", "PLANNER", "WRONG", "failure_of", "situation", "task_text"]

ARBITER = """\
You decide what a team of agents does next. You do no work yourself, and nothing that you write beside the decision is \
read.
- continue_phase: do the next piece of work of the present phase.
- change_phase: go on in another phase; say why.
- consult_specialist: put one question to a specialist for coding, reasoning or analysis, when the team is stuck.
- ask_user: only for what nobody in the team can find out.
- finish: the goal is reached. With a check, it is believed only if the check passes.
Where nothing speaks against the usual order, follow it. Do not change the phase without work in between, and do not \
ask the same thing twice."""

AS_JSON = "Answer with JSON alone, one object and no word beside it, which fits this JSON schema:\n"

WRONG = "Answer again, with one decision as JSON alone and no word beside it."

PLANNER = """\
Give the tasks in the order in which they are to be done, each with a title and a description that somebody can work \
by who has not read this conversation. As few as possible; one is often enough. Running the check at the end is no \
task: that is done anyway."""

_OUTPUT = 9_000
_SAID = 1_200


def situation(state: ProjectState, usual: Decision, left: Sequence[str], *, checks: bool) -> str:
    """All that the arbiter needs. `usual`: what the usual order says; `left`: what is left of the caps, in words."""
    lines = [
        f"Goal: {bounded(state.goal, _OUTPUT)}",
        f"Phase: {state.phase}. Decision number {state.step + 1}.",
    ]
    lines.append("Tasks:" if state.tasks else "No tasks yet.")
    lines += [f"- {one.id} [{one.status}] {one.title} (attempts: {one.attempts})" for one in state.tasks]
    lines.append(_check_line(state, checks=checks))
    if state.work:
        lines.append("Latest work:")
        for one in state.work[-6:]:
            effect = "changed the tree" if one.progress else "changed nothing"
            lines.append(
                f"- {one.agent} in {one.phase}: {one.stop}, {effect}. {bounded(one.detail, 300)}".rstrip()
            )
    if state.decisions:
        lines.append("Latest decisions:")
        lines += [f"- {_json(note.decision)} (by {note.by})" for note in state.decisions[-6:]]
    lines += _heard(state)
    if left:
        lines.append(f"Left: {', '.join(left)}.")
    lines.append(f"The usual order would be: {_json(usual)}")
    failing = failure_of(state.last_check)
    if failing:
        lines.append(failing)
    lines.append("What is done next?")
    return "\n".join(lines)


def task_text(state: ProjectState, what: str, *, task: Task | None = None, failing: bool = True) -> str:
    """What an agent is asked: the goal, its task, what was found before, and the failing check."""
    parts = [f"Goal of the project:\n{bounded(state.goal, _OUTPUT)}"]
    if task is not None:
        words = f"{task.title}\n{task.description}".strip()
        parts.append(f"Your task ({task.id}):\n{bounded(words, _OUTPUT)}")
        if task.notes:
            notes = "\n".join(f"- {bounded(note, _SAID)}" for note in task.notes[-4:])
            parts.append(f"What was said of it before:\n{notes}")
    parts.append(what)
    heard = _heard(state)
    if heard:
        parts.append("\n".join(heard))
    if state.changed:
        names = ", ".join(state.changed[:60])
        parts.append(f"Changed so far: {names}")
    shown = failure_of(state.last_check) if failing else ""
    if shown:
        parts.append(shown)
    return "\n\n".join(parts)


def failure_of(check: CheckNote | None) -> str:
    """What a failing check printed; "" where it passed or never ran."""
    if check is None or check.passed:
        return ""
    return (
        f"The last run of the check failed (exit code {check.exit_code}):\n{bounded(check.output, _OUTPUT)}"
    )


def _check_line(state: ProjectState, *, checks: bool) -> str:
    check = state.last_check
    if not checks:
        return "There is no check."
    if check is None:
        return "The check has not run yet."
    when = "on the tree as it is" if state.check_is_current else "before the latest change"
    return f"The check {'passed' if check.passed else 'failed'} {when}."


def _heard(state: ProjectState) -> list[str]:
    answered = [
        f"Asked {one.kind}: {bounded(one.query, _SAID)}\nAnswer: {bounded(one.answer, _SAID)}"
        for one in state.consultations[-3:]
    ]
    told = state.conversation.where(sender="user", kind="answer")[-3:]
    return answered + [f"The user said: {bounded(one.text, _SAID)}" for one in told]


def _json(decision: Decision) -> str:
    return msgspec.json.encode(decision).decode()
