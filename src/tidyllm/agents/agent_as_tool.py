"""An agent as a tool of another one. It knows how a task goes in and words come out, not how an agent works."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tidyllm.agents.agent_tool import AgentTool
from tidyllm.agents.result import AgentResult, AgentTask
from tidyllm.agents.wording import bounded, text_of
from tidyllm.core import Context
from tidyllm.errors import BadToolCall, ToolError

if TYPE_CHECKING:
    from tidyllm.agents.agent import Agent

__all__ = ["AgentAsTool"]


class AgentAsTool(AgentTool):
    """Takes `task`, a text. The loop calls the agent itself, so that a record of the call holds what it used."""

    def __init__(
        self, agent: Agent[Any], name: str, description: str, schema: Mapping[str, Any], *, reads: bool
    ) -> None:
        super().__init__(name, description, schema, self._ask, check=self._task, reads=reads)
        self.agent = agent

    def task_of(self, arguments: Mapping[str, Any]) -> AgentTask:
        """:raises BadToolCall: there is no task in them."""
        self._task(arguments)
        return AgentTask(task=arguments["task"])

    def words_of(self, result: AgentResult[Any]) -> str:
        """The answer for the model that asked.

        :raises ToolError: the agent ended before it was done.
        """
        if result.done:
            return bounded(text_of(result.output), self.max_chars)
        words = f" Its last words: {result.text}" if result.text else ""
        why = f"{result.stop.value}. {result.detail}".rstrip()
        raise ToolError(f"{self.name} stopped before it was done: {why}{words}")

    def _task(self, arguments: Mapping[str, Any]) -> None:
        if not isinstance(arguments.get("task"), str) or len(arguments) > 1:
            raise BadToolCall(f"{self.name} was not called: it takes one argument, `task`, a text.")

    async def _ask(self, arguments: Mapping[str, Any], ctx: Context) -> str:
        return self.words_of(await ctx.call(self.agent, self.task_of(arguments), self.name))
