"""OpenAI's chat format, from the server's side: questions read, answers written. It knows nothing of sockets.

The answers are written here, apart from the gateway's own encoder: a mistake there would otherwise answer itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from tidyllm.errors import BadRequest
from tidyllm.models.message import Message, ToolCall, ToolResult
from tidyllm.models.offline.reply import Reply
from tidyllm.models.openai_chat.decode_request import decode_request
from tidyllm.models.request import Request
from tidyllm.models.response import Response, Usage
from tidyllm.testing.model_server.answered import CREATED, words

__all__ = ["error", "events", "models", "read", "whole"]

_FINISH = {"refused": "content_filter", "unknown": "stop", "error": "stop", "paused": "stop"}
_ERRORS = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


def read(body: dict[str, Any]) -> tuple[Request, bool, bool]:
    """The request, whether it wants a stream, and whether the stream is to end with its usage.

    :raises BadRequest: what OpenAI refuses as well: a field of a wrong type; the result of a tool that nobody called,
        or a call without its result, which is what careless pruning of a conversation leaves behind.
    """
    request, stream = decode_request(body)
    _pairs(request.turns)
    options: Any = body.get("stream_options")
    return request, stream, isinstance(options, dict) and options.get("include_usage") is True  # pyright: ignore[reportUnknownMemberType] - any JSON


def _pairs(turns: tuple[Message, ...]) -> None:
    waiting: list[str] = []
    for index, turn in enumerate(turns):
        results = [part.call_id for part in turn.parts if isinstance(part, ToolResult)]
        if waiting and not results:
            break
        for call_id in results:
            if call_id not in waiting:
                raise BadRequest(
                    f"messages[{index}]: a message of role 'tool' must answer a call of the message before; "
                    f"none there has the id {call_id!r}.",
                    field=f"messages[{index}].tool_call_id",
                )
            waiting.remove(call_id)
        if turn.role == "assistant":
            waiting = [part.id for part in turn.parts if isinstance(part, ToolCall)]
    if waiting:
        raise BadRequest(f"the calls {waiting} have no message of role 'tool' after them.", field="messages")


def whole(response: Response) -> dict[str, Any]:
    """The answer in one piece."""
    message: dict[str, Any] = {"role": "assistant", "content": response.text or None, "refusal": None}
    if response.reasoning:
        message["reasoning_content"] = response.reasoning
    if response.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.raw_arguments},
            }
            for call in response.tool_calls
        ]
    elif message["content"] is None:
        message["content"] = ""
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(response)}
    return {
        "id": response.id,
        "object": "chat.completion",
        "created": CREATED,
        "model": response.model,
        "choices": [choice],
        "usage": _usage(response.usage),
        "system_fingerprint": "fp_scripted",
    }


def events(response: Response, *, include_usage: bool) -> Iterator[bytes]:
    """The answer as server-sent events, one for every piece: the role, words, calls, the end, the usage."""
    head: dict[str, Any] = {
        "id": response.id,
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": response.model,
        "system_fingerprint": "fp_scripted",
    }
    if include_usage:
        head["usage"] = None

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        return _event(
            {**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}
        )

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    for word in words(response.reasoning):
        yield chunk({"reasoning_content": word})
    for word in words(response.text):
        yield chunk({"content": word})
    for index, call in enumerate(response.tool_calls):
        half = len(call.raw_arguments) // 2
        named = {"name": call.name, "arguments": call.raw_arguments[:half]}
        yield chunk({"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": named}]})
        rest = {"arguments": call.raw_arguments[half:]}
        yield chunk({"tool_calls": [{"index": index, "function": rest}]})
    yield chunk({}, _finish(response))
    if include_usage:
        yield _event({**head, "choices": [], "usage": _usage(response.usage)})
    yield b"data: [DONE]\n\n"


def error(reply: Reply) -> dict[str, Any]:
    """The body beside a status that is not 200."""
    kind = "server_error" if reply.status >= 500 else _ERRORS.get(reply.status, "invalid_request_error")
    return {"error": {"message": reply.message, "type": kind, "param": None, "code": None}}


def models(names: tuple[str, ...]) -> dict[str, Any]:
    """The answer of `GET /v1/models`."""
    data = [{"id": name, "object": "model", "created": CREATED, "owned_by": "scripted"} for name in names]
    return {"object": "list", "data": data}


def _finish(response: Response) -> str:
    return _FINISH.get(response.finish_reason, response.finish_reason)


def _usage(usage: Usage) -> dict[str, Any] | None:
    if usage.input_tokens is None and usage.output_tokens is None:
        return None
    return {
        "prompt_tokens": usage.input_tokens or 0,
        "completion_tokens": usage.output_tokens or 0,
        "total_tokens": (usage.input_tokens or 0) + (usage.output_tokens or 0),
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens or 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0, "audio_tokens": 0},
    }


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(data) + b"\n\n"
