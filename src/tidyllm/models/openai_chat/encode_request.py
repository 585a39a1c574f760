"""A `Request` to the body of `POST /v1/chat/completions`. It knows nothing of HTTP or answers."""

from __future__ import annotations

from typing import Any

from tidyllm.models.checks import is_object
from tidyllm.models.extra import add_extra
from tidyllm.models.format import Encoded
from tidyllm.models.losses import Losses
from tidyllm.models.openai_chat.encode_messages import encode_messages
from tidyllm.models.openai_chat.limits import output_limit_name
from tidyllm.models.openai_chat.marks import FORMAT, mark_of, own_fields, with_nulls
from tidyllm.models.output import json_schema, wants_json
from tidyllm.models.request import NamedTool, ProviderTool, Request, Tool

__all__ = ["encode_request"]

_SAME_NAME = (
    "temperature",
    "top_p",
    "top_k",
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "parallel_tool_calls",
    "user",
)
_MERGED = ("metadata",)
"""Objects which `Request.extra` may add fields to."""


def encode_request(request: Request, *, stream: bool, lenient: bool = False) -> Encoded:
    """The body of a call. A stream always asks for its usage at the end.

    :raises Unsupported: a field has no place in this format, unless `lenient`.
    :raises BadRequest: a field holds what cannot be sent, or stands in `extra` as well.
    """
    losses = Losses(FORMAT, lenient=lenient)
    mark = mark_of(request.extra)
    body: dict[str, Any] = {
        "model": request.model,
        "messages": encode_messages(request.system, request.turns, losses),
        "stream": stream,
    }
    for name in _SAME_NAME:
        if (value := getattr(request, name)) is not None:
            body[name] = value
    if request.max_output_tokens is not None:
        body[mark.get("limit") or output_limit_name(request.model)] = request.max_output_tokens
    if request.stop:
        only = request.stop[0] if mark.get("stop") == "string" and len(request.stop) == 1 else None
        body["stop"] = list(request.stop) if only is None else only
    if request.metadata:
        body["metadata"] = request.metadata
    _tools(request, mark, body, losses)
    _output(request, body)
    if request.effort is not None:
        body["reasoning_effort"] = request.effort
    if request.thinking_tokens:
        losses.add("thinking_tokens", "here reasoning is asked for by effort")
    elif request.thinking_tokens == 0:
        losses.note("thinking_tokens")  # off: there is no field for it, and most models do not reason unasked
    _add_extra(body, request.extra, losses, stream=stream)
    return Encoded(body, tuple(losses.names))


def _tools(request: Request, mark: dict[str, Any], body: dict[str, Any], losses: Losses) -> None:
    if request.tools:
        tools = [_tool(tool, f"tools[{i}]", losses) for i, tool in enumerate(request.tools)]
        body["tools"] = [tool for tool in tools if tool is not None]
    choice = request.tool_choice
    if isinstance(choice, NamedTool):
        body["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
    elif choice is not None:
        body["tool_choice"] = (
            mark["tool_choice"] if choice == "required" and "tool_choice" in mark else choice
        )


def _tool(tool: Tool | ProviderTool, at: str, losses: Losses) -> dict[str, Any] | None:
    if isinstance(tool, ProviderTool):
        if tool.format == FORMAT:
            return tool.data
        losses.add(at, f"{tool.data.get('type', 'this tool')!r} is a tool of the {tool.format} format")
        return None
    mark = mark_of(tool.extra)
    inner: dict[str, Any] = {"name": tool.name}
    for name in ("description", "parameters", "strict"):
        if (value := getattr(tool, name)) is not None:
            inner[name] = value
    data: dict[str, Any] = {"type": "function", "function": {**inner, **mark.get("function", {})}}
    if mark.get("type") == "absent":
        del data["type"]
    return with_nulls({**data, **own_fields(tool.extra)}, mark)


def _output(request: Request, body: dict[str, Any]) -> None:
    if request.output is None:
        return
    if wants_json(request.output):
        body["response_format"] = {"type": "json_object"}
        return
    wanted = json_schema(request.output)
    assert wanted is not None  # only None and "json" have none
    inner: dict[str, Any] = {"name": wanted.name, "schema": wanted.schema}
    for name in ("description", "strict"):
        if (value := getattr(wanted, name)) is not None:
            inner[name] = value
    body["response_format"] = {"type": "json_schema", "json_schema": {**inner, **wanted.extra}}


def _add_extra(body: dict[str, Any], extra: dict[str, Any], losses: Losses, *, stream: bool) -> None:
    own = {key: value for key, value in own_fields(extra).items() if key != "stream_options"}
    answers: object = own.get("n")
    if stream and isinstance(answers, int) and answers > 1:
        losses.add("n", "a stream of ours holds one answer")
        del own["n"]
    add_extra(body, own, _MERGED)
    if stream:
        options: object = extra.get("stream_options")
        body["stream_options"] = {**(options if is_object(options) else {}), "include_usage": True}
