"""A `Request` to the body of `POST /v1/messages`. It knows nothing of HTTP or answers."""

from __future__ import annotations

from typing import Any, Final

from tidyllm.models.anthropic.encode_messages import encode_messages, encode_system
from tidyllm.models.anthropic.fields import FORMAT
from tidyllm.models.extra import add_extra
from tidyllm.models.format import Encoded
from tidyllm.models.losses import Losses
from tidyllm.models.output import json_schema
from tidyllm.models.request import Effort, NamedTool, ProviderTool, Request, Tool

__all__ = ["DEFAULT_MAX_TOKENS", "encode_request"]

DEFAULT_MAX_TOKENS: Final = 4096
"""Tokens of the answer when nobody says how many: every model that Anthropic serves takes this many, and long
answers end visibly with finish reason `length`. Tokens for reasoning come on top."""

_EFFORT: dict[Effort, str] = {
    "minimal": "low",  # the lowest that there is
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}

_MERGED = ("metadata", "output_config")
"""Objects which `Request.extra` may add fields to."""


def encode_request(request: Request, *, stream: bool, lenient: bool = False) -> Encoded:
    """The body of a call.

    :raises Unsupported: a field has no place in this format, unless `lenient`.
    :raises BadRequest: a field holds what cannot be sent, or stands in `extra` as well.
    """
    losses = Losses(FORMAT, lenient=lenient)
    system, leading = encode_system(request, losses)
    body: dict[str, Any] = {
        "model": request.model,
        "messages": encode_messages(request.turns, leading, losses),
        "stream": stream,
    }
    if "max_tokens" not in request.extra or request.max_output_tokens is not None:
        body["max_tokens"] = _max_tokens(request)
    if system is not None:
        body["system"] = system
    if request.tools:
        body["tools"] = [_tool(tool, f"tools[{index}]", losses) for index, tool in enumerate(request.tools)]
        body["tools"] = [tool for tool in body["tools"] if tool is not None]
    _tool_choice(request, body)
    _sampling(request, body, losses)
    _reasoning(request, body)
    _output(request, body, losses)
    if request.user is not None:
        body["metadata"] = {"user_id": request.user}
    if request.metadata:
        losses.add("metadata", "Anthropic stores nothing but the user's id")
    add_extra(body, request.extra, _MERGED)
    return Encoded(body, tuple(losses.names))


def _max_tokens(request: Request) -> int:
    if request.max_output_tokens is not None:
        return request.max_output_tokens
    return DEFAULT_MAX_TOKENS + (request.thinking_tokens or 0)


def _tool(tool: Tool | ProviderTool, where: str, losses: Losses) -> dict[str, Any] | None:
    if isinstance(tool, ProviderTool):
        if tool.format == "anthropic":
            return tool.data
        losses.add(where, f"{tool.data.get('type', 'this tool')!r} is a tool of the {tool.format} format")
        return None
    schema: dict[str, Any] = {"properties": {}} if tool.parameters is None else tool.parameters
    if "type" not in schema:
        schema = {"type": "object", **schema}
    data: dict[str, Any] = {"name": tool.name, "input_schema": schema}
    if tool.description is not None:
        data["description"] = tool.description
    if tool.strict is not None:
        data["strict"] = tool.strict
    return {**data, **tool.extra}


def _tool_choice(request: Request, body: dict[str, Any]) -> None:
    choice = request.tool_choice
    parallel = request.parallel_tool_calls
    data: dict[str, Any]
    if isinstance(choice, NamedTool):
        data = {"type": "tool", "name": choice.name}
    elif choice is not None:
        data = {"type": "any" if choice == "required" else choice}
    elif parallel is False and request.tools and "tool_choice" not in request.extra:
        data = {"type": "auto"}
    else:
        return  # parallel calls are the default, and without tools there are none to forbid
    if parallel is not None and choice != "none":
        data["disable_parallel_tool_use"] = not parallel
    body["tool_choice"] = data


def _sampling(request: Request, body: dict[str, Any], losses: Losses) -> None:
    for field in ("temperature", "top_p", "top_k"):
        if (value := getattr(request, field)) is not None:
            body[field] = value
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    for field in ("frequency_penalty", "presence_penalty", "seed"):
        if getattr(request, field) is not None:
            losses.add(field)


def _reasoning(request: Request, body: dict[str, Any]) -> None:
    budget = request.thinking_tokens
    if budget:
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
    elif budget == 0 or request.effort == "none":
        body["thinking"] = {"type": "disabled"}
    if request.effort is not None and request.effort != "none":
        body["output_config"] = {"effort": _EFFORT[request.effort]}


def _output(request: Request, body: dict[str, Any], losses: Losses) -> None:
    if request.output == "json":
        losses.add("output", "Anthropic has structured output by a schema only, not for any JSON object")
        return
    wanted = json_schema(request.output)
    if wanted is None:
        return
    schema = wanted.schema
    if wanted.description is not None and "description" not in schema:
        schema = {**schema, "description": wanted.description}
    format_ = {"type": "json_schema", "schema": schema, **wanted.extra}
    body.setdefault("output_config", {})["format"] = format_
