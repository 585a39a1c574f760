"""Where one run of an agent stands: conversation, counts, calls under way, listeners. It decides nothing.

An agent that another one's tools call finds it through the task's variables, and goes below it: its counts go into that
one's meter, its events to that one's listeners.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

import msgspec

from tidyllm.agents.admission import Admission
from tidyllm.agents.agent_events import AgentEvent, AnswerPiece, Repaired
from tidyllm.agents.call import Call, ToolResult
from tidyllm.agents.conversation import Conversation
from tidyllm.agents.detector import Detector
from tidyllm.agents.limits import AgentLimits
from tidyllm.agents.listeners import Listeners
from tidyllm.agents.meter import Meter
from tidyllm.agents.parsed import Parsed
from tidyllm.agents.patience import Patience
from tidyllm.agents.result import AgentResult
from tidyllm.agents.stop import Stop, StopReason
from tidyllm.core import Context
from tidyllm.core.events import Event
from tidyllm.models.message import Message, Part, Text, ToolCall
from tidyllm.models.message import ToolResult as ResultPart
from tidyllm.models.response import Response

if TYPE_CHECKING:
    from tidyllm.agents.agent import Agent

__all__ = ["Run", "ambient"]

_SPOKEN = "said-"
"""How the ids of calls begin that the model wrote as text."""


class Run:
    """One run. `turn` counts its own turns from 1."""

    __slots__ = (
        "agent",
        "calls_made",
        "ctx",
        "denials",
        "detector",
        "door",
        "heard",
        "ids",
        "input_budget",
        "limits",
        "listeners",
        "meter",
        "output",
        "path",
        "patience",
        "pending",
        "ran",
        "repairs",
        "results",
        "shrunk",
        "speaks",
        "streaming",
        "talk",
        "text",
        "turn",
    )

    def __init__(
        self,
        agent: Agent[Any],
        ctx: Context,
        limits: AgentLimits,
        messages: Sequence[Message],
        listeners: Listeners,
        *,
        streaming: bool,
    ) -> None:
        above = ambient.get()
        self.agent = agent
        self.ctx = ctx
        self.limits = limits
        self.listeners = listeners if above is None else listeners.and_those(above.listeners)
        self.heard = bool(self.listeners) or ctx.watched
        self.streaming = streaming
        self.path = ctx.path if self.heard else ()
        self.meter = Meter(agent.name, limits, None if above is None else above.meter)
        self.patience = Patience(None if above is None else above.patience)
        self.talk = Conversation(
            messages, model=agent.facts.counted_as, overhead_tokens=agent.overhead_tokens
        )
        self.input_budget = agent.facts.input_budget
        self.detector = Detector(
            repeats=limits.repeats, ping_pong=limits.ping_pong, no_progress=limits.no_progress
        )
        self.door = Admission(self)
        self.turn = 0
        self.calls_made = 0
        self.repairs = 0
        self.denials = 0
        self.text = ""
        self.output: Any = None
        self.pending: tuple[Call, ...] = ()
        self.results: dict[str, ToolResult] = {}
        self.ids: set[str] = set()
        self.ran: set[str] = set()
        """Agents that its calls really ran, by the last part of their path; others were given from a record."""
        self.speaks = False
        self.shrunk = False

    # -- telling

    def tell(self, kind: type[msgspec.Struct], **fields: Any) -> None:
        """Tell listeners, and the hooks of the run. Ask `heard` first where it costs."""
        if not self.heard:
            return
        event = cast("AgentEvent", kind(agent=self.agent.name, path=self.path, **fields))
        self.listeners.tell(event)
        if self.ctx.watched and not isinstance(event, AnswerPiece):
            self.ctx.emit(
                cast("Event", event)
            )  # hooks take every event and ignore kinds that they do not know

    # -- what the model said

    def numbered(self, response: Response) -> Response:
        """The answer with ids that are unique in this run: some providers count anew in each answer."""
        wrong = False
        content: list[Part] = []
        for number, part in enumerate(response.content):
            if isinstance(part, ToolCall):
                if not part.id or part.id in self.ids:
                    wrong = True
                    part = msgspec.structs.replace(part, id=f"call-{self.turn}-{number + 1}")  # noqa: PLW2901 - the part that is kept
                self.ids.add(part.id)
            content.append(part)
        return msgspec.structs.replace(response, content=tuple(content)) if wrong else response

    def say(self, response: Response, parsed: Parsed) -> tuple[Call, ...]:
        """Add the answer to the conversation, and give its calls. Calls written as text are kept as calls too."""
        if response.tool_calls or not parsed.calls:
            self.talk.add(response.message)
            return parsed.calls
        self.speaks = True
        calls = tuple(
            msgspec.structs.replace(call, id=f"{_SPOKEN}{self.turn}-{number}")
            for number, call in enumerate(parsed.calls, 1)
        )
        parts = [
            ToolCall(
                id=call.id,
                name=call.name,
                arguments=call.arguments,
                raw_arguments=msgspec.json.encode(call.arguments).decode(),
            )
            for call in calls
        ]
        self.talk.add(Message("assistant", (*response.message.parts, *parts)))
        return calls

    def sent(self) -> tuple[Message, ...]:
        """The conversation as it is sent: calls that were written as text go back as text."""
        messages = self.talk.messages
        return tuple(map(_spoken, messages)) if self.speaks else messages

    # -- calls and results

    def expect(self, calls: tuple[Call, ...]) -> None:
        """These calls have been asked for; each gets a result, whatever happens."""
        self.pending = calls
        self.results = {}

    def close(self, otherwise: str) -> None:
        """Add the results in the order of the calls; `otherwise`: that of calls which have none."""
        for call in self.pending:
            found = self.results.get(call.id) or ToolResult(call.id, call.name, otherwise, ok=False)
            self.talk.add(found.message)
        self.pending = ()

    # -- the end

    def result(self, stop: Stop) -> AgentResult[Any]:
        """What the run comes to."""
        self.close(f"(not run: the agent stopped, {stop.reason.value})")
        meter = self.meter
        return AgentResult(
            output=self.output,
            stop=stop.reason,
            detail=stop.detail,
            text=self.text,
            messages=self.talk.messages,
            turns=self.turn,
            tool_calls=self.calls_made,
            usage=meter.usage(),
            cost_usd=meter.usd if meter.priced else None,
            agent=self.agent.name,
        )

    def repair(self, problem: str, reason: StopReason = StopReason.malformed) -> Stop | None:
        """One more answer that cannot be read; the stop when there were too many in a row."""
        self.repairs += 1
        if self.repairs > self.limits.repairs:
            return Stop(reason, f"After {self.limits.repairs} repairs: {problem}")
        self.tell(Repaired, problem=problem, attempt=self.repairs)
        return None


def _spoken(message: Message) -> Message:
    if isinstance(message.content, str):
        return message
    parts: list[Part] = []
    changed = False
    for part in message.content:
        if isinstance(part, ToolCall) and part.id.startswith(_SPOKEN):
            changed = True
        elif isinstance(part, ResultPart) and part.call_id.startswith(_SPOKEN):
            changed = True
            word = "failed" if part.is_error else "answered"
            parts.append(
                Text(text=f"[The call {part.call_id.removeprefix(_SPOKEN)} {word}:]\n{part.content}")
            )
        else:
            parts.append(part)
    if not changed:
        return message
    return Message("user" if message.role == "tool" else message.role, tuple(parts), message.extra)


ambient: ContextVar[Run | None] = ContextVar("tidyllm_agent_run", default=None)
"""The run of the agent that works in this task or thread."""
