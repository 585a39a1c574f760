"""The one table of tools: what the model is told, what it may call, and what a call runs all come from it.

It knows tools and policies, nothing of models' answers (`parsed.py`) and nothing of the loop around them.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from tidyllm.agents.agent_tool import AgentTool, Policy, tool
from tidyllm.agents.call import Call, ToolResult
from tidyllm.agents.tool_prompt import tool_prompt
from tidyllm.agents.wording import bounded, hide_secrets
from tidyllm.core.context import Context
from tidyllm.errors import (
    BudgetExceeded,
    NobodyToAsk,
    PriceUnknown,
    RunError,
    RunInDoubt,
    TidyllmError,
    TimeoutExceeded,
    ToolDenied,
    ToolError,
    UnknownTool,
)
from tidyllm.models.request import Tool

if TYPE_CHECKING:
    from tidyllm.agents.mcp_client import McpServer
    from tidyllm.agents.mcp_server import ServedToolset

__all__ = ["Approve", "Toolset"]

Approve: TypeAlias = Callable[[Call, AgentTool], "bool | Awaitable[bool]"]
"""Says whether a call of a tool with policy "ask" may run."""

_IN_DOUBT = (
    "{} was under way when its process died, and nobody can say how far it got. Look at what is there now; "
    "do it again only where that does no harm."
)
_YES = frozenset({"y", "yes", "ok", "okay", "true", "1", "allow", "approve", "approved"})
_SLACK = 0.05  # seconds: timers of event loops ring a little early
_SHOWN = 2_000
"""Characters of the arguments that a person is shown when asked: an edit of a page, not a whole file."""


class Toolset:
    """Tools by name, in order. Functions without `@tool` are made tools; tools of other toolsets join.

    - `approve`: decides on calls of tools with policy "ask"; may be async. Default: `ctx.ask`, so whoever stands
      behind the run. Where nobody does, such calls are denied and the model is told so.

    :raises ToolError: two tools have one name.
    """

    def __init__(
        self,
        tools: Iterable[AgentTool | Toolset | Callable[..., Any]] = (),
        *,
        approve: Approve | None = None,
    ) -> None:
        self._tools: dict[str, AgentTool] = {}
        self.approve = approve
        for given in tools:
            for one in given if isinstance(given, Toolset) else (_tool_of(given),):
                if one.name in self._tools:
                    raise ToolError(
                        f"two tools are called {one.name!r}, and a model could not tell them apart.",
                        hint="Rename one: tool.with_(name=...), or give the server's tools a prefix.",
                    )
                self._tools[one.name] = one

    @classmethod
    def of_mcp(cls, server: McpServer, *, prefix: str = "", policy: Policy | None = None) -> Toolset:
        """The tools of a connected MCP server.

        - `prefix`: put before each name, for servers whose names collide.
        - `policy`: for all of them; "ask" where the server is not trusted. Default: "allow".

        :raises ToolError: the server is not connected, or a name cannot be a tool's.
        """
        return cls(server.tools(prefix=prefix, policy=policy))

    # -- the table

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in order: what the model may call."""
        return tuple(self._tools)

    def __getitem__(self, name: str) -> AgentTool:
        """:raises UnknownTool: no tool is called so."""
        found = self._tools.get(name)
        if found is None:
            raise UnknownTool(self.unknown(name))
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    def __iter__(self) -> Iterator[AgentTool]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    def __repr__(self) -> str:
        return f"Toolset({', '.join(self._tools) or 'empty'})"

    def only(self, *names: str) -> Toolset:
        """Those tools alone, in the order given.

        :raises UnknownTool: one of them is not here.
        """
        return Toolset([self[name] for name in names], approve=self.approve)

    def with_policy(self, policy: Policy, *names: str) -> Toolset:
        """The same tools, those named (default: all) under `policy`.

        :raises UnknownTool: one of them is not here.
        """
        chosen = {self[name].name for name in names} or set(self._tools)
        return Toolset(
            [one.with_(policy=policy) if one.name in chosen else one for one in self], approve=self.approve
        )

    def approving(self, approve: Approve | None) -> Toolset:
        """The same tools, with `approve` to decide on those with policy "ask"."""
        return Toolset([self], approve=approve)

    def unknown(self, name: str) -> str:
        """What a model is told that called `name`: the names there are, and one spelt like it as a suggestion only."""
        near = difflib.get_close_matches(name[:128], self._tools, 1)
        meant = f" Did you mean {near[0]!r}? Then call it by that name." if near else ""
        return f"There is no tool {bounded(name, 200)!r}. The tools are: {', '.join(self._tools) or 'none'}.{meant}"

    # -- for models

    def request_tools(self) -> tuple[Tool, ...]:
        """What `Request.tools` carries, for models with native tools. Tools with policy "deny" are not offered."""
        return tuple(one.request_tool for one in self if one.policy != "deny")

    def prompt(self) -> str:
        """The tools and how to call them, as text, for models without native tools; "" when there are none."""
        return tool_prompt([one for one in self if one.policy != "deny"])

    # -- dispatch

    async def call(self, call: Call, ctx: Context, *, approve: Approve | None = None) -> ToolResult:
        """Run one call, as the call `<tool>-<call id>` below `ctx`.

        Whatever keeps the tool from running or goes wrong in it is an answer with `ok=False` for the model. A budget
        with nothing left, the run's deadline, errors of a durable run, and cancellation are not: they are raised. A
        call that was in flight at a crash and is not made again is an answer too, unless its tool says
        `in_doubt="fail"`.
        """
        try:
            chosen = await self._admit(call, ctx, approve or self.approve)
            text = await ctx.call(chosen, call.arguments, name=_segment(call))
        except RunInDoubt:
            if self[call.name].in_doubt == "fail":
                raise
            return ToolResult(call.id, call.name, _IN_DOUBT.format(call.name), ok=False, error="RunInDoubt")
        except (BudgetExceeded, PriceUnknown, RunError):
            raise
        except TimeoutExceeded as error:
            left = ctx.remaining
            if error.clock == "deadline" and left is not None and left < _SLACK:
                raise  # the run's own; a tool may have set itself a shorter one
            return _failed(call, error)
        except TidyllmError as error:
            return _failed(call, error)
        return ToolResult(call.id, call.name, text)

    async def _admit(self, call: Call, ctx: Context, approve: Approve | None) -> AgentTool:
        """:raises ToolError: unknown, denied, or with arguments that do not fit."""
        chosen = self[call.name]
        if chosen.policy == "allow":
            return chosen  # its arguments are checked where they are used
        if chosen.policy == "deny":
            raise ToolDenied(f"{call.name} was not called: it is not allowed here. Go on without it.")
        chosen.check(call.arguments)  # nobody is asked about a call that cannot be made
        if not await _approved(call, chosen, ctx, approve):
            raise ToolDenied(
                f"{call.name} was not called: the user did not allow it. Do not ask for it again."
            )
        return chosen

    def serve_mcp(self, *, name: str = "tidyllm") -> ServedToolset:
        """This toolset as an MCP server: `await it.stdio()`, or `async with it.http(...)`."""
        from tidyllm.agents.mcp_server import ServedToolset

        return ServedToolset(self, name=name)


