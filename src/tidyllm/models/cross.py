"""A request that came in one format, made fit for a provider of another. It encodes and decodes nothing.

What only the first format understands is either left out, for a reason that stands in the table, or refused by name.
What both understand under other names is renamed. The encoder of the second format then refuses what is left and has
no place there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, Final, cast, get_args

import msgspec

from tidyllm.models.checks import is_count
from tidyllm.models.cross_fields import FIELDS, NESTED
from tidyllm.models.cross_messages import Crossing
from tidyllm.models.cross_reasoning import without_loans
from tidyllm.models.marks import MARKS
from tidyllm.models.request import Effort, JSONSchema, ProviderTool, Request, Tool

__all__ = ["crossing"]

_TOOL_NOTES: Final = frozenset(
    {"cache_control", "defer_loading", "eager_input_streaming", "input_examples", "output_schema", "type"}
)
"""Fields of tools that change nothing for the model that is asked, only when it is shown them, or how well it knows
them."""

_EFFORTS: Final = frozenset(get_args(Effort))
_ASKS_TO_REASON: Final = frozenset({"reasoning.effort", "reasoning.max_tokens", "thinking.budget_tokens"})
"""How formats that copied another one ask for reasoning, in `Request.extra`."""

_NO_USER: Final = frozenset({"bedrock", "ollama"})
"""Formats without a place for an end user's id, and for how many tools may be called at once."""
_BUDGETS: Final = frozenset({"anthropic", "bedrock"})
"""Formats that take a budget for reasoning in tokens; at Bedrock the encoder knows which models do."""

_STRICT_BY_DEFAULT: Final = "openai_responses"
_USER_LENGTH: Final = 64  # what OpenAI takes, in characters

Report = Callable[[str], None]


def crossing(
    request: Request, source: str | None, target: str, *, report: Report | None = None, lenient: bool = False
) -> Request:
    """The request, which came in the format `source`, for an encoder of the format `target`.

    With `source` None the request was made by hand: its `extra` fields are meant for the provider and stay; parts of
    answers of other providers, which it may hold, are treated as below.

    - `Request.extra`: null and empty values, and what the table calls harmless, are left out; fields that the target
      has as well are kept under its name; anything else is refused.
    - Marks and notes (annotations, cache control) on parts, messages and tools are left out.
    - Reasoning is left out unless the provider it goes to has made it: no other can read or check it. That holds also
      with `source` and `target` alike, where nothing else changes.
    - A budget for reasoning in tokens becomes an effort where the target has only that: up to 4,096 low, up to 16,384
      medium, above high.
    - Who asks for reasoning asks the Responses API for its encrypted form, too: it can be sent back where no answer is
      stored.
    - `metadata` and `user` are left out where the target stores nothing; a `user` too long for OpenAI is hashed.
    - Tools get the default of their own format for `strict`, and an empty schema where they have none; files get a
      name: the Responses format would otherwise be strict, and refuse.

    `report` is called with the name of every field that was left out or changed. With `lenient` that are also those
    which choose among words, ask for numbers beside the answer, or for an effort that nobody else knows; what the
    request is about (`previous_response_id`, `container`, more than one answer) is refused all the same.

    :raises Unsupported: `extra` holds a field of the source that is neither harmless nor known to the target.
    """
    if source == target:
        return without_loans(request, report or _unheard)
    walk = _Request(source, target, report or _unheard, lenient=lenient)
    changes: dict[str, Any] = {}
    if source is not None:
        changes["extra"] = walk.top_level(request.extra)
        changes.update(walk.fields(request))
        if target == "openai_responses" and _reasons(request, changes["effort"]):
            changes["extra"]["include"] = ["reasoning.encrypted_content"]
    if not isinstance(request.messages, str):
        changes["messages"] = walk.messages(request.turns)
    if isinstance(request.system, tuple):
        changes["system"] = tuple(walk.part(part, f"system[{i}]") for i, part in enumerate(request.system))
    return msgspec.structs.replace(request, **changes) if changes else request


def _reasons(request: Request, effort: Effort | None) -> bool:
    """Whether the request asks for reasoning: models that cannot reason refuse to be asked for its encrypted form."""
    thinking: object = request.extra.get("thinking")
    kind: object = cast("dict[str, Any]", thinking).get("type") if isinstance(thinking, dict) else None
    return effort not in {None, "none"} or kind in ("adaptive", "auto", "enabled")


def _unheard(name: str) -> None:
    """Nobody wants to know."""


