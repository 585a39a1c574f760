"""A `Request` to the body of `POST /api/chat`. It knows nothing of HTTP or answers."""

from __future__ import annotations

from typing import Any, Final, cast

from tidyllm.errors import BadRequest
from tidyllm.models.format import Encoded
from tidyllm.models.ollama.encode_messages import encode_messages
from tidyllm.models.ollama.refusal import Refusal
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


def encode_request(request: Request, *, stream: bool, lenient: bool = False) -> Encoded:
    """The body of a call. `num_ctx` is always set: from `extra["options"]`, else large enough for this prompt.

    :raises Unsupported: a field has no place in this format, unless `lenient`.
    :raises BadRequest: a field holds what cannot be sent, or stands in `extra` as well.
    """
    refuse = Refusal(lenient=lenient)
    options: dict[str, Any] = {
        name: getattr(request, field)
        for field, name in _OPTIONS.items()
        if getattr(request, field) is not None
    }
    if request.stop:
        options["stop"] = list(request.stop)
    body: dict[str, Any] = {
        "model": request.model,
        "messages": encode_messages(request, refuse),
        "stream": stream,
        "options": options,
        "truncate": False,  # an error is better than an answer to half of the question
        "shift": False,
    }
    _tools(request, body, refuse)
    _output(request, body, refuse)
    _reasoning(request, body, refuse)
    for field in ("metadata", "user"):
        if getattr(request, field):
            refuse(field, "Ollama stores nothing about a call")
    _add_extra(body, request.extra)
    if options.get("num_ctx") is None:
        options["num_ctx"] = context_for(body)
    return Encoded(body, tuple(refuse.dropped))


def _tools(request: Request, body: dict[str, Any], refuse: Refusal) -> None:
    choice = request.tool_choice
    if choice == "none":
        return  # a model that is not shown the tools cannot call them
    if choice == "required" or isinstance(choice, NamedTool):
        refuse("tool_choice", "Ollama lets the model decide")
    if request.parallel_tool_calls is False:
        refuse("parallel_tool_calls", "Ollama lets the model decide")
    tools = [_tool(tool, f"tools[{index}]", refuse) for index, tool in enumerate(request.tools)]
    if tools:
        body["tools"] = [tool for tool in tools if tool is not None]


def _tool(tool: Tool | ProviderTool, where: str, refuse: Refusal) -> dict[str, Any] | None:
    if isinstance(tool, ProviderTool):
        refuse(where, f"{tool.data.get('type', 'this tool')!r} is a tool of the {tool.format} format")
        return None
    refuse.fields(tool.extra, where)
    if tool.strict:
        refuse.note(f"{where}.strict")  # the model sees the same schema; nothing forces it into it
    function: dict[str, Any] = {"name": tool.name, "parameters": tool.parameters}
    if tool.parameters is None:
        function["parameters"] = {"type": "object", "properties": {}}
    if tool.description is not None:
        function["description"] = tool.description
    return {"type": "function", "function": function}


def _output(request: Request, body: dict[str, Any], refuse: Refusal) -> None:
    if wants_json(request.output):
        body["format"] = "json"
        return
    wanted = json_schema(request.output)
    if wanted is None:
        return
    refuse.fields(wanted.extra, "output")
    schema = wanted.schema
    if wanted.description is not None and "description" not in schema:
        schema = {**schema, "description": wanted.description}
    body["format"] = schema


def _reasoning(request: Request, body: dict[str, Any], refuse: Refusal) -> None:
    if request.thinking_tokens:
        refuse("thinking_tokens", "Ollama knows levels of effort, not budgets")
    if request.effort is not None:
        body["think"] = _THINK[request.effort]
    elif request.thinking_tokens == 0:
        body["think"] = False


def _add_extra(body: dict[str, Any], extra: dict[str, Any]) -> None:
    for key, value in extra.items():
        if key == "options" and isinstance(value, dict):
            options: dict[str, Any] = body["options"]
            for name, option in cast("dict[str, Any]", value).items():
                if name in options:
                    raise _twice(f"options.{name}")
                options[name] = option
        elif key in body and key not in {"truncate", "shift"}:
            raise _twice(key)
        else:
            body[key] = value


def _twice(path: str) -> BadRequest:
    field = f"extra.{path}"
    return BadRequest(f"{field} says what a field of the request says, too; give it once.", field=field)
