"""A `Request` to the body of `POST /api/chat`. It knows nothing of HTTP or answers."""

from __future__ import annotations

from typing import Any, Final

from tidyllm.models.extra import add_extra
from tidyllm.models.format import Encoded
from tidyllm.models.losses import Losses
from tidyllm.models.ollama.encode_messages import encode_messages
from tidyllm.models.ollama.fields import FORMAT, no_fields
from tidyllm.models.ollama.window import context_for
from tidyllm.models.output import json_schema, wants_json
from tidyllm.models.request import Effort, NamedTool, ProviderTool, Request, Tool

__all__ = ["encode_request"]

_THINK: Final[dict[Effort, bool | str]] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",  # the highest that all versions know
    "max": "max",
}

_OPTIONS: Final = {
    "max_output_tokens": "num_predict",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
}

_OURS = ("truncate", "shift")
"""What the caller may decide otherwise, in `Request.extra`."""


def encode_request(request: Request, *, stream: bool, lenient: bool = False) -> Encoded:
    """The body of a call. `num_ctx` is always set: from `extra["options"]`, else large enough for this prompt.

    :raises Unsupported: a field has no place in this format, unless `lenient`.
    :raises BadRequest: a field holds what cannot be sent, or stands in `extra` as well.
    """
    losses = Losses(FORMAT, lenient=lenient)
    options: dict[str, Any] = {
        name: getattr(request, field)
        for field, name in _OPTIONS.items()
        if getattr(request, field) is not None
    }
    if request.stop:
        options["stop"] = list(request.stop)
    body: dict[str, Any] = {
        "model": request.model,
        "messages": encode_messages(request, losses),
        "stream": stream,
        "options": options,
        "truncate": False,  # an error is better than an answer to half of the question
        "shift": False,
    }
    _tools(request, body, losses)
    _output(request, body, losses)
    _reasoning(request, body, losses)
    for field in ("metadata", "user"):
        if getattr(request, field):
            losses.add(field, "Ollama stores nothing about a call")
    body = {key: value for key, value in body.items() if key not in _OURS or key not in request.extra}
    add_extra(body, request.extra, ("options",))
    if body["options"].get("num_ctx") is None:
        body["options"]["num_ctx"] = context_for(body)
    return Encoded(body, tuple(losses.names))


def _tools(request: Request, body: dict[str, Any], losses: Losses) -> None:
    choice = request.tool_choice
    if choice == "none":
        return  # a model that is not shown the tools cannot call them
    if choice == "required" or isinstance(choice, NamedTool):
        losses.add("tool_choice", "Ollama lets the model decide")
    if request.parallel_tool_calls is False:
        losses.add("parallel_tool_calls", "Ollama lets the model decide")
    tools = [_tool(tool, f"tools[{index}]", losses) for index, tool in enumerate(request.tools)]
    if tools:
        body["tools"] = [tool for tool in tools if tool is not None]


def _tool(tool: Tool | ProviderTool, where: str, losses: Losses) -> dict[str, Any] | None:
    if isinstance(tool, ProviderTool):
        losses.add(where, f"{tool.data.get('type', 'this tool')!r} is a tool of the {tool.format} format")
        return None
    no_fields(tool.extra, where, losses)
    if tool.strict:
        losses.note(f"{where}.strict")  # the model sees the same schema; nothing forces it into it
    function: dict[str, Any] = {"name": tool.name, "parameters": tool.parameters}
    if tool.parameters is None:
        function["parameters"] = {"type": "object", "properties": {}}
    if tool.description is not None:
        function["description"] = tool.description
    return {"type": "function", "function": function}


def _output(request: Request, body: dict[str, Any], losses: Losses) -> None:
    if wants_json(request.output):
        body["format"] = "json"
        return
    wanted = json_schema(request.output)
    if wanted is None:
        return
    no_fields(wanted.extra, "output", losses)
    schema = wanted.schema
    if wanted.description is not None and "description" not in schema:
        schema = {**schema, "description": wanted.description}
    body["format"] = schema


def _reasoning(request: Request, body: dict[str, Any], losses: Losses) -> None:
    if request.thinking_tokens:
        losses.add("thinking_tokens", "Ollama knows levels of effort, not budgets")
    if request.effort is not None:
        body["think"] = _THINK[request.effort]
    elif request.thinking_tokens == 0:
        body["think"] = False
