"""An agent: a step from a task to a result, by a model that calls tools in a loop. It always ends.

It knows models, tools and caps as they are given to it; nothing of workspaces, phases or durable runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from collections.abc import Sequence as Pieces
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, cast, overload

import msgspec

from tidyllm.agents.agent_as_tool import AgentAsTool
from tidyllm.agents.agent_events import AgentEvent, Observer, Stopped
from tidyllm.agents.agent_tool import AgentTool
from tidyllm.agents.approval import Approving
from tidyllm.agents.facts import facts_of
from tidyllm.agents.limits import AgentLimits
from tidyllm.agents.listeners import Listeners, Pipe
from tidyllm.agents.loop import loop
from tidyllm.agents.output import FinalAnswer, OutputWay
from tidyllm.agents.result import AgentResult, AgentTask
from tidyllm.agents.run_state import Run, ambient
from tidyllm.agents.sizes import message_tokens, text_tokens
from tidyllm.agents.stop import StopReason
from tidyllm.agents.toolset import Approve, Toolset
from tidyllm.agents.tree_budget import tree_budget
from tidyllm.core import Context, Step, as_step
from tidyllm.errors import StepError
from tidyllm.models.message import Message
from tidyllm.models.request import Request
from tidyllm.models.response import Response

__all__ = ["Agent"]

T = TypeVar("T")
AnyModel: TypeAlias = Step[Any, Response] | Callable[..., Any] | str
Tools: TypeAlias = Toolset | Iterable[AgentTool | Toolset | Callable[..., Any]]


class Agent(Step[str | AgentTask, AgentResult[T]], Generic[T]):
    """`await Agent(model, tools, "Answer in one word.")("What is 2 + 2?")` gives an `AgentResult`.

    - `model`: any step from requests to responses: a model, a route, one with retries around it; or a model's name.
    - `tools`: a `Toolset`, or functions and tools.
    - `output`: the type of the final answer. Not text: it is asked for in the way `output_way`: "native" (default where
      the catalogue knows that the model keeps to schemas), "tool" (default elsewhere) or "prompt".
    - `limits`: caps of the agent and all that it calls, other agents included; see `AgentLimits`.
    - `native_tools`: False describes the tools in the instructions, for models without native ones.
    - `approve`: decides on calls of tools with policy "ask", `(call, tool) -> bool`, may be async; default: `ctx.ask`.
    - `observe`: called with each event; see also `stream`.
    - `context_tokens`: the most that a question may be; default: the model's window less its answer, and 128,000 less
      8,192 for a model that the catalogue does not know. Older messages are archived to keep within.
    - `request`: a template for temperature, output cap and the like.

    Every model call is `ctx.call(model, request, name="turn-<n>")`, every tool call `<tool>-<call id>`, and under a
    runtime each turn that goes on ends with a call `meter`. Streaming gives `AgentEvent`s, `Stopped` last.

    A cancellation is raised, after an event `Stopped` with what there is; every other end is a result.
    """

    reports_partial = True

    @overload
    def __init__(
        self: Agent[str],
        model: AnyModel,
        tools: Tools = (),
        instructions: str = "",
        *,
        name: str = "agent",
        limits: AgentLimits | None = None,
        native_tools: bool = True,
        approve: Approve | None = None,
        observe: Observer | None = None,
        context_tokens: int | None = None,
        request: Request | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        model: AnyModel,
        tools: Tools = (),
        instructions: str = "",
        *,
        output: type[T],
        output_way: OutputWay | None = None,
        name: str = "agent",
        limits: AgentLimits | None = None,
        native_tools: bool = True,
        approve: Approve | None = None,
        observe: Observer | None = None,
        context_tokens: int | None = None,
        request: Request | None = None,
    ) -> None: ...
    def __init__(
        self,
        model: AnyModel,
        tools: Tools = (),
        instructions: str = "",
        *,
        output: Any = str,
        output_way: OutputWay | None = None,
        name: str = "agent",
        limits: AgentLimits | None = None,
        native_tools: bool = True,
        approve: Approve | None = None,
        observe: Observer | None = None,
        context_tokens: int | None = None,
        request: Request | None = None,
    ) -> None:
        super().__init__(name)
        self.model: Step[Any, Response] = _model_of(model)
        self.toolset = tools if isinstance(tools, Toolset) else Toolset(tools)
        self.instructions = instructions
        self.output = output
        self.output_type: Any = AgentResult[output]
        self.limits = limits or AgentLimits()
        self.native_tools = native_tools
        self.approve = approve
        self.observe = observe
        template = request or Request(())
        self.facts = facts_of(self.model, context_tokens, template.max_output_tokens)
        self.final: FinalAnswer | None = None
        if output is not str:
            way = output_way or ("native" if self.facts.structured else "tool" if native_tools else "prompt")
            self.final = FinalAnswer(output, way, self.toolset.names)
        extra = self.final.tool if self.final is not None else None
        self.offered: Toolset = self.toolset if extra is None else Toolset([self.toolset, extra])
        self.request: Request = self._request(template)
        self.overhead_tokens: int = self._overhead()

    def _request(self, template: Request) -> Request:
        """All of a request but its messages: the same for each turn, so that providers can cache it."""
        parts = [self.instructions]
        if not self.native_tools:
            parts.append(self.offered.prompt())
        if self.final is not None:
            parts.append(self.final.prompt)
        changes: dict[str, Any] = {}
        system = "\n\n".join(part for part in parts if part)
        if system:
            changes["system"] = system
        if self.native_tools and self.offered:
            changes["tools"] = self.offered.request_tools()
        if self.final is not None and self.final.way == "native":
            changes["output"] = self.final.schema
        return msgspec.structs.replace(template, **changes)

    def _overhead(self) -> int:
        model, request = self.facts.counted_as, self.request
        tokens = 0
        if isinstance(request.system, str):
            tokens += message_tokens(Message("system", request.system), model)
        if request.tools:
            # What stands around tools is recorded up to 1,000 tokens where it is not public.
            listed = msgspec.json.encode(request.tools).decode()
            tokens += text_tokens(listed, model) + 16 * len(request.tools) + 400
        if request.output is not None:
            tokens += text_tokens(msgspec.json.encode(request.output).decode(), model) + 400
        return tokens

    # -- running

    if TYPE_CHECKING:  # the same method: here with the type of its pieces

        def stream(
            self, x: str | AgentTask, ctx: Context | None = None
        ) -> AsyncGenerator[AgentEvent, None]: ...

    async def invoke(self, x: str | AgentTask, ctx: Context) -> AgentResult[T]:
        return await self._run(x, ctx, None)

    async def invoke_stream(self, x: str | AgentTask, ctx: Context) -> AsyncGenerator[AgentEvent, None]:
        """Events; the last one is `Stopped`, with the result."""
        pipe = Pipe()
        task = asyncio.ensure_future(self._run(x, ctx, pipe))
        task.add_done_callback(lambda _: pipe.wake())
        try:
            while (event := await pipe.get(task.done)) is not None:
                yield event
            await task
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # seen: a reader who left does not hear of it

    async def _run(self, x: str | AgentTask, ctx: Context, pipe: Pipe | None) -> AgentResult[T]:
        task = AgentTask(task=x) if isinstance(x, str) else x
        limits = self.limits if task.limits is None else task.limits.within(self.limits)
        listeners = Listeners(self.observe, None if pipe is None else pipe.put)
        messages = (*task.messages, Message.user(task.task))
        above = ambient.get()
        if above is not None:
            above.ran.add(ctx.segment)
        run = Run(self, ctx, limits, messages, listeners, streaming=pipe is not None)
        if limits.usd is not None:
            run.ctx = ctx.with_(budget=tree_budget(run.meter, ctx.budget))
        run.ctx = Approving.telling(run, run.ctx)
        token = ambient.set(run)
        try:
            stop = await loop(run, pipe)
        except asyncio.CancelledError:
            if run.heard:
                run.close("(not run: the agent was cancelled)")
                run.tell(Stopped, stop=StopReason.cancelled)
            raise
        finally:
            ambient.reset(token)
        result = run.result(stop)
        if run.heard:
            run.tell(Stopped, stop=stop.reason, detail=stop.detail, result=result)
        return cast("AgentResult[T]", result)

    def approving(self, run: Run) -> Approve | None:
        """Who decides on calls that need a yes."""
        return None if self.approve is None else Approving(run, self.approve)

    def join(self, pieces: Pieces[Any]) -> AgentResult[T]:
        """The result of a stream of events."""
        ends = [piece for piece in pieces if isinstance(piece, Stopped) and piece.result is not None]
        if not ends:
            raise StepError(f"the events of agent {self.name!r} do not hold its end, so there is no result.")
        return cast("AgentResult[T]", ends[-1].result)

    def split(self, answer: AgentResult[T]) -> Pieces[Any]:
        return [Stopped(agent=self.name, stop=answer.stop, detail=answer.detail, result=answer)]

    @property
    def joins_like(self) -> object:
        return (Agent, "events")

    # -- as a part of another agent

    def as_tool(self, description: str, *, name: str | None = None, reads: bool = False) -> AgentTool:
        """A tool that gives this agent a task. Its caps are those of the agent that calls it, and tighter.

        `reads`: it changes nothing, so that several may run at once.
        """
        called = name or self.name

        schema = {
            "type": "object",
            "properties": {
                "task": {"type": "string", "description": "What to do, with all that it must know."}
            },
            "required": ["task"],
            "additionalProperties": False,
        }
        return AgentAsTool(self, called, description, schema, reads=reads)


def _model_of(given: AnyModel) -> Step[Any, Response]:
    if not isinstance(given, str):
        return as_step(given)
    from tidyllm.models.factory import model  # it loads the transport

    return model(given)
