"""Anthropic's errors to ours and back. It knows nothing of requests or answers.

{"type": "error", "error": {"type": "overloaded_error", "message": "..."}, "request_id": "req_..."}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tidyllm.errors import (
    AuthError,
    ContentRefused,
    ContextTooLong,
    ModelError,
    ModelNotFound,
    Overloaded,
    TidyllmError,
)
from tidyllm.models.checks import is_object, object_in, text_in
from tidyllm.models.provider_errors import by_status, json_body, sentence, shown
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
"""The status that belongs to an error type, for errors inside of a stream or an answer, which have none."""

_TYPE = {status: kind for kind, status in _STATUS.items()}

_TOO_LONG = re.compile(
    r"prompt is too long|exceeds? (?:the )?context|context (?:length|limit|window)|too many tokens",
    re.IGNORECASE,
)
_FILTERED = re.compile(r"content filtering|content policy|usage polic", re.IGNORECASE)
_UNPAID = re.compile(r"credit balance|billing|spend(?:ing)? limit|usage limit", re.IGNORECASE)
_FIELD = re.compile(r"([a-z_]\w*(?:\.\w+)*): ")


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
    """The most specific error for an answer with a status other than 2xx."""
    data = json_body(body)
    return _error(status, headers, data if is_object(data) else {"error": {"message": shown(body)}})


def is_error(data: dict[str, Any]) -> bool:
    """Whether this body or event is an error, whatever the status said."""
    return data.get("type") == "error" or ("error" in data and "content" not in data)


def stream_error(data: dict[str, Any]) -> ModelError:
    """The error in an event of a stream, or in a body that came with status 200. Its `status` is None."""
    return _error(None, {}, data)


def encode_error(error: TidyllmError) -> tuple[int, dict[str, Any]]:
    """HTTP status and body of an error for a caller who speaks this format."""
    return http_status(error), error_body(error)


def error_body(error: TidyllmError) -> dict[str, Any]:
    """The body of an error; in a stream it is the event."""
    status = http_status(error)
    kind = _TYPE.get(status, "api_error" if status >= 500 else "invalid_request_error")
    busy = isinstance(error, Overloaded) and (status == 429 or error.status == 503)
    if busy or status == 503:  # what is broken is no overload: clients wait longer for that
        kind = "overloaded_error"
    request_id = error.request_id if isinstance(error, ModelError) else None
    return {"type": "error", "error": {"type": kind, "message": str(error)}, "request_id": request_id}


def _error(status: int | None, headers: Mapping[str, str], data: dict[str, Any]) -> ModelError:
    error: object = data.get("error", data)
    details: dict[str, Any] = error if is_object(error) else {"message": error}
    words, kind = text_in(details, "message"), text_in(details, "type") or None
    where: dict[str, Any] = {
        "status": status,
        "code": text_in(object_in(details, "details"), "error_code") or kind,
        "request_id": headers.get("request-id") or text_in(data, "request_id") or None,
        "provider_message": words or None,
        "retry_after": retry_after(headers),
    }
    meant = _STATUS.get(kind or "", 500) if status is None else status
    return _of_status(meant, sentence(status, kind, words), words, where)


def _of_status(status: int, message: str, words: str, where: dict[str, Any]) -> ModelError:
    unpaid = _UNPAID.search(words)
    if status in {401, 402, 403} or (status == 400 and unpaid):
        hint = "Check the plan and the balance of this account." if status == 402 or unpaid else None
        return AuthError(message, hint=hint, **where)
    if status in {400, 413, 422} and _TOO_LONG.search(words):
        return ContextTooLong(message, **where)
    if status == 400 and _FILTERED.search(words):
        return ContentRefused(message, **where)
    if status == 404 and "model" in words.lower():
        return ModelNotFound(message, field="model", **where)
    return by_status(status, message, field=_field(words), **where)


def _field(words: str) -> str | None:
    """`messages.0.content: ...` names the field `messages[0].content`."""
    match = _FIELD.match(words)
    return re.sub(r"\.(\d+)", r"[\1]", match[1]) if match else None
