"""Tasks of a project and the steps that their status may take. It knows no agents and no phases."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from tidyllm.errors import StepError

__all__ = ["LEGAL", "Task", "TaskStatus"]


class TaskStatus(StrEnum):
    """Where a task stands."""

    new = "new"
    in_progress = "in_progress"
    review = "review"
    """Done, and not yet judged by a reviewer and the check."""
    fixes_needed = "fixes_needed"
    debugging = "debugging"
    """Its check failed."""
    done = "done"
    failed = "failed"
    skipped = "skipped"
    blocked = "blocked"
    """It waits for something that no agent can do."""


_S = TaskStatus

LEGAL: Mapping[TaskStatus, frozenset[TaskStatus]] = {
    _S.new: frozenset({_S.in_progress, _S.blocked, _S.skipped, _S.failed}),
    _S.in_progress: frozenset(
        {_S.review, _S.fixes_needed, _S.debugging, _S.done, _S.failed, _S.skipped, _S.blocked}
    ),
    _S.review: frozenset({_S.fixes_needed, _S.debugging, _S.done, _S.failed, _S.skipped}),
    _S.fixes_needed: frozenset({_S.in_progress, _S.debugging, _S.done, _S.failed, _S.skipped, _S.blocked}),
    _S.debugging: frozenset({_S.review, _S.fixes_needed, _S.done, _S.failed, _S.skipped, _S.blocked}),
    _S.blocked: frozenset({_S.in_progress, _S.failed, _S.skipped}),
    _S.done: frozenset({_S.debugging, _S.fixes_needed}),
    _S.failed: frozenset({_S.in_progress, _S.debugging, _S.done}),
    _S.skipped: frozenset({_S.in_progress}),
}
"""Which status may follow which. A task that is done is opened again only because something was found; one that failed
is done when the check of the whole passes all the same."""

OPEN = frozenset({_S.new, _S.in_progress, _S.fixes_needed})
"""Somebody has to work on it."""
CLOSED = frozenset({_S.done, _S.failed, _S.skipped, _S.blocked})
"""Nobody works on it any more."""


class Task(msgspec.Struct, kw_only=True):
    """One piece of work. `attempts`: how often somebody began it. `notes`: what was said of it, the latest last."""

    id: str
    title: str
    description: str = ""
    status: TaskStatus = TaskStatus.new
    attempts: int = 0
    notes: list[str] = []
    history: list[TaskStatus] = []
    """Former statuses, in order."""

    def to(self, status: TaskStatus) -> None:
        """Take a step.

        :raises StepError: it may not be taken; nothing is changed.
        """
        if status not in LEGAL[self.status]:
            legal = ", ".join(sorted(LEGAL[self.status]))
            raise StepError(f"task {self.id!r} cannot go from {self.status} to {status}; only to: {legal}.")
        self.history.append(self.status)
        self.status = status
        if status is TaskStatus.in_progress:
            self.attempts += 1

    @property
    def is_open(self) -> bool:
        """Whether somebody has to work on it."""
        return self.status in OPEN

    @property
    def is_closed(self) -> bool:
        """Whether nobody works on it any more."""
        return self.status in CLOSED
