"""Runs a project: phases, tasks, agents and the check, until the goal is reached or there is a reason to stop.

It knows settings and how a run is started and heard; the run itself is `project_run`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from tidyllm.agents.agent import AnyModel, Tools
from tidyllm.agents.agent_tool import Policy
from tidyllm.agents.arbiter import Arbiter, Verdict
from tidyllm.agents.coordinator_events import (
    ProjectEvent,
    ProjectObserver,
    ProjectStopped,
)
from tidyllm.agents.crew import Crew
from tidyllm.agents.guards import GuardLimits
from tidyllm.agents.limits import AgentLimits
from tidyllm.agents.listeners import Listeners, Pipe
from tidyllm.agents.mode import Mode
from tidyllm.agents.project import Goal, ProjectResult, ProjectStop
from tidyllm.agents.project_run import ProjectRun
from tidyllm.agents.prompt_builder import PromptBuilder
from tidyllm.agents.state import ProjectState
from tidyllm.agents.toolset import Approve
from tidyllm.agents.tree_run import TreeRun, root_agent
from tidyllm.core import Context, Step
from tidyllm.errors import ConfigError
from tidyllm.models.request import Request
from tidyllm.sandbox import Workspace

__all__ = ["Coordinator"]

DEFAULT_LIMITS = AgentLimits(turns=300, tool_calls=1_500, usd=Decimal(2), seconds=7_200)
DEFAULT_AGENT = AgentLimits(turns=30, tool_calls=None, seconds=None)


class Coordinator(Step[Goal | str, ProjectResult]):
    """`await Coordinator(model, workspace, check=["pytest", "-q"])("Make the tests pass.")` gives a `ProjectResult`.

    - `models`: one for all, or by role: "default", "arbiter", "planning", "coding", "reasoning", "analysis".
    - `mode`: "orchestrated" lets an arbiter decide what comes next, within guards; "traditional" goes through the
      phases in a fixed order, and will be removed.
    - `check`: the command, as words, that passes when the goal is reached. The coordinator runs it itself.
    - `limits`: caps of the whole team; default: 300 turns, 1,500 tool calls, $2, two hours. `agent_limits`: of each
      agent beside them; `guards`: see `GuardLimits`.
    - `arbiter`: who decides; default: an `Arbiter` with the model for it. Any step from text to a `Verdict`.
    - `policies`: of tools, by name ("allow", "ask", "deny"); `approve`: decides on "ask"; default: `ctx.ask`.
    - `tools`: more tools for all agents. `documents`: whether the team documents what it did.
    - `prompts`, `native_tools`, `request`, `context_tokens`, `observe`: as for `Agent`.
    - `state`: that of an earlier run, to go on from.

    Streaming gives `ProjectEvent`s: those of all agents and the coordinator's own; the last is `ProjectStopped`. Every
    end but a cancellation is a result. Each call of a model, tool or check is recorded under a runtime.

    :raises ConfigError: a setting makes no sense.
    """

    reports_partial = True

    def __init__(
        self,
        models: AnyModel | Mapping[str, AnyModel],
        workspace: Workspace,
        *,
        mode: Mode = "orchestrated",
        check: Sequence[str] | None = None,
        limits: AgentLimits | None = None,
        agent_limits: AgentLimits | None = None,
        guards: GuardLimits | None = None,
        arbiter: Step[str, Verdict] | None = None,
        policies: Mapping[str, Policy] | None = None,
        approve: Approve | None = None,
        tools: Tools = (),
        documents: bool = True,
        prompts: PromptBuilder | None = None,
        native_tools: bool = True,
        request: Request | None = None,
        context_tokens: int | None = None,
        observe: ProjectObserver | None = None,
        state: ProjectState | None = None,
        name: str = "coordinator",
    ) -> None:
        super().__init__(name)
        if mode not in ("orchestrated", "traditional"):
            raise ConfigError(f"{mode!r} is no mode; there are: orchestrated, traditional.", where="mode")
        if isinstance(check, str) or (check is not None and not check):
            raise ConfigError("a check is a command as words, such as ['pytest', '-q'].", where="check")
        self.mode: Mode = mode
        self.workspace = workspace
        self.check = None if check is None else tuple(check)
        self.limits = limits or DEFAULT_LIMITS
        self.guards = guards or GuardLimits()
        self.documents = documents
        self.observe = observe
        self.state = state
        self.output_type: Any = ProjectResult
        self._crew = Crew(
            models,
            workspace,
            check=check,
            tools=tools,
            policies=policies or {},
            approve=approve,
            limits=agent_limits or DEFAULT_AGENT,
            native_tools=native_tools,
            prompts=prompts or PromptBuilder.default(),
            request=request,
            context_tokens=context_tokens,
        )
        self.arbiter: Step[str, Verdict] = arbiter or Arbiter(
            self._crew.model("arbiter"), request=request, context_tokens=context_tokens
        )
        self._root = root_agent(name, self.limits)

    # -- running

    if TYPE_CHECKING:  # the same method: here with the type of its pieces

        def stream(self, x: Goal | str, ctx: Context | None = None) -> AsyncGenerator[ProjectEvent, None]: ...

    async def invoke(self, x: Goal | str, ctx: Context) -> ProjectResult:
        return await self._run(x, ctx, None)

    async def invoke_stream(self, x: Goal | str, ctx: Context) -> AsyncGenerator[ProjectEvent, None]:
        """Events; the last one is `ProjectStopped`, with the result."""
        pipe = Pipe()
        task = asyncio.ensure_future(self._run(x, ctx, pipe))
        task.add_done_callback(lambda _: pipe.wake())
        try:
            while (event := await pipe.get(task.done)) is not None:
                yield cast("ProjectEvent", event)
            await task
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
            if not task.cancelled():
                task.exception()

    def join(self, pieces: Sequence[Any]) -> ProjectResult:
        """The result of a stream of events."""
        ends = [one.result for one in pieces if isinstance(one, ProjectStopped) and one.result is not None]
        if len(ends) != 1:
            raise ConfigError(
                f"a stream of {self.name!r} ends with one result, and these pieces have {len(ends)}."
            )
        return ends[0]

    async def _run(self, x: Goal | str, ctx: Context, pipe: Pipe | None) -> ProjectResult:
        goal = Goal(text=x) if isinstance(x, str) else x
        given = goal.state or self.state
        state = ProjectState() if given is None else ProjectState.from_json(given.to_json())
        state.goal, state.mode = goal.text, self.mode
        observe = cast("Any", self.observe)
        tree = TreeRun(self._root, ctx, Listeners(observe, None if pipe is None else cast("Any", pipe.put)))
        run = tree.run
        try:
            async with tree:
                result = await ProjectRun(self, state, tree, self._crew).to_its_end()
        except asyncio.CancelledError:
            run.tell(ProjectStopped, stop=ProjectStop.cancelled)
            raise
        run.tell(ProjectStopped, stop=result.stop, detail=result.detail, result=result)
        return result