class _Request(Crossing):
    """The fields around the messages."""

    def top_level(self, extra: dict[str, Any]) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for key, value in extra.items():
            if key in MARKS or value is None or value in ([], {}):
                continue
            if isinstance(value, dict) and key in NESTED.get(self.source or "", ()):
                for inner, each in cast("dict[str, Any]", value).items():
                    if each is not None:
                        self._field(f"{key}.{inner}", each, kept)
            else:
                self._field(key, value, kept)
        return kept

    def _field(self, name: str, value: Any, kept: dict[str, Any]) -> None:
        rule = FIELDS.get(self.source or "", {}).get(name)
        if name in _ASKS_TO_REASON:
            return  # read by `_reasoning`
        if rule is None:
            self.refuse(name)
        elif self.target in rule.to:
            outer, dot, inner = rule.to[self.target].partition(".")
            if dot:
                kept.setdefault(outer, {})[inner] = value
            else:
                kept[outer] = value
        elif not rule.harmless(value):
            self.lose(name) if rule.soft(value) else self.refuse(name)
        elif rule.reported and value != rule.default:
            self.report(name)

    def fields(self, request: Request) -> dict[str, Any]:
        """The fields of our own that mean less, or something else, at the target."""
        changes: dict[str, Any] = {}
        changes.update(self._reasoning(request))
        if request.metadata and self.target != "openai_responses":
            changes["metadata"] = {}
            self.report("metadata")
        if request.user is not None:
            if self.target in _NO_USER:
                changes["user"] = None
                self.report("user")
            elif self.target != "anthropic" and len(request.user) > _USER_LENGTH:
                changes["user"] = hashlib.sha256(request.user.encode(errors="replace")).hexdigest()
                self.report("user")
        if request.parallel_tool_calls is not None and self.target in _NO_USER:
            changes["parallel_tool_calls"] = None  # what a model does at a time cannot be told there
            if not request.parallel_tool_calls:
                self.report("parallel_tool_calls")
        if request.tools:
            crossed = [self._tool(tool, f"tools[{i}]") for i, tool in enumerate(request.tools)]
            changes["tools"] = tuple(tool for tool in crossed if tool is not None)
        if isinstance(request.output, JSONSchema) and request.output.extra:
            for name, value in request.output.extra.items():
                if name not in MARKS and value is not None:
                    self.refuse(f"output.{name}")
            changes["output"] = msgspec.structs.replace(request.output, extra={})
        return changes

    def _reasoning(self, request: Request) -> dict[str, Any]:
        """Effort and budget, wherever they stand, as what the target knows."""
        budget, effort = request.thinking_tokens, request.effort
        for outer, inner in (path.split(".") for path in sorted(_ASKS_TO_REASON)):
            holder: object = request.extra.get(outer)
            given: object = cast("dict[str, Any]", holder).get(inner) if isinstance(holder, dict) else None
            if given is None or outer not in NESTED.get(self.source or "", ()):
                continue
            if inner != "effort" and is_count(given):
                budget = budget or given
            elif isinstance(given, str) and given in _EFFORTS:
                effort = effort or cast("Effort", given)
            else:
                self.lose(f"{outer}.{inner}")
        if budget is not None and self.target not in _BUDGETS:
            self.report("thinking_tokens")
            if budget and effort is None:
                effort = "low" if budget <= 4096 else "medium" if budget <= 16384 else "high"
            budget = None
        return {"thinking_tokens": budget, "effort": effort}

    def _tool(self, tool: Tool | ProviderTool, at: str) -> Tool | ProviderTool | None:
        if isinstance(tool, ProviderTool):
            searches = str(tool.data.get("type")).startswith("tool_search")
            if searches and tool.data.get("execution") != "client":
                self.report(at)  # elsewhere the model is shown all tools at once, and searches none
                return None
            return tool
        for name, value in _tool_fields(tool.extra):
            if value in (None, False):
                continue
            if name == "allowed_callers" and value == ["direct"]:
                continue
            if name not in _TOOL_NOTES:
                self.refuse(f"{at}.{name}")
            if name != "type" and not (name == "cache_control" and self.target == "bedrock"):
                self.report(f"{at}.{name}")
        changes: dict[str, Any] = {"extra": {}}
        if self.target == "bedrock" and tool.extra.get("cache_control") is not None:
            changes["extra"] = {"cache_control": tool.extra["cache_control"]}
        if self.target == _STRICT_BY_DEFAULT:
            if tool.strict is None:
                changes["strict"] = False
            if tool.parameters is None:
                changes["parameters"] = {"type": "object", "properties": {}}
        return msgspec.structs.replace(tool, **changes)


def _tool_fields(extra: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The fields of a tool besides ours; the chat format keeps those of its inner object in its mark."""
    for name, value in extra.items():
        if name not in MARKS:
            yield name, value
        elif name == "openai_chat":
            inner: object = cast("dict[str, Any]", value).get("function") if isinstance(value, dict) else None
            if isinstance(inner, dict):
                yield from cast("dict[str, Any]", inner).items()
