"""Agents for one kind of task: coding, reasoning, analysis. Each is an `Agent` with prompt, tools and type of result.

It knows which tools go with which kind; the prompts are `prompt_builder`'s, the tools those of a workspace or given.
"""

from __future__ import annotations

from collections.abc import Sequence as Words
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, TypeVar, Unpack, cast, overload

import msgspec

from tidyllm.agents.agent import Agent, AnyModel, Tools
from tidyllm.agents.agent_events import Observer
from tidyllm.agents.limits import AgentLimits
from tidyllm.agents.output import OutputWay
from tidyllm.agents.prompt_builder import KINDS, PromptBuilder
from tidyllm.agents.toolset import Approve, Toolset
from tidyllm.agents.workspace_toolset import workspace_tools
from tidyllm.errors import ConfigError
from tidyllm.models.request import Request

if TYPE_CHECKING:
    from tidyllm.sandbox import Workspace

__all__ = [
    "Analysis",
    "CodeWork",
    "Finding",
    "Reasoning",
    "Severity",
    "Specialist",
    "SpecialistKind",
    "SpecialistOptions",
]

T = TypeVar("T")
SpecialistKind: TypeAlias = Literal["coding", "reasoning", "analysis"]
Severity: TypeAlias = Literal["blocker", "major", "minor", "note"]


class CodeWork(msgspec.Struct, frozen=True):
    """What a coder says it did. What it changed for certain is in the workspace's journal.

    - `summary`: what was done, and why so. `changed`: paths. `checked`: whether it ran the checks and they passed; None
      when it ran none. `remaining`: what is left to do.
    """

    summary: str
    changed: list[str] = []
    checked: bool | None = None
    remaining: list[str] = []


class Reasoning(msgspec.Struct, frozen=True):
    """An answer to a question: the `conclusion`, the `reasons` for it, `confidence` from 0 to 1 as the model judges
    itself, and questions that are still `open`."""

    conclusion: str
    reasons: list[str] = []
    confidence: float | None = None
    open: list[str] = []


class Finding(msgspec.Struct, frozen=True):
    """One thing that is the matter: `place` (path:line), what, how bad, and what to do about it."""

    place: str
    what: str
    severity: Severity = "minor"
    advice: str = ""


class Analysis(msgspec.Struct, frozen=True):
    """What was found, and `looked_at`: paths, so that others know what was not."""

    summary: str
    findings: list[Finding] = []
    looked_at: list[str] = []


RESULTS: dict[str, type[Any]] = {"coding": CodeWork, "reasoning": Reasoning, "analysis": Analysis}
"""The type of result of each kind."""

_LOOKING = ("list_files", "read_file", "search")
_MOST_PROMPT = 4
"""The instructions are at most this part of what a question may be, so that the task has room."""


class SpecialistOptions(TypedDict, total=False):
    """What a `Specialist` takes beside kind and model; see there."""

    workspace: Workspace | None
    tools: Tools
    check: Words[str] | None
    phase: str | None
    complexity: str | None
    instructions: str
    prompts: PromptBuilder | None
    name: str | None
    limits: AgentLimits | None
    native_tools: bool
    approve: Approve | None
    observe: Observer | None
    context_tokens: int | None
    request: Request | None
    output_way: OutputWay | None


class Specialist(Agent[T]):
    """`Specialist("coding", model, workspace=ws)` is an agent whose result is a `CodeWork`.

    - `kind`: "coding" (all tools of the workspace; `CodeWork`), "reasoning" (those that only look; `Reasoning`),
      "analysis" (those that look, and `run_tests`; `Analysis`).
    - `workspace`: where its tools work; `check`: the command of `run_tests`. `tools`: more tools, or all there are.
    - `phase`, `complexity`: for the prompt, see `PromptBuilder`; `instructions`: after it.
    - the rest as for `Agent`.

    :raises ConfigError: `kind` is none of those.
    """

    @overload
    def __init__(
        self: Specialist[CodeWork],
        kind: Literal["coding"],
        model: AnyModel,
        **options: Unpack[SpecialistOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: Specialist[Reasoning],
        kind: Literal["reasoning"],
        model: AnyModel,
        **options: Unpack[SpecialistOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: Specialist[Analysis],
        kind: Literal["analysis"],
        model: AnyModel,
        **options: Unpack[SpecialistOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: Specialist[Any], kind: str, model: AnyModel, **options: Unpack[SpecialistOptions]
    ) -> None: ...
    def __init__(self, kind: str, model: AnyModel, **options: Unpack[SpecialistOptions]) -> None:
        if kind not in KINDS:
            raise ConfigError(f"{kind!r} is no kind of specialist; there are: {', '.join(KINDS)}.")
        self.kind = kind
        more = dict(options)
        workspace, check = options.get("workspace"), options.get("check")
        given = [] if workspace is None else [_tools(kind, workspace, check)]
        tokens = options.get("context_tokens")
        prompt = (options.get("prompts") or PromptBuilder.default()).build(
            options.get("phase"),
            kind,
            options.get("complexity"),
            budget_tokens=None if tokens is None else tokens // _MOST_PROMPT,
        )
        words = (prompt.text, options.get("instructions", ""))
        for mine in ("workspace", "check", "tools", "phase", "complexity", "instructions", "prompts"):
            more.pop(mine, None)
        more["name"] = options.get("name") or kind
        super().__init__(
            model,
            Toolset([*given, *options.get("tools", ())]),
            "\n\n".join(part for part in words if part),
            output=RESULTS[kind],
            **cast("Any", more),
        )


def _tools(kind: str, workspace: Workspace, check: Words[str] | None) -> Toolset:
    every = workspace_tools(workspace, check=check)
    if kind == "coding":
        return every
    return every.only(*_LOOKING) if kind == "reasoning" else every.only(*_LOOKING, "run_tests")
