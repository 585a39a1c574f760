"""Questions to a person: told to those who watch, and no clock of an agent runs meanwhile. It decides nothing."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import msgspec

from tidyllm.agents.agent_events import ApprovalAsked, ApprovalGiven
from tidyllm.agents.agent_tool import AgentTool
from tidyllm.agents.call import Call
from tidyllm.core import Asker, Context

if TYPE_CHECKING:
    from tidyllm.agents.run_state import Run
    from tidyllm.agents.toolset import Approve

__all__ = ["Approving"]


class Approving:
    """A function that approves calls, with an event before and after."""

    def __init__(self, run: Run, approve: Approve) -> None:
        self._run = run
        self._approve = approve

    async def __call__(self, call: Call, tool: AgentTool) -> bool:
        question = f"May {call.name} be called with {msgspec.json.encode(call.arguments).decode()}?"
        self._run.tell(ApprovalAsked, question=question)
        with self._run.patience.waiting():
            said = self._approve(call, tool)
            allowed = bool(await said) if inspect.isawaitable(said) else bool(said)
        self._run.tell(ApprovalGiven, question=question, answer="yes" if allowed else "no")
        return allowed

    @staticmethod
    def telling(run: Run, ctx: Context) -> Context:
        """`ctx` with an event before and after each question to whoever stands behind the run."""
        asker = ctx.scope.asker
        if asker is None:
            return ctx
        if isinstance(asker, _Telling):  # of an agent above, whose listeners are ours too
            asker = asker.asker
        return ctx.with_(asker=_Telling(run, asker))


class _Telling:
    def __init__(self, run: Run, asker: Asker) -> None:
        self._run = run
        self.asker = asker

    async def __call__(self, question: str, ctx: Context, /) -> str:
        self._run.tell(ApprovalAsked, question=question)
        with self._run.patience.waiting():
            answer = await self.asker(question, ctx)
        self._run.tell(ApprovalGiven, question=question, answer=answer)
        return answer
