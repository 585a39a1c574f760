"""What goes through a review loop and what comes out of it. Data; it knows no loop."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Any, Generic, TypeVar

import msgspec

from tidyllm.agents.message_log import MessageLog
from tidyllm.agents.result import TreeUsage
from tidyllm.agents.specialist import Finding, Severity

__all__ = ["SEVERITIES", "Draft", "ReviewResult", "ReviewRound", "ReviewStop", "Ruling"]

T = TypeVar("T")

SEVERITIES: tuple[Severity, ...] = ("note", "minor", "major", "blocker")


class ReviewStop(StrEnum):
    """The closed list of ends. Only `clean` is a success."""

    clean = "clean"
    """Nothing at or above the floor is left."""
    rounds = "rounds"
    """The cap on reviews."""
    not_converging = "not_converging"
    """As many new findings as before, or more, several reviews in a row."""
    disputed = "disputed"
    """Findings came back after a revision, and nobody ruled on them, or the ruling did not help."""
    budget = "budget"
    """The ceiling on dollars."""
    caps = "caps"
    """Another cap of the whole loop: turns, tool calls, tokens, seconds."""
    agent_failed = "agent_failed"
    """An agent ended before it was done."""


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What reviewers and revisers that are no agents get: the task, the text or value, and the `findings` to revise
    (for a reviewer: those that were dismissed and are not to be named again)."""

    task: str
    value: Any
    round: int
    findings: tuple[Finding, ...] = ()


class Ruling(msgspec.Struct, frozen=True):
    """What an arbiter gives on disputed findings: the numbers, from 1, of those that stand. All others are
    dismissed."""

    upheld: list[int]
    reason: str = ""


class ReviewRound(msgspec.Struct, frozen=True, kw_only=True):
    """One review: all its findings, how many were `serious` (at or above the floor), and how many of those `new`."""

    number: int
    findings: list[Finding]
    serious: int
    new: int


class ReviewResult(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """The best value (of those that were reviewed, the one with the fewest serious findings), and how the loop ended.

    - `open`: serious findings that value has. `dismissed`: by the arbiter. `curve`: new serious findings by round.
    """

    value: T | None = None
    stop: ReviewStop
    detail: str = ""
    rounds: list[ReviewRound] = []
    open: list[Finding] = []
    dismissed: list[Finding] = []
    log: MessageLog = msgspec.field(default_factory=MessageLog)
    usage: TreeUsage = TreeUsage()
    cost_usd: Decimal | None = None

    @property
    def clean(self) -> bool:
        """Whether nothing serious is left."""
        return self.stop is ReviewStop.clean

    @property
    def curve(self) -> list[int]:
        """New serious findings by round: where it does not fall, the loop does not converge."""
        return [one.new for one in self.rounds]
