"""Anthropic's errors to ours and back. It knows nothing of requests or answers.

{"type": "error", "error": {"type": "overloaded_error", "message": "..."}, "request_id": "req_..."}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from tidyllm.errors import (
    AuthError,
    BadAnswer,
    BadRequest,
    ContentRefused,
    ContextTooLong,
    ModelError,
    ModelNotFound,
    Overloaded,
    RateLimited,
    TidyllmError,
    Unreachable,
)
from tidyllm.models.anthropic.checks import is_object
from tidyllm.models.retry_after import retry_after
from tidyllm.models.status import http_status

__all__ = ["decode_error", "encode_error", "error_body", "is_error", "stream_error"]

_STATUS = {
    "api_error": 500,
    "authentication_error": 401,
    "billing_error": 402,
    "conflict_error": 409,
    "invalid_request_error": 400,
    "not_found_error": 404,
    "overloaded_error": 529,
    "permission_error": 403,
    "rate_limit_error": 429,
    "request_too_large": 413,
    "timeout_error": 504,
}
"""The status that belongs to an error type, for errors without one: in a stream, or with status 200."""

_TYPE = {status: kind for kind, status in _STATUS.items()}

_TOO_LONG = re.compile(
    r"prompt is too long|exceeds? (?:the )?context|context (?:length|limit|window)|too many tokens",
    re.IGNORECASE,
)
_FILTERED = re.compile(r"content filtering|content policy|usage polic", re.IGNORECASE)
_UNPAID = re.compile(r"credit balance|billing|spend(?:ing)? limit|usage limit", re.IGNORECASE)
_FIELD = re.compile(r"([a-z_]\w*(?:\.\w+)*): ")
_SHOWN = 300  # characters of a body that is no JSON: enough to recognise a proxy's page


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
    """The most specific error for an answer with a status other than 2xx."""
    try:
        data: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        data = None
    if is_object(data):
        return _error(status, headers, data)
    shown = " ".join(body[: 4 * _SHOWN].decode(errors="replace").split())[:_SHOWN]
    return _error(status, headers, {"error": {"message": shown}})


def is_error(data: dict[str, Any]) -> bool:
    """Whether this body or event is an error, whatever the status said."""
    return data.get("type") == "error" or ("error" in data and "content" not in data)


def stream_error(data: dict[str, Any]) -> ModelError:
    """The error in an event of a stream, or in a body that came with status 200."""
    error: object = data.get("error")
    kind: object = error.get("type") if is_object(error) else None
    return _error(_STATUS.get(kind, 500) if isinstance(kind, str) else 500, {}, data)


def encode_error(error: TidyllmError) -> tuple[int, dict[str, Any]]:
    """HTTP status and body of an error for a caller who speaks this format."""
    return http_status(error), error_body(error)


def error_body(error: TidyllmError) -> dict[str, Any]:
    """The body of an error; in a stream it is the event."""
    status = http_status(error)
    kind = _TYPE.get(status, "api_error" if status >= 500 else "invalid_request_error")
    if isinstance(error, Overloaded) or status == 503:
        kind = "overloaded_error"
    request_id = error.request_id if isinstance(error, ModelError) else None
    return {"type": "error", "error": {"type": kind, "message": str(error)}, "request_id": request_id}


def _error(status: int, headers: Mapping[str, str], data: dict[str, Any]) -> ModelError:
    error: object = data.get("error", data)
    details: dict[str, Any] = error if is_object(error) else {"message": error}
    words = _text(details.get("message")) or ""
    kind = _text(details.get("type"))
    more: object = details.get("details")
    where: dict[str, Any] = {
        "status": status,
        "code": (_text(more.get("error_code")) if is_object(more) else None) or kind,
        "request_id": headers.get("request-id") or _text(data.get("request_id")),
        "provider_message": words or None,
        "retry_after": retry_after(headers),
    }
    return _of_status(_message(status, kind, words), words, where)


def _of_status(message: str, words: str, where: dict[str, Any]) -> ModelError:
    status: int = where["status"]
    if status in {401, 402, 403} or (status == 400 and _UNPAID.search(words)):
        unpaid = "Check the plan and the balance of this account."
        return AuthError(message, hint=unpaid if status == 402 or _UNPAID.search(words) else None, **where)
    if status == 429:
        return RateLimited(message, **where)
    if status in {400, 413, 422} and _TOO_LONG.search(words):
        return ContextTooLong(message, **where)
    if status == 400 and _FILTERED.search(words):
        return ContentRefused(message, **where)
    if status == 404:
        if "model" in words.lower():
            return ModelNotFound(message, field="model", **where)
        return BadRequest(message, hint="Check base_url: nothing answers at this path.", **where)
    if status == 408:
        return Unreachable(message, hint="The provider waited too long for the request; try again.", **where)
    if 400 <= status < 500:
        return BadRequest(message, field=_field(words), **where)
    if status >= 500:
        return Overloaded(message, **where)
    return BadAnswer(message, hint="Check base_url: a status like this is no answer of a model.", **where)


def _message(status: int, kind: str | None, words: str) -> str:
    named = f"HTTP {status} ({kind})" if kind else f"HTTP {status}"
    if not words:
        return f"the provider answered {named} without a word."
    return f"the provider answered {named}: {words}" + ("" if words.endswith((".", "!", "?")) else ".")


def _field(words: str) -> str | None:
    """`messages.0.content: ...` names the field `messages[0].content`."""
    match = _FIELD.match(words)
    return re.sub(r"\.(\d+)", r"[\1]", match[1]) if match else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
