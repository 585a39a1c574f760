"""A `Request` to the body of `POST /v1/responses`. It knows nothing of HTTP or answers."""

from __future__ import annotations

from typing import Any

from tidyllm.models.extra import add_extra
from tidyllm.models.format import Encoded
from tidyllm.models.losses import Losses
from tidyllm.models.message import Message, Text
from tidyllm.models.openai_responses.encode_items import encode_message
from tidyllm.models.openai_responses.marks import FORMAT, own_fields
from tidyllm.models.output import json_schema, wants_json
from tidyllm.models.request import NamedTool, ProviderTool, Request, Tool

__all__ = ["encode_request"]

_SAME_NAME = ("temperature", "top_p", "max_output_tokens", "parallel_tool_calls", "user")
_NO_PLACE = ("top_k", "frequency_penalty", "presence_penalty", "seed", "thinking_tokens")
_MERGED = ("text", "reasoning", "metadata")
"""Objects of which our fields are a part: `Request.extra` may hold the rest."""


def encode_request(request: Request, *, stream: bool, lenient: bool = False) -> Encoded:
    """The body of a call.

    :raises Unsupported: a field has no place in this format, unless `lenient`.
    :raises BadRequest: a field holds what cannot be sent, or stands in `extra` as well.
    """
    losses = Losses(FORMAT, lenient=lenient)
    body: dict[str, Any] = {"model": request.model}
    if request.messages or "prompt" not in request.extra:
        body["input"] = _input(
            request.messages if isinstance(request.messages, str) else request.turns, losses
        )
    if request.system is not None:
        body["instructions"] = _instructions(request.system, losses)
    for name in _SAME_NAME:
        if (value := getattr(request, name)) is not None:
            body[name] = value
    if request.metadata:
        body["metadata"] = request.metadata
    if request.tools:
        tools = [_tool(tool, f"tools[{i}]", losses) for i, tool in enumerate(request.tools)]
        body["tools"] = [tool for tool in tools if tool is not None]
    if request.tool_choice is not None:
        choice = request.tool_choice
        body["tool_choice"] = (
            {"type": "function", "name": choice.name} if isinstance(choice, NamedTool) else choice
        )
    if request.effort is not None:
        body["reasoning"] = {"effort": request.effort}
    _output(request, body)
    for name in _NO_PLACE:
        if getattr(request, name) is not None:
            losses.add(name)
    if request.stop:
        losses.add("stop", "the Responses API knows no stop sequences")
    if stream:
        body["stream"] = True
    add_extra(body, own_fields(request.extra, "extra", losses), _MERGED)
    return Encoded(body, tuple(losses.names))


def _input(messages: str | tuple[Message, ...], losses: Losses) -> str | list[dict[str, Any]]:
    if isinstance(messages, str):
        return messages
    items: list[dict[str, Any]] = []
    for i, message in enumerate(messages):
        items += encode_message(message, f"messages[{i}]", losses)
    return items


def _instructions(system: str | tuple[Text, ...], losses: Losses) -> str:
    """The instructions are one text; several are set apart by an empty line."""
    if isinstance(system, str):
        return system
    for i, part in enumerate(system):
        for name in own_fields(part.extra, f"system[{i}]", losses):
            losses.add(f"system[{i}].{name}", "the instructions are one plain text")
    return "\n\n".join(part.text for part in system)


def _tool(tool: Tool | ProviderTool, at: str, losses: Losses) -> dict[str, Any] | None:
    if isinstance(tool, ProviderTool):
        if tool.format == FORMAT:
            return tool.data
        losses.add(at, f"{tool.data.get('type', 'this tool')!r} is a tool of the {tool.format} format")
        return None
    data: dict[str, Any] = {"type": "function", "name": tool.name}
    for name in ("description", "parameters", "strict"):
        if (value := getattr(tool, name)) is not None:
            data[name] = value
    return {**data, **own_fields(tool.extra, at, losses)}


def _output(request: Request, body: dict[str, Any]) -> None:
    if request.output is None:
        return
    if wants_json(request.output):
        body["text"] = {"format": {"type": "json_object"}}
        return
    wanted = json_schema(request.output)
    assert wanted is not None  # only None and "json" have none
    format_: dict[str, Any] = {"type": "json_schema", "name": wanted.name, "schema": wanted.schema}
    for name in ("description", "strict"):
        if (value := getattr(wanted, name)) is not None:
            format_[name] = value
    body["text"] = {"format": {**format_, **wanted.extra}}
