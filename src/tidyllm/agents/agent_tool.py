"""A tool: a typed function that a model may call. It knows its schema, its policy and how to run it, not who asks."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Self, TypeAlias, cast, overload

from tidyllm.agents.schema import Parameters
from tidyllm.agents.wording import MAX_CHARS, bounded, reason_of, text_of
from tidyllm.core.context import Context
from tidyllm.core.signature import is_generator, name_of
from tidyllm.core.step import Step
from tidyllm.core.threads import in_thread
from tidyllm.errors import TidyllmError, ToolError
from tidyllm.models.request import Tool

__all__ = ["AgentTool", "InDoubt", "Policy", "tool"]

Policy: TypeAlias = Literal["allow", "ask", "deny"]
InDoubt: TypeAlias = Literal["rerun", "ask", "fail"]
Perform: TypeAlias = Callable[[Mapping[str, Any], Context], Awaitable[Any]]
Check: TypeAlias = Callable[[Mapping[str, Any]], Any]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")  # what every provider takes


class AgentTool(Step[Mapping[str, Any], str]):
    """A step from arguments to text. Made by `@tool`, by a server of tools, or by hand around any async function.

    - `name`: up to 128 letters, digits, `_`, `-`, `.`; `description`: for the model; `schema`: JSON schema of type
      object for the arguments.
    - `perform`: `async (arguments, ctx) -> answer`; the answer becomes text (JSON where it is no text).
    - `check`: raises `BadToolCall` for arguments that do not fit. Default: none.
    - `policy`: "allow" runs, "ask" asks first, "deny" never runs. It binds a `Toolset`; whoever calls the step itself
      has decided already.
    - `in_doubt`: what a durable run does when it was under way at a crash: "rerun", "ask" a person, or "fail".
    - `reads`: it changes nothing, so that several may run at once and a repeat does no harm.
    - `max_chars`: of the answer; of a longer one beginning and end are kept, with a note of what was cut.

    :raises ToolError: the name cannot be a tool's, or a setting is none of those above.
    """

    def __init__(
        self,
        name: str,
        description: str,
        schema: Mapping[str, Any],
        perform: Perform,
        *,
        check: Check | None = None,
        policy: Policy = "allow",
        in_doubt: InDoubt = "rerun",
        reads: bool = False,
        max_chars: int = MAX_CHARS,
    ) -> None:
        if not _NAME.fullmatch(name):
            raise ToolError(
                f"{name!r} cannot be the name of a tool.",
                hint="Use up to 128 letters, digits, _, - and ., beginning with a letter or _: @tool(name=...).",
            )
        super().__init__(name)
        _among("policy", policy, ("allow", "ask", "deny"), name)
        _among("in_doubt", in_doubt, ("rerun", "ask", "fail"), name)
        if max_chars < 1:
            raise ToolError(f"tool {name!r}: max_chars is {max_chars}, but must be at least 1.")
        self.description = description
        self.schema = dict(schema)
        self.policy: Policy = policy
        self.in_doubt: InDoubt = in_doubt
        self.reads = reads
        self.max_chars = max_chars
        self._perform = perform
        self._check = check

    def check(self, arguments: Mapping[str, Any]) -> None:
        """:raises BadToolCall: the arguments do not fit; the message is for the model."""
        if self._check is not None:
            self._check(arguments)

    def with_(self, *, policy: Policy | None = None, name: str | None = None) -> Self:
        """The same tool under another policy or name."""
        twin = self.named(self.name if name is None else name)
        if name is not None and not _NAME.fullmatch(name):
            raise ToolError(f"{name!r} cannot be the name of a tool.", hint="Use letters, digits, _, - and .")
        if policy is not None:
            _among("policy", policy, ("allow", "ask", "deny"), twin.name)
            twin.policy = policy
        return twin

    @property
    def request_tool(self) -> Tool:
        """What a request carries of it."""
        return Tool(self.name, self.description or None, self.schema)

    async def invoke(self, x: Mapping[str, Any], ctx: Context) -> str:
        """The answer as text.

        :raises BadToolCall: the arguments do not fit.
        :raises ToolError: the function failed; errors of ours pass as they are, and so does cancellation.
        """
        try:
            answer = await self._perform(x, ctx)
        except TidyllmError:
            raise
        except Exception as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # on its way out: what it met there is nobody's answer
            raise ToolError(reason_of(error)) from error
        return bounded(text_of(answer), self.max_chars)


@overload
def tool(function: Callable[..., Any], /) -> AgentTool: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    policy: Policy = "allow",
    in_doubt: InDoubt = "rerun",
    reads: bool = False,
    thread: bool = False,
    max_chars: int = MAX_CHARS,
) -> Callable[[Callable[..., Any]], AgentTool]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    policy: Policy = "allow",
    in_doubt: InDoubt = "rerun",
    reads: bool = False,
    thread: bool = False,
    max_chars: int = MAX_CHARS,
) -> Any:
    """Make a tool of a typed function, plain or async: `@tool`, `@tool(policy="ask")`, or `tool(function)`.

    Name, schema and description come from signature and docstring (Google's, NumPy's or reST's way; or `name: words`
    on lines of their own). A parameter `ctx: Context` gets the context and is hidden from the model. What the
    function returns is given to the model as text, or as JSON where it is no text; what it raises becomes a message.

    - `thread`: run a plain function in a thread, because it blocks.
    - the other settings: see `AgentTool`.

    :raises ToolError: a parameter is untyped, starred or positional-only, or its type has no JSON schema.
    """

    def make(given: Callable[..., Any]) -> AgentTool:
        called = name or name_of(given)
        if is_generator(given) or inspect.isgeneratorfunction(given):
            raise ToolError(
                f"{called!r} cannot be a tool: it is a generator.", hint="Return the answer whole."
            )
        if thread and inspect.iscoroutinefunction(given):
            raise ToolError(f"{called!r} is async and cannot be moved to a thread.", hint="Drop thread=True.")
        takes = Parameters(given, called)
        made = AgentTool(
            called,
            takes.description if description is None else description,
            takes.schema,
            _Performing(given, takes, called, thread=thread),
            check=lambda arguments: takes.values(arguments, called),
            policy=policy,
            in_doubt=in_doubt,
            reads=reads,
            max_chars=max_chars,
        )
        made.__doc__ = given.__doc__
        return made

    return make if function is None else make(function)


class _Performing:
    """A function as `perform`: its arguments are made values of its own types first."""

    def __init__(self, function: Callable[..., Any], takes: Parameters, name: str, *, thread: bool) -> None:
        self.function = function
        self._takes = takes
        self._name = name
        self._thread = thread

    async def __call__(self, arguments: Mapping[str, Any], ctx: Context) -> Any:
        values = self._takes.values(arguments, self._name)
        if self._takes.takes_ctx:
            values["ctx"] = ctx
        if self._thread:
            return await in_thread(self.function, **values)
        answer = self.function(**values)
        return await cast("Awaitable[Any]", answer) if hasattr(answer, "__await__") else answer


def _among(setting: str, value: object, known: tuple[str, ...], name: str) -> None:
    if value not in known:
        raise ToolError(f"tool {name!r}: {setting} is {value!r}, but must be one of: {', '.join(known)}.")
