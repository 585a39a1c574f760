"""A `Response` to the body of an answer for a caller. It knows nothing of HTTP and streams."""

from __future__ import annotations

from typing import Any, Final

from tidyllm import clock
from tidyllm.models.message import Opaque, Part, Thinking, ToolCall
from tidyllm.models.openai_responses.answer_items import (
    call_item,
    in_message,
    message_item,
    new_id,
    other_item,
    output_part,
    reasoning_item,
)
from tidyllm.models.openai_responses.encode_items import same_item
from tidyllm.models.openai_responses.ending import encode_ending
from tidyllm.models.openai_responses.marks import FORMAT, item_fields
from tidyllm.models.openai_responses.usage import encode_usage
from tidyllm.models.response import Response

__all__ = ["answer_object", "encode_response", "failure_object", "has_refusal"]

_NEUTRAL: Final[dict[str, Any]] = {
    "background": False,
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": False,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
"""The fields that clients find in every answer; most repeat the request, which is not known here."""

_EVERYWHERE: Final = frozenset({"service_tier"})
_OWN: Final = frozenset(_NEUTRAL) | {
    "billing", "completed_at", "content_filters", "conversation", "created_at", "frequency_penalty",
    "max_tool_calls", "moderation", "presence_penalty", "prompt", "prompt_cache_key",
    "prompt_cache_retention", "safety_identifier", "service_tier", "tool_usage", "top_logprobs",
}  # fmt: skip
"""Fields of `Response.extra` that are written back when the answer came in this format. In
another format the same names may mean something else; only the tier is the same everywhere."""


def encode_response(response: Response) -> dict[str, Any]:
    """The body of an answer."""
    items = _items(response.content)
    status, details = encode_ending(
        response.finish_reason, response.finish_reason_raw, refusal=has_refusal(response.content)
    )
    if status == "incomplete" and items and "status" in items[-1]:
        items[-1] = {**items[-1], "status": "incomplete"}
    body = answer_object(
        response.id or new_id("resp"), response.model, status, response.extra, own=response.format == FORMAT
    )
    body["output"] = items
    body["incomplete_details"] = details
    body["usage"] = encode_usage(response.usage)
    if status == "failed":
        body["error"] = failure_object(response.finish_reason_raw)
    return body


def answer_object(id: str, model: str, status: str, extra: dict[str, Any], *, own: bool) -> dict[str, Any]:
    """An answer without its output. `own`: `extra` came in this format."""
    known = _OWN if own else _EVERYWHERE
    kept = {key: value for key, value in extra.items() if key in known} if extra else extra
    return {
        "id": id,
        "object": "response",
        "created_at": int(clock.now()),
        "status": status,
        "model": model,
        "output": [],
        "usage": None,
        **_NEUTRAL,
        **kept,
    }


def failure_object(word: str | None) -> dict[str, Any]:
    """The object `error` of an answer whose provider said that it failed."""
    return {"code": "server_error", "message": f"the provider failed: {word or 'it did not say why'}"}


def has_refusal(parts: tuple[Part, ...]) -> bool:
    """Whether the answer holds a refusal in the model's own words."""
    return any(isinstance(part, Opaque) and part.data.get("type") == "refusal" for part in parts)


def _items(parts: tuple[Part, ...]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    fields: dict[str, Any] | None = None
    content: list[dict[str, Any]] = []
    for part in parts:
        if in_message(part):
            if not same_item(part, fields):
                fields, content = item_fields(part), []
                items.append(message_item(content, {"id": new_id("msg"), **fields}, "completed"))
            content.append(output_part(part))
            continue
        fields = None
        if isinstance(part, ToolCall):
            items.append(call_item(part))
        elif isinstance(part, Thinking):
            items.append(reasoning_item(part))
        elif (item := other_item(part)) is not None:
            items.append(item)
    return items
