"""What an agent tells while it works: one stream for terminal, console and logs. Data; it knows no loop.

Every event says which agent it is of, and where in the tree of calls that agent runs (`path`): events of agents that
an agent calls come in its own stream.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeAlias

import msgspec

from tidyllm.agents.result import AgentResult
from tidyllm.agents.stop import StopReason

__all__ = [
    "AgentEvent",
    "AnswerPiece",
    "ApprovalAsked",
    "ApprovalGiven",
    "Observer",
    "Pruned",
    "Repaired",
    "Stopped",
    "ToolFinished",
    "ToolStarted",
    "TurnFinished",
    "TurnStarted",
]


class _Event(msgspec.Struct, frozen=True, kw_only=True):
    agent: str = ""
    path: tuple[str, ...] = ()


class TurnStarted(_Event, frozen=True, tag="turn_started"):
    """The model is about to be asked, for the `turn`-th time (from 1)."""

    turn: int


class AnswerPiece(_Event, frozen=True, tag="answer_piece"):
    """More text of the answer: pieces as they come when the agent is streamed, else the whole text of a turn."""

    text: str


class TurnFinished(_Event, frozen=True, tag="turn_finished"):
    """The model has answered. Tokens and dollars are of this one call; None: not known."""

    turn: int
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: Decimal | None = None


class ToolStarted(_Event, frozen=True, tag="tool_started"):
    """A tool is about to run."""

    id: str
    tool: str
    arguments: dict[str, Any] = {}


class ToolFinished(_Event, frozen=True, tag="tool_finished"):
    """A tool has answered; `ok` is False when the answer is an error for the model."""

    id: str
    tool: str
    text: str
    ok: bool = True


class ApprovalAsked(_Event, frozen=True, tag="approval_asked"):
    """A person is asked; the agent waits."""

    question: str


class ApprovalGiven(_Event, frozen=True, tag="approval_given"):
    """The person has answered."""

    question: str
    answer: str


class Repaired(_Event, frozen=True, tag="repaired"):
    """An answer could not be read; it went back to the model with the reason, for the `attempt`-th time in a row."""

    problem: str
    attempt: int


class Pruned(_Event, frozen=True, tag="pruned"):
    """The conversation was made to fit: so many messages went to the archive.

    `net_usd` is what that saves on the next call, less what the provider's cache loses by it; None: no known price.
    """

    messages: int
    tokens_before: int
    tokens_after: int
    net_usd: Decimal | None = None


class Stopped(_Event, frozen=True, tag="stopped"):
    """The agent ended. The last event of its stream; `result` is what it returns."""

    stop: StopReason
    detail: str = ""
    result: AgentResult[Any] | None = None


AgentEvent: TypeAlias = (
    TurnStarted
    | AnswerPiece
    | TurnFinished
    | ToolStarted
    | ToolFinished
    | ApprovalAsked
    | ApprovalGiven
    | Repaired
    | Pruned
    | Stopped
)

Observer: TypeAlias = Callable[[AgentEvent], object]
"""Called with each event, on the event loop. What it raises is logged once and disturbs nothing."""
