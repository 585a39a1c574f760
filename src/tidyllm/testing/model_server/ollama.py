"""Ollama's own format, from the server's side: questions read, answers written. It knows nothing of sockets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import msgspec

from tidyllm.errors import BadRequest
from tidyllm.models.message import Message, Part, Text, Thinking, ToolCall, ToolResult
from tidyllm.models.offline.reply import Reply
from tidyllm.models.request import Request, Tool
from tidyllm.models.response import Response
from tidyllm.testing.model_server.answered import words

__all__ = ["WINDOW", "error", "lines", "read", "show", "tags", "whole"]

WINDOW = 131_072
"""Tokens that `/api/show` says fit into the window of every model here."""

_MADE = "2026-01-01T00:00:00Z"
_DIGEST = "0" * 64
_OPTIONS = {
    "num_predict": "max_output_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
}


class _Function(msgspec.Struct):
    name: str
    arguments: dict[str, Any] = {}
    description: str | None = None
    parameters: dict[str, Any] | None = None


class _Called(msgspec.Struct):
    function: _Function
    id: str = ""


class _Message(msgspec.Struct):
    role: str
    content: str = ""
    thinking: str = ""
    tool_calls: list[_Called] = []
    tool_call_id: str = ""
    images: list[str] = []


class _Body(msgspec.Struct):
    model: str
    messages: list[_Message] = []
    tools: list[_Called] = []
    stream: bool = True
    format: Any = None
    options: dict[str, Any] = {}


def read(body: dict[str, Any]) -> tuple[Request, bool, bool]:
    """The request, and whether it wants a stream, which is the default here; the third is whether it wants usage.

    :raises BadRequest: a field is missing or of a wrong type.
    """
    try:
        given = msgspec.convert(body, _Body)
    except msgspec.ValidationError as exc:
        raise BadRequest(f"the body is no question for Ollama: {exc}") from exc
    fields = {
        ours: given.options[name] for name, ours in _OPTIONS.items() if given.options.get(name) is not None
    }
    if fields.get("max_output_tokens", 1) < 1:
        del fields["max_output_tokens"]  # -1 and -2 say: as much as you like
    functions = [each.function for each in given.tools]
    request = Request(
        messages=tuple(_turns(given.messages)),
        model=given.model,
        tools=tuple(Tool(each.name, each.description, each.parameters) for each in functions),
        output=given.format or None,
        **fields,
    )
    return request, given.stream, True


def _turns(messages: list[_Message]) -> Iterator[Message]:
    """Calls without an id get one; results without one answer the calls in their order, as older clients mean it."""
    waiting: list[str] = []
    for number, message in enumerate(messages):
        if message.role == "tool":
            called = message.tool_call_id or (waiting[0] if waiting else "")
            waiting = [each for each in waiting if each != called]
            yield Message("tool", (ToolResult(call_id=called, content=message.content),))
            continue
        parts: list[Part] = []
        if message.thinking:
            parts.append(Thinking(text=message.thinking))
        if message.content:
            parts.append(Text(text=message.content))
        waiting = []
        for place, each in enumerate(message.tool_calls):
            call_id = each.id or f"call_{number}_{place}"
            waiting.append(call_id)
            raw = msgspec.json.encode(each.function.arguments).decode()
            parts.append(ToolCall.parse(call_id, each.function.name, raw))
        role = message.role if message.role in ("system", "user", "assistant") else "user"
        yield Message(cast("Any", role), tuple(parts))


def whole(response: Response) -> dict[str, Any]:
    """The answer in one piece."""
    message: dict[str, Any] = {"role": "assistant", "content": _text(response)}
    if response.reasoning:
        message["thinking"] = response.reasoning
    if calls := _calls(response):
        message["tool_calls"] = calls
    return {"model": response.model, "created_at": _MADE, "message": message, **_end(response)}


def lines(response: Response, *, include_usage: bool) -> Iterator[bytes]:
    """The answer as lines of JSON, one for every piece: words, calls, the end with its counts."""

    def line(**message: Any) -> bytes:
        said = {"role": "assistant", "content": "", **message}
        return _line({"model": response.model, "created_at": _MADE, "message": said, "done": False})

    for word in words(response.reasoning):
        yield line(thinking=word)
    for word in words(_text(response)):
        yield line(content=word)
    for call in _calls(response):
        yield line(tool_calls=[call])
    empty = {"role": "assistant", "content": ""}
    end = _end(response) if include_usage else {"done": True}
    yield _line({"model": response.model, "created_at": _MADE, "message": empty, **end})


def error(reply: Reply) -> dict[str, Any]:
    """The body beside a status that is not 200."""
    return {"error": reply.message}


def tags(names: tuple[str, ...]) -> dict[str, Any]:
    """The answer of `GET /api/tags`."""
    details = {"format": "gguf", "family": "scripted", "parameter_size": "1B", "quantization_level": "Q4_0"}
    return {
        "models": [
            {
                "name": name,
                "model": name,
                "modified_at": _MADE,
                "size": 1,
                "digest": _DIGEST,
                "details": details,
            }
            for name in names
        ]
    }


def show(*, tools: bool) -> dict[str, Any]:
    """The answer of `POST /api/show`."""
    return {
        "details": {"format": "gguf", "family": "scripted"},
        "model_info": {"general.architecture": "scripted", "scripted.context_length": WINDOW},
        "capabilities": ["completion", "tools"] if tools else ["completion"],
    }


def _text(response: Response) -> str:
    """The text; a call whose arguments are no JSON object stays in it, as Ollama leaves what it cannot read."""
    broken = [
        f'<tool_call>\n{{"name": "{call.name}", "arguments": {call.raw_arguments}}}\n</tool_call>'
        for call in response.tool_calls
        if not call.valid
    ]
    return "\n".join([response.text, *broken] if response.text else broken)


def _calls(response: Response) -> list[dict[str, Any]]:
    return [
        {"id": call.id, "function": {"index": place, "name": call.name, "arguments": call.arguments}}
        for place, call in enumerate(response.tool_calls)
        if call.valid
    ]


def _end(response: Response) -> dict[str, Any]:
    usage = response.usage
    end: dict[str, Any] = {
        "done": True,
        "done_reason": "length" if response.finish_reason == "length" else "stop",
    }
    if usage.input_tokens is not None:
        end["prompt_eval_count"] = usage.input_tokens
    if usage.output_tokens is not None:
        end["eval_count"] = usage.output_tokens
    return {**end, "total_duration": 1, "load_duration": 1, "prompt_eval_duration": 1, "eval_duration": 1}


def _line(data: dict[str, Any]) -> bytes:
    return msgspec.json.encode(data) + b"\n"
