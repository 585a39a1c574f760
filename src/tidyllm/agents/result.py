"""What an agent is asked and what it gives back. Data; it knows no loop."""

from __future__ import annotations

from decimal import Decimal
from typing import Generic, TypeVar

import msgspec

from tidyllm.agents.limits import AgentLimits
from tidyllm.agents.stop import StopReason
from tidyllm.errors import AgentStopped
from tidyllm.models.message import Message

__all__ = ["AgentResult", "AgentTask", "TreeUsage"]

T = TypeVar("T")


class AgentTask(msgspec.Struct, frozen=True, kw_only=True):
    """What to do. Plain text is short for `AgentTask(task=…)`.

    - `messages`: what was said before; the task comes after it.
    - `limits`: tighter caps for this task; of each cap the smaller one holds.
    """

    task: str
    messages: tuple[Message, ...] = ()
    limits: AgentLimits | None = None


class TreeUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent and everything below it used. `seconds` is its own working time."""

    turns: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: Decimal = Decimal(0)
    seconds: float = 0.0

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


class AgentResult(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """How an agent ended: `stop`, and the best it has to show for it.

    - `output`: the final answer as its type, or the last answer that fitted it; None when there was none.
    - `text`: the last text the model wrote. `detail`: the stop in words.
    - `messages`: the whole conversation, what was pruned left out; every tool call has its result.
    - `turns`, `tool_calls`: of this agent alone. `usage`: of its whole tree.
    - `cost_usd`: dollars of the tree; None when a call's price is unknown.
    """

    output: T | None = None
    stop: StopReason = StopReason.done
    detail: str = ""
    text: str = ""
    messages: tuple[Message, ...] = ()
    turns: int = 0
    tool_calls: int = 0
    usage: TreeUsage = TreeUsage()
    cost_usd: Decimal | None = None
    agent: str = ""

    @property
    def done(self) -> bool:
        """Whether the agent finished its task."""
        return self.stop is StopReason.done

    def require(self) -> T:
        """The output.

        :raises AgentStopped: the agent ended before it was done; `.partial` is this result.
        """
        if self.stop is StopReason.done:
            return self.output  # pyright: ignore[reportReturnType] - a result that is done has an output
        raise AgentStopped(
            f"agent {self.agent!r} stopped after {self.turns} turns: {self.stop.value}. {self.detail}".rstrip(),
            stop=self.stop.value,
            partial=self,
            hint="Its best partial result is in .partial; raise the limit it met, or make the task smaller.",
        )
