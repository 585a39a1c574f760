"""The one record of a project: pipeline and orchestration. It keeps and answers; it decides nothing.

All of it follows from the goal and from what recorded calls gave, so a run that is replayed has the same state.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

import msgspec

from tidyllm.agents.decision import Decision
from tidyllm.agents.message_log import MessageLog
from tidyllm.agents.phases import Phase
from tidyllm.agents.tasks import Task, TaskStatus
from tidyllm.errors import ConfigError

__all__ = [
    "CheckNote",
    "Consultation",
    "DecisionNote",
    "ModelUse",
    "PhaseNote",
    "ProjectState",
    "WorkNote",
]


class PhaseNote(msgspec.Struct, frozen=True):
    """A phase that was begun, at which step, and why."""

    phase: Phase
    step: int
    reason: str = ""


class DecisionNote(msgspec.Struct, frozen=True):
    """One decision. `by`: the arbiter's model, a guard, or the traditional rule."""

    step: int
    phase: Phase
    decision: Decision
    by: Literal["model", "guard", "rule"]
    why: str = ""


class Consultation(msgspec.Struct, frozen=True):
    """A question to a specialist and its answer; not `ok`: the specialist ended before it was done."""

    step: int
    kind: str
    query: str
    answer: str
    ok: bool = True


class WorkNote(msgspec.Struct, frozen=True):
    """One piece of work of one agent: how it ended, and whether anything came of it."""

    step: int
    agent: str
    phase: Phase
    task: str = ""
    stop: str = "done"
    detail: str = ""
    progress: bool = True

    @property
    def ok(self) -> bool:
        """Whether the agent finished."""
        return self.stop == "done"


class CheckNote(msgspec.Struct, frozen=True):
    """One run of the check on the tree of that hash. `digest`: of what it printed, without times.

    `doubt`: why exit code 0 was not believed.
    """

    step: int
    passed: bool
    exit_code: int
    output: str
    tree: str
    digest: str = ""
    doubt: str = ""


class ModelUse(msgspec.Struct):
    """What the agents of one name used. Dollars are of calls whose price is known; `priced`: all of them."""

    runs: int = 0
    turns: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: Decimal = Decimal(0)
    priced: bool = True


class ProjectState(msgspec.Struct, kw_only=True):
    """Pipeline: `tasks`, `phase`, `phases`, `work`, `checks`. Orchestration: `decisions`, `consultations`, `usage`,
    `conversation`. Counters below them are the guards'."""

    goal: str = ""
    mode: str = "orchestrated"
    phase: Phase = Phase.planning
    step: int = 0
    """Decisions so far."""
    tasks: list[Task] = []
    phases: list[PhaseNote] = []
    work: list[WorkNote] = []
    checks: list[CheckNote] = []
    planned: bool = False
    documented: bool = False
    reviewed: bool = False
    """Somebody has read what was done since the last change."""
    review_rounds: int = 0
    tree: str = ""
    """Hash of the tree as last seen."""
    trees: list[str] = []
    """All hashes that were seen, in order."""
    changed: list[str] = []
    """Paths that the team has changed, as last seen."""
    decisions: list[DecisionNote] = []
    consultations: list[Consultation] = []
    usage: dict[str, ModelUse] = {}
    conversation: MessageLog = msgspec.field(default_factory=MessageLog)
    moves: int = 0
    """Changes of phase since the last piece of work."""
    finish_refused: int = 0
    questions: int = 0
    oscillations: int = 0

    # -- asking it

    def task(self, id: str) -> Task:
        """:raises KeyError: there is none."""
        found = next((one for one in self.tasks if one.id == id), None)
        if found is None:
            raise KeyError(id)
        return found

    def tasks_by_status(self, *statuses: TaskStatus) -> list[Task]:
        """Tasks in any of these, in order; without one: all."""
        return [one for one in self.tasks if not statuses or one.status in statuses]

    def open_tasks(self) -> list[Task]:
        """Tasks that somebody has to work on."""
        return [one for one in self.tasks if one.is_open]

    def decisions_by(self, *by: str) -> list[DecisionNote]:
        """Decisions of the model, guards or the rule; without one: all."""
        return [one for one in self.decisions if not by or one.by in by]

    def consultations_of(self, kind: str) -> list[Consultation]:
        """Questions to specialists of a kind."""
        return [one for one in self.consultations if one.kind == kind]

    def work_in(self, *phases: Phase) -> list[WorkNote]:
        """Pieces of work in these phases; without one: all."""
        return [one for one in self.work if not phases or one.phase in phases]

    @property
    def last_check(self) -> CheckNote | None:
        """The latest run of the check."""
        return self.checks[-1] if self.checks else None

    @property
    def check_is_current(self) -> bool:
        """Whether the check has run on the tree as it was last seen."""
        return bool(self.checks) and self.checks[-1].tree == self.tree

    @property
    def check_passes(self) -> bool:
        """Whether it passed on that tree."""
        return self.check_is_current and self.checks[-1].passed

    @property
    def is_doubted(self) -> bool:
        """Whether the latest check ended well and is not believed, and the first one was no such case."""
        return bool(self.checks) and bool(self.checks[-1].doubt) and not self.checks[0].doubt

    @property
    def tokens(self) -> int:
        """Of all agents, input and output."""
        return sum(one.input_tokens + one.output_tokens for one in self.usage.values())

    # -- keeping it

    def saw(self, tree: str, changed: Iterable[str] | None = None) -> bool:
        """The tree is like this now. Whether that was never seen before."""
        is_new = tree not in self.trees
        if not self.trees or self.trees[-1] != tree:
            self.trees.append(tree)
        self.tree = tree
        if changed is not None:
            self.changed = list(changed)
        return is_new

    def to_json(self) -> bytes:
        """Everything."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, text: bytes | str) -> ProjectState:
        """:raises ConfigError: it is no state of a project, or one that names a task twice."""
        try:
            state = msgspec.json.decode(text, type=cls)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise ConfigError(f"this is no state of a project: {error}.") from error
        ids = [one.id for one in state.tasks]
        if len(set(ids)) < len(ids):
            raise ConfigError("this is no state of a project: two tasks have one id.")
        return state
