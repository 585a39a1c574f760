"""Asks a model what a team does next, and takes nothing for a decision that is none. It runs no work.

What is no decision goes back once, with the reason; after that there is none, and whoever asked goes by rule.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from tidyllm.agents.agent import Agent, AnyModel
from tidyllm.agents.decision import Decision, Wrapped, decision_schema, read_decision
from tidyllm.agents.limits import AgentLimits
from tidyllm.agents.orchestration_prompts import ARBITER, AS_JSON, WRONG
from tidyllm.agents.result import AgentResult, AgentTask, TreeUsage
from tidyllm.agents.stop import StopReason
from tidyllm.core import Context, Step
from tidyllm.errors import BadAnswer
from tidyllm.models.message import Message
from tidyllm.models.output import json_schema
from tidyllm.models.request import Request

__all__ = ["Arbiter", "Verdict"]

_UNREADABLE = (StopReason.empty, StopReason.truncated, StopReason.malformed)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What an arbiter gives: a decision, or None and why there is none.

    - `repaired`: the first answer was none. `stop`: how its agent ended; `usage`, `cost_usd`: what it took.
    """

    decision: Decision | None = None
    why: str = ""
    repaired: bool = False
    stop: StopReason = StopReason.done
    usage: TreeUsage = TreeUsage()
    cost_usd: Decimal | None = None


class Arbiter(Step[str, Verdict]):
    """`await Arbiter(model)(situation)`: a situation in words becomes a `Verdict`.

    - `model`: any model; it is offered no tools, and shown the schema of a `Decision`.
    - `instructions`: what else it should know. `repairs`: how often an answer that is no decision goes back.
    - `request`: a template for temperature and the like.

    Another arbiter (a rule of your own, a vote) is any step from text to a `Verdict`.
    """

    def __init__(
        self,
        model: AnyModel,
        instructions: str = "",
        *,
        name: str = "arbiter",
        repairs: int = 1,
        request: Request | None = None,
        context_tokens: int | None = None,
    ) -> None:
        super().__init__(name)
        self.repairs = repairs
        limits = AgentLimits(turns=1, repairs=0, tool_calls=None, seconds=None)
        probe = Agent(model, (), name=name, limits=limits, context_tokens=context_tokens)
        words = [ARBITER, instructions]
        template = request or Request(())
        if probe.facts.structured:
            # Providers that keep to a schema want one of an object.
            template = msgspec.structs.replace(template, output=json_schema(Wrapped))
        else:
            words.append(AS_JSON + msgspec.json.encode(decision_schema()).decode())
        self._agent: Agent[str] = Agent(
            probe.model,
            (),
            "\n\n".join(word for word in words if word),
            name=name,
            limits=limits,
            request=template,
            context_tokens=context_tokens,
        )

    async def invoke(self, x: str, ctx: Context) -> Verdict:
        said: tuple[Message, ...] = ()
        usage, cost, why, task = TreeUsage(), Decimal(0), "", x
        priced = True
        for attempt in range(self.repairs + 1):
            result: AgentResult[Any] = await ctx.call(
                self._agent, AgentTask(task=task, messages=said), f"ask-{attempt + 1}"
            )
            usage = _sum(usage, result.usage)
            priced = priced and result.cost_usd is not None
            cost += result.cost_usd or 0
            made = Verdict(
                repaired=attempt > 0, stop=result.stop, usage=usage, cost_usd=cost if priced else None
            )
            if result.stop is not StopReason.done and result.stop not in _UNREADABLE:
                return msgspec.structs.replace(
                    made, why=f"The arbiter gave no answer: {result.detail}".rstrip()
                )
            try:
                decision = read_decision(result.text if result.stop is StopReason.done else "")
            except BadAnswer as error:
                why = error.message
            else:
                return msgspec.structs.replace(made, decision=decision)
            said = (*said, Message.user(task), Message.assistant(result.text[:4_000] or "(nothing)"))
            task = f"{why} {WRONG}"
        return Verdict(
            why=f"{self.repairs + 1} answers in a row were no decision. The last one: {why}",
            repaired=self.repairs > 0,
            usage=usage,
            cost_usd=cost if priced else None,
        )


def _sum(one: TreeUsage, other: TreeUsage) -> TreeUsage:
    return TreeUsage(
        turns=one.turns + other.turns,
        tool_calls=one.tool_calls + other.tool_calls,
        input_tokens=one.input_tokens + other.input_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        usd=one.usd + other.usd,
        seconds=one.seconds + other.seconds,
    )
