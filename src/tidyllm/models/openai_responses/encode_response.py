"""A `Response` to the body of an answer for a caller. It knows nothing of HTTP and streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tidyllm import clock
from tidyllm.models.format import NOTHING_ASKED
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
from tidyllm.models.openai_responses.echo import NEUTRAL, repeated
from tidyllm.models.openai_responses.encode_items import same_item
from tidyllm.models.openai_responses.ending import encode_ending
from tidyllm.models.openai_responses.marks import FORMAT, item_fields
from tidyllm.models.openai_responses.usage import encode_usage
from tidyllm.models.response import Response

__all__ = ["answer_object", "encode_response", "failure_object", "has_refusal", "own_fields"]

_EVERYWHERE: Final = frozenset({"service_tier"})
_OWN: Final = frozenset(NEUTRAL) | {
    "billing", "completed_at", "content_filters", "conversation", "created_at", "frequency_penalty",
    "max_tool_calls", "moderation", "presence_penalty", "prompt", "prompt_cache_key",
    "prompt_cache_retention", "safety_identifier", "service_tier", "tool_usage", "top_logprobs",
}  # fmt: skip
"""Fields of `Response.extra` that are written back when the answer came in this format. In
another format the same names may mean something else; only the tier is the same everywhere."""


def encode_response(response: Response, asked: Mapping[str, msgspec.Raw] = NOTHING_ASKED) -> dict[str, Any]:
    """The body of an answer; `asked` are the fields of the caller's request, which it repeats."""
    items = _items(response.content)
    status, details = encode_ending(
        response.finish_reason, response.finish_reason_raw, refusal=has_refusal(response.content)
    )
    if status == "incomplete" and items and "status" in items[-1]:
        items[-1] = {**items[-1], "status": "incomplete"}
    known = own_fields(response.extra, own=response.format == FORMAT)
    body = answer_object(response.id or new_id("resp"), response.model, status, {**repeated(asked), **known})
    body["output"] = items
    body["incomplete_details"] = details
    body["usage"] = encode_usage(response.usage)
    if status == "failed":
        body["error"] = failure_object(response.finish_reason_raw)
    return body


def own_fields(extra: dict[str, Any], *, own: bool) -> dict[str, Any]:
    """Those of the provider's fields that are written back. `own`: they came in this format."""
    known = _OWN if own else _EVERYWHERE
    return {key: value for key, value in extra.items() if key in known}


def answer_object(id: str, model: str, status: str, fields: dict[str, Any]) -> dict[str, Any]:
    """An answer without its output."""
    return {
        "id": id,
        "object": "response",
        "created_at": int(clock.now()),
        "status": status,
        "model": model,
        "output": [],
        "usage": None,
        **fields,
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
