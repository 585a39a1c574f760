"""What a coordinator tells while a team works, beside the events of its agents. Data; it knows no coordinator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from tidyllm.agents.agent_events import AgentEvent
from tidyllm.agents.decision import Decision
from tidyllm.agents.phases import Phase
from tidyllm.agents.project import ProjectResult, ProjectStop
from tidyllm.agents.tasks import TaskStatus

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Checked",
    "Consulted",
    "Decided",
    "DecidedBy",
    "PhaseChanged",
    "ProjectEvent",
    "ProjectObserver",
    "ProjectStopped",
    "TaskChanged",
    "Warned",
]

DecidedBy: TypeAlias = Literal["model", "guard", "rule"]


class _Event(msgspec.Struct, frozen=True, kw_only=True):
    agent: str = ""
    path: tuple[str, ...] = ()


class PhaseChanged(_Event, frozen=True, tag="phase_changed"):
    """The team goes on in another phase."""

    phase: Phase
    reason: str = ""


class TaskChanged(_Event, frozen=True, tag="task_changed"):
    """A task is in another status, or was added (`new`)."""

    task: str
    status: TaskStatus
    title: str = ""


class Decided(_Event, frozen=True, tag="decided"):
    """What happens next, who says so (the arbiter's model, a guard, or the traditional rule), and why."""

    decision: Decision
    by: DecidedBy
    why: str = ""


class Consulted(_Event, frozen=True, tag="consulted"):
    """A specialist was asked."""

    kind: str
    query: str
    answer: str = ""
    ok: bool = True


class Checked(_Event, frozen=True, tag="checked"):
    """The coordinator has run the goal's check itself. `summary`: the last words of its output."""

    passed: bool
    summary: str = ""


class Warned(_Event, frozen=True, tag="warned"):
    """Something that whoever watches should know and that stops nothing."""

    text: str


class ProjectStopped(_Event, frozen=True, tag="project_stopped"):
    """The end, and the last event. `result` is what the coordinator returns."""

    stop: ProjectStop
    detail: str = ""
    result: ProjectResult | None = None


ProjectEvent: TypeAlias = (
    PhaseChanged | TaskChanged | Decided | Consulted | Checked | Warned | ProjectStopped | AgentEvent
)
ProjectObserver: TypeAlias = "Callable[[ProjectEvent], object]"