def _tool_of(given: AgentTool | Callable[..., Any]) -> AgentTool:
    if isinstance(given, AgentTool):
        return given
    if callable(given):
        return tool(given)
    raise ToolError(f"{given!r} (a {type(given).__name__}) is neither a tool nor a function.")


def _segment(call: Call) -> str:
    # A number after # at the end of a name is the path's own.
    return f"{call.name}-{call.id}".replace("#", "-") if call.id else call.name


async def _approved(call: Call, chosen: AgentTool, ctx: Context, approve: Approve | None) -> bool:
    if approve is not None:
        said = approve(call, chosen)
        return bool(await said) if inspect.isawaitable(said) else bool(said)
    shown = bounded(msgspec.json.encode(call.arguments).decode(), _SHOWN)
    try:
        # At a place of its own: questions of several calls at once are told apart by it.
        said = await ctx.place(f"approve-{_segment(call)}").ask(
            f"May {call.name} be called with {shown}? (yes/no)"
        )
    except NobodyToAsk:
        raise ToolDenied(
            f"{call.name} was not called: it needs a person's permission, and nobody is there to give it. "
            "Go on without it."
        ) from None
    return said.strip().lower() in _YES


def _failed(call: Call, error: TidyllmError) -> ToolResult:
    # A plain ToolError bears the class of what the function raised already.
    kind = type(error)
    said = (
        hide_secrets(str(error))
        if isinstance(error, ToolError)
        else hide_secrets(f"{kind.__name__}: {error}")
    )
    return ToolResult(call.id, call.name, bounded(said, 4_000), ok=False, error=kind.__name__)
