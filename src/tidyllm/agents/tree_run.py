"""The root of a team's tree: caps that hold for all agents below it, and their counts. It knows no phases.

What a piece of work used is a recorded call of its own (`meter`), as it is for the turns of an agent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import Token
from decimal import Decimal
from typing import Any, Self, TypeVar

from tidyllm.agents.agent import Agent
from tidyllm.agents.approval import Approving
from tidyllm.agents.limits import AgentLimits
from tidyllm.agents.listeners import Listeners
from tidyllm.agents.measured import measured
from tidyllm.agents.meter import Reading
from tidyllm.agents.result import TreeUsage
from tidyllm.agents.run_state import Run, ambient
from tidyllm.agents.stop import Stop, StopReason
from tidyllm.agents.tree_budget import tree_budget
from tidyllm.core import Context, Step
from tidyllm.models.request import Request
from tidyllm.models.response import Response

__all__ = ["TreeRun", "root_agent"]

O = TypeVar("O")  # noqa: E741 - the field's name for an output type
T = TypeVar("T")

_CAPS = (StopReason.tokens, StopReason.budget, StopReason.deadline, StopReason.tool_calls)


def root_agent(name: str, limits: AgentLimits) -> Agent[Any]:
    """What bears the name and the caps of a team. It is never asked anything."""
    return Agent(_nobody, (), name=name, limits=limits)


async def _nobody(request: Request) -> Response:
    raise AssertionError("the root of a team asks no model")


class TreeRun:
    """One run of a team. `run` is where its agents find what is above them."""

    def __init__(self, root: Agent[Any], ctx: Context, listeners: Listeners) -> None:
        above = ambient.get()
        if above is not None:
            above.ran.add(ctx.segment)
        run = self.run = Run(root, ctx, root.limits, (), listeners, streaming=False)
        if root.limits.usd is not None:
            run.ctx = ctx.with_(budget=tree_budget(run.meter, ctx.budget))
        run.ctx = Approving.telling(run, run.ctx)
        self._mark = f"team {root.name!r}"
        self._token: Token[Run | None] | None = None

    async def __aenter__(self) -> Self:
        self._token = ambient.set(self.run)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._token is not None:
            ambient.reset(self._token)

    @property
    def usage(self) -> TreeUsage:
        """What everybody used so far."""
        return self.run.meter.usage()

    @property
    def cost_usd(self) -> Decimal | None:
        """Dollars so far; None when a price is unknown."""
        meter = self.run.meter
        return meter.usd if meter.priced else None

    async def call(self, step: Step[Any, O], x: Any, name: str) -> O:
        """A recorded call; what an agent used whose result came from a record is counted from there."""
        run = self.run
        result = await run.ctx.call(step, x, name)
        usage = getattr(result, "usage", None)
        if isinstance(usage, TreeUsage) and run.ctx.scope.caller is not None and not self._ran(name):
            used = Reading(
                usage.turns,
                usage.tool_calls,
                usage.input_tokens,
                usage.output_tokens,
                usage.usd,
                usage.usd,
                getattr(result, "cost_usd", None) is not None,
            )
            run.meter.correct(used, Reading())
        return result

    def _ran(self, name: str) -> bool:
        return any(one == name or one.startswith("ask-") for one in self.run.ran)

    async def timed(self, work: Callable[[], Awaitable[T]]) -> T | Stop:
        """`work` within the seconds that are left, and what it used; the stop when they ended first."""
        self.run.ran.clear()
        return await measured(self.run, self._mark, work)

    def ended_by(self, reason: StopReason, detail: str) -> Stop | None:
        """The stop of the whole team, where an agent that stopped for this reason met a cap of all."""
        if reason in _CAPS:
            return Stop(reason, detail)
        return self.full() if reason is StopReason.turns else None

    def full(self) -> Stop | None:
        """The cap that leaves no room for another piece of work."""
        limits, used, name = self.run.limits, self.usage, self.run.agent.name
        for reason, most, has, what in (
            (StopReason.turns, limits.turns, used.turns, "turns"),
            (StopReason.tool_calls, limits.tool_calls, used.tool_calls, "tool calls"),
            (StopReason.tokens, limits.tokens, used.tokens, "tokens"),
            (StopReason.budget, limits.usd, used.usd, "dollars"),
            (StopReason.deadline, limits.seconds, used.seconds, "seconds"),
        ):
            if most is not None and has >= most:
                return Stop(reason, f"{name} has used its {most} {what}.")
        return None

    def left(self) -> list[str]:
        """What is left of the caps, in words, without what a clock would make different each time."""
        limits, used = self.run.limits, self.usage
        words: list[str] = []
        if limits.turns is not None:
            words.append(f"{max(limits.turns - used.turns, 0)} model calls")
        if limits.usd is not None:
            words.append(f"${max(limits.usd - used.usd, Decimal(0)):.2f}")
        return words
