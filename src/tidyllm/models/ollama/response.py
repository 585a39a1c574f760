"""A whole answer of Ollama's to a `Response`. It knows nothing of requests or streams."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from tidyllm.errors import BadAnswer
from tidyllm.models.checks import count_in, object_in, text_in
from tidyllm.models.ids import new_id
from tidyllm.models.message import Part, Text, Thinking, ToolCall
from tidyllm.models.ollama.errors import error_in
from tidyllm.models.response import FinishReason, Response, Usage

__all__ = ["answer_extra", "decode_call", "decode_response", "decode_usage", "finish_reason"]

_COUNTS = (
    "eval_count", "eval_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "total_duration",
)  # fmt: skip
_FIELDS = frozenset({*_COUNTS, "done", "done_reason", "message", "model"})


def decode_response(body: dict[str, Any]) -> Response:
    """:raises BadAnswer: the body is no whole answer.
    :raises ModelError: the body is an error, though its status was good.
    """
    if (error := error_in(body)) is not None:
        raise error
    message: object = body.get("message")
    if not isinstance(message, dict) or body.get("done") is not True:
        raise BadAnswer(
            "the answer holds no `message`, or is not `done`; expected one object of Ollama's chat."
        )
    content = _parts(cast("dict[str, Any]", message))
    model: object = body.get("model")
    reason = text_in(body, "done_reason") or None
    return Response(
        content=content,
        finish_reason=finish_reason(reason, calls_tools=any(isinstance(part, ToolCall) for part in content)),
        finish_reason_raw=reason,
        usage=decode_usage(body),
        model=model if isinstance(model, str) else "",
        raw=body,
        extra=answer_extra(body),
        format="ollama",
    )


def decode_usage(raw: dict[str, Any]) -> Usage:
    """Usage from an answer, or from the last line of a stream. `prompt_eval_count` counts cached tokens, too."""
    return Usage(
        input_tokens=count_in(raw, "prompt_eval_count"),
        output_tokens=count_in(raw, "eval_count"),
        raw={key: raw[key] for key in _COUNTS if key in raw},
    )


def answer_extra(body: dict[str, Any]) -> dict[str, Any]:
    """What an answer says beside the common: when it was made, log probabilities, where it was computed."""
    return {key: value for key, value in body.items() if key not in _FIELDS and value is not None}


def finish_reason(raw: str | None, *, calls_tools: bool) -> FinishReason:
    """Our word for a `done_reason`. Ollama says "stop" after tool calls, and nothing when it broke off."""
    if raw == "length":
        return "length"
    if calls_tools:
        return "tool_calls"
    return "stop" if raw == "stop" else "unknown"


def decode_call(data: object) -> ToolCall:
    """A tool call. Versions before 0.12.10 give no id: it gets one, so that its result can name it.

    :raises BadAnswer: it names no function.
    """
    call = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    given = object_in(call, "function")
    name = text_in(given, "name")
    if not name:
        raise BadAnswer("the answer holds a tool call without a function's name.")
    arguments: object = given.get("arguments")
    raw = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments or {}).decode()
    return ToolCall.parse(text_in(call, "id") or new_id("call_"), name, raw)


def _parts(message: dict[str, Any]) -> tuple[Part, ...]:
    parts: list[Part] = []
    if thinking := text_in(message, "thinking"):
        parts.append(Thinking(text=thinking))
    if content := text_in(message, "content"):
        parts.append(Text(text=content))
    calls: object = message.get("tool_calls")
    if isinstance(calls, list):
        parts += [decode_call(call) for call in cast("list[object]", calls)]
    return tuple(parts)
