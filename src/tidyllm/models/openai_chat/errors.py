"""The provider's errors to ours, and ours to a caller who speaks this format. It knows nothing of answers.

    {"error": {"message": "...", "type": "invalid_request_error", "param": "messages[0].role", "code": "..."}}

Servers that copied the format also send the inner object alone, a string in its place, a list around it, or a
`detail` that names fields by path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from tidyllm.errors import (
    AuthError,
    BadRequest,
    ContentRefused,
    ContextTooLong,
    ModelError,
    ModelNotFound,
    Overloaded,
    TidyllmError,
)
from tidyllm.models.checks import is_object, text_in
from tidyllm.models.provider_errors import by_status, json_body, sentence, shown
from tidyllm.models.retry_after import retry_after
from tidyllm.models.status import http_status

__all__ = ["answer_error", "decode_error", "encode_error", "error_body"]

_STATUS = {
    "api_error": 500,
    "authentication_error": 401,
    "context_length_exceeded": 400,
    "engine_overloaded_error": 529,
    "insufficient_quota": 429,
    "internal_error": 500,
    "internal_server_error": 500,
    "invalid_api_key": 401,
    "invalid_request_error": 400,
    "model_not_found": 404,
    "not_found_error": 404,
    "overloaded_error": 529,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "server_error": 500,
    "service_unavailable": 503,
    "tokens": 429,
}
"""The status that belongs to a type or code, for errors inside of a stream or an answer, which have none."""

_TOO_LONG = re.compile(
    r"(?:maximum|max) (?:context|model|sequence) len|context (?:length|limit|window|size)|prompt is too long"
    r"|(?:input|prompt)[^.]{0,40} (?:too long|exceeds?)|too many (?:input |prompt )?tokens"
    r"|reduce the length of the (?:messages|prompt|input)|longer than the (?:model|context)",
    re.IGNORECASE,
)
_TOO_LONG_CODES = frozenset(
    {"context_length_exceeded", "context_window_exceeded", "exceed_context_size_error"}
)
_FILTERED = frozenset(
    {"content_filter", "content_policy_violation", "data_inspection_failed", "moderation_blocked"}
)
_UNPAID = frozenset(
    {"billing_hard_limit_reached", "billing_not_active", "insufficient_quota", "insufficient_balance"}
)
_NO_MODEL = re.compile(
    r"model\b.{0,120}\b(?:does not exist|not found|is unknown|is not available)"
    r"|(?:invalid|no such|unknown|unsupported|not a valid) model",
    re.IGNORECASE | re.DOTALL,
)


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
    """The most specific error for an answer with a status other than 2xx."""
    data = json_body(body)
    if isinstance(data, list):  # Gemini
        data = next(iter(cast("list[object]", data)), None)
    return _error(status, headers, data if is_object(data) else {"message": shown(body)})


def answer_error(data: dict[str, Any]) -> ModelError:
    """The error in an event of a stream, or in a body that came with status 200; `data["error"]` says which.

    Its `status` is None.
    """
    return _error(None, {}, data)


def encode_error(error: TidyllmError) -> tuple[int, dict[str, Any]]:
    """HTTP status and body of an error for a caller who speaks this format."""
    return http_status(error), error_body(error)


def error_body(error: TidyllmError) -> dict[str, Any]:
    """The body of an error; in a stream it is the event."""
    status = http_status(error)
    kind, code = "server_error" if status >= 500 else "invalid_request_error", None
    if isinstance(error, ContextTooLong):
        code = "context_length_exceeded"
    elif isinstance(error, ContentRefused):
        code = "content_filter"
    elif status == 401:
        code = "invalid_api_key"
    elif status == 404:
        code = "model_not_found"
    elif status == 429:
        kind, code = "rate_limit_error", "rate_limit_exceeded"
    elif isinstance(error, ModelError):
        code = error.code
    param = error.field if isinstance(error, BadRequest) else None
    return {"error": {"message": str(error), "type": kind, "param": param, "code": code}}


def _details(data: dict[str, Any]) -> dict[str, Any]:
    """The object that describes the error, wherever it stands."""
    inner: object = data.get("error", data)
    return inner if is_object(inner) else {"message": inner}


def _status_of(details: dict[str, Any]) -> int:
    """The status that would belong to an error which came without one."""
    for key in ("status_code", "status", "code"):
        number: object = details.get(key)
        if isinstance(number, str) and number.isdecimal():
            number = int(number)
        if isinstance(number, int) and 400 <= number < 600:
            return number
    words = (details.get(key) for key in ("code", "type"))
    return next((_STATUS[word] for word in words if isinstance(word, str) and word in _STATUS), 500)


def _error(status: int | None, headers: Mapping[str, str], data: dict[str, Any]) -> ModelError:
    details = _details(data)
    words, field = _message_of(details, data)
    code: object = details.get("code")
    kind = text_in(details, "type") or None
    named = code if isinstance(code, str) and not code.isdecimal() else kind
    where: dict[str, Any] = {
        "status": status,
        "code": named,
        "request_id": headers.get("x-request-id") or text_in(data, "request_id") or headers.get("cf-ray"),
        "provider_message": words or None,
        "retry_after": retry_after(headers),
    }
    message = sentence(status, named, words)
    field = text_in(details, "param") or field
    return _of_status(_status_of(details) if status is None else status, message, words, field, where)


def _of_status(status: int, message: str, words: str, field: str | None, where: dict[str, Any]) -> ModelError:
    code: str | None = where["code"]
    if code in _TOO_LONG_CODES or (status in {400, 413, 422} and _TOO_LONG.search(words)):
        return ContextTooLong(message, field=field, **where)
    if code in _FILTERED:
        return ContentRefused(message, **where)
    if status == 402 or code in _UNPAID:  # waiting helps nobody, whatever the status
        return AuthError(message, hint="Check the plan and the balance of this account.", **where)
    said_of_model = status in {400, 404, 422} and _NO_MODEL.search(words)
    if said_of_model or (code == "model_not_found" and status not in {401, 403, 429}):
        return ModelNotFound(message, field=field or "model", **where)
    if code == "tool_use_failed" and status not in {401, 403, 404, 408, 429}:
        hint = "The model wrote a tool call that does not fit: simplify the tool, or lower the temperature."
        return BadRequest(message, field=field, hint=hint, **where)
    if status == 498:  # Groq has no capacity
        return Overloaded(message, **where)
    return by_status(status, message, field=field, **where)


def _message_of(details: dict[str, Any], data: dict[str, Any]) -> tuple[str, str | None]:
    """The provider's words, and the field which its `detail` names."""
    said: object = details.get("message")
    if is_object(said):  # Mistral wraps a list of details
        said, details = None, said
    words = said if isinstance(said, str) else ""
    more: object = details.get("metadata")
    if is_object(more) and isinstance(
        behind := more.get("raw"), str
    ):  # OpenRouter tells what the one behind it said
        words = f"{words}: {behind}" if words else behind
    found: object = details.get("detail", data.get("detail"))
    if isinstance(found, str):
        return words or found, None
    if isinstance(found, list) and found and is_object(first := cast("list[object]", found)[0]):
        return words or text_in(first, "msg"), _path(first.get("loc"))
    return words, None


def _path(loc: object) -> str | None:
    """`["body", "messages", 0, "role"]` as `messages[0].role`."""
    if not isinstance(loc, list):
        return None
    path = ""
    for step in cast("list[object]", loc):
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
    return path.removeprefix(".body").removeprefix(".") or None
