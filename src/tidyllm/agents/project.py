"""What a team is asked, why it ended and what it gives back. Data; it knows no coordinator."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

import msgspec

from tidyllm.agents.state import ProjectState

__all__ = ["Goal", "ProjectResult", "ProjectStop"]


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """What shall be true at the end, in words. `state`: that of an earlier run, to go on from."""

    text: str
    state: ProjectState | None = None


class ProjectStop(StrEnum):
    """The closed list of ends. Only `finished` is a success, and only with a check that passes a certain one."""

    finished = "finished"
    """All is done; the check passes, where there is one."""
    check_failed = "check_failed"
    """It was called finished, or debugged, again and again, and the check fails still."""
    tests_spoiled = "tests_spoiled"
    """Protected files are not as they were (existing tests, pytest's configuration, what the caller named), or tests
    pass for a wrong reason: they were skipped or ended from inside, or code under test reaches into pytest."""
    oscillation = "oscillation"
    """From phase to phase and back, with no work done in between."""
    no_progress = "no_progress"
    """Work that changed nothing, several times in a row."""
    steps = "steps"
    """The cap on decisions."""
    turns = "turns"
    """The cap on model calls of the whole team."""
    tool_calls = "tool_calls"
    """The cap on tool calls of the whole team."""
    tokens = "tokens"
    """The cap on tokens of the whole team."""
    budget = "budget"
    """The cap on dollars, or a call whose price is not known under one."""
    deadline = "deadline"
    """The cap on seconds."""
    repeated = "repeated"
    """Agents in a row ended with that, and so do the reasons below: see `StopReason`."""
    ping_pong = "ping_pong"
    malformed = "malformed"
    truncated = "truncated"
    empty = "empty"
    refused = "refused"
    denied = "denied"
    model_error = "model_error"
    cancelled = "cancelled"
    """The run was cancelled; seen in events only."""


class ProjectResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a team ended, and the best there is.

    - `checked`: whether the goal's check passes at the end, on the tree as it is; None: there is no check.
    - `check_output`: what its last run printed. `changes`: paths that are not as they were.
    - `spoiled`: protected paths that are not as they were. `state`: the whole record.
    - `cost_usd`: of all agents; None when a call's price is unknown.
    """

    stop: ProjectStop
    detail: str = ""
    checked: bool | None = None
    check_output: str = ""
    state: ProjectState
    changes: list[str] = []
    spoiled: list[str] = []
    cost_usd: Decimal | None = None
    tokens: int = 0
    turns: int = 0
    tool_calls: int = 0
    seconds: float = 0.0

    @property
    def done(self) -> bool:
        """Whether the goal is reached, as far as that can be known."""
        return self.exit_code == 0

    @property
    def exit_code(self) -> int:
        """0: finished, and the check passes. 3: finished without a check. 1: everything else."""
        if self.stop is not ProjectStop.finished or self.spoiled:
            return 1
        return 3 if self.checked is None else 0 if self.checked else 1
