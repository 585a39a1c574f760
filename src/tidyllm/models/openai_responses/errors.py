"""OpenAI's errors to ours and back, as the Responses API says them. It knows nothing of requests or answers.

with a status:   {"error": {"message": "...", "type": "...", "param": "...", "code": "..."}}
in a stream:     {"type": "error", "code": "...", "message": "...", "param": null, "sequence_number": 3}
in an answer:    {"status": "failed", "error": {"code": "server_error", "message": "..."}}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

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
from tidyllm.models.retry_after import retry_after
from tidyllm.models.status import http_status

__all__ = ["decode_error", "decode_failure", "encode_error", "error_object"]

_STATUS: Final = {
    "bio_policy": 400,
    "context_length_exceeded": 400,
    "content_policy_violation": 400,
    "cyber_policy": 400,
    "insufficient_quota": 429,
    "invalid_api_key": 401,
    "invalid_prompt": 400,
    "invalid_request_error": 400,
    "misalignment_policy_violation": 400,
    "model_not_found": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "server_is_overloaded": 503,
    "slow_down": 503,
    "vector_store_timeout": 504,
}
"""The status that belongs to a code, for errors that come without one: in a stream, or in an answer."""

_OF_IMAGES: Final = re.compile(r"image|base64")
_TOO_LONG: Final = re.compile(
    r"context(?:_length| length| window)|maximum context|too many (?:input |prompt )?tokens"
    r"|prompt is too long",
    re.IGNORECASE,
)
_FILTERED: Final = re.compile(
    r"content[_ ](?:filter|policy|management)|usage polic|safety (?:system|check)|_policy\b|policy_violation",
    re.IGNORECASE,
)
_NO_MODEL: Final = re.compile(
    r"model_not_found|deployment|model.{0,80}(?:not (?:exist|found)|unknown|unsupported)", re.IGNORECASE
)
_WAIT: Final = re.compile(r"try again in\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m)\b", re.IGNORECASE)
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0}
_SHOWN: Final = 300  # characters of a body that is no JSON: enough to recognise a proxy's page

_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    429: "rate_limit_error",
}


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
    """The most specific error for an answer with a status other than 2xx. Header names are lower case."""
    try:
        data: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        data = None
    if not isinstance(data, dict):
        shown = " ".join(body[: 4 * _SHOWN].decode(errors="replace").split())[:_SHOWN]
        data = {"message": shown}
    return _error(status, headers, cast("dict[str, Any]", data))


def decode_failure(data: dict[str, Any]) -> ModelError:
    """The error in an event of a stream, or in an answer that came with status 200. Its `status` is None."""
    error = _error(_status_of(_details(data)), {}, data)
    error.status = None  # the HTTP status was 200: tokens may have been used
    return error


def _status_of(details: dict[str, Any]) -> int:
    """The status that this error would have had; 500 when its code is none that we know."""
    for word in (details.get("code"), details.get("type")):
        if isinstance(word, int) and not isinstance(word, bool) and 400 <= word < 600:
            return word  # OpenRouter's codes are statuses
        if isinstance(word, str) and (
            status := _STATUS.get(word) or (400 if _OF_IMAGES.search(word) else None)
        ):
            return status
    return 500


def encode_error(error: TidyllmError) -> tuple[int, dict[str, Any]]:
    """HTTP status and body of an error for a caller who speaks this format."""
    return http_status(error), {"error": error_object(error)}


def error_object(error: TidyllmError) -> dict[str, Any]:
    """The object `error` for a caller."""
    status = http_status(error)
    code = error.code if isinstance(error, ModelError) else None
    if isinstance(error, ContextTooLong):
        code = "context_length_exceeded"
    elif isinstance(error, ModelNotFound):
        code = "model_not_found"
    elif isinstance(error, RateLimited):
        code = code or "rate_limit_exceeded"
    elif isinstance(error, ContentRefused):
        code = code or "content_policy_violation"
    return {
        "message": str(error),
        "type": _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error"),
        "param": error.field if isinstance(error, BadRequest) else None,
        "code": code,
    }


def _details(data: dict[str, Any]) -> dict[str, Any]:
    """The object that says what went wrong, wherever a server puts it."""
    for key in ("error", "detail", "message"):
        found: object = data.get(key)
        if key == "error" and found is None and isinstance(data.get("response"), dict):
            found = cast("dict[str, Any]", data["response"]).get("error")
        if isinstance(found, dict):
            return cast("dict[str, Any]", found)
        if isinstance(found, str) and found:
            return {**data, "message": found}
    return {}


def _error(status: int, headers: Mapping[str, str], data: dict[str, Any]) -> ModelError:
    details = _details(data)
    words = _text(details.get("message")) or ""
    code = _text(details.get("code")) or _text(details.get("type"))
    where: dict[str, Any] = {
        "status": status,
        "code": code,
        "request_id": headers.get("x-request-id"),
        "provider_message": words or None,
        "retry_after": _pause(headers, words),
    }
    named = f"{status} ({code})" if code else str(status)
    said = words if words.endswith((".", "!", "?")) else f"{words}."
    message = (
        f"the provider's error {named}: {said}"
        if words
        else f"the provider's error {named} came without a word."
    )
    return _of_status(message, f"{code or ''} {words}", _text(details.get("param")), where)


def _of_status(message: str, words: str, param: str | None, where: dict[str, Any]) -> ModelError:
    status: int = where["status"]
    if status in {401, 402, 403}:
        return AuthError(message, **where)
    if "insufficient_quota" in words:
        # Waiting does not help, so this must not look like a limit that passes.
        return AuthError(message, hint="Check the plan and the balance of this account.", **where)
    if status == 429:
        return RateLimited(message, **where)
    if status in {400, 413, 422} and _TOO_LONG.search(words):
        return ContextTooLong(message, field=param, **where)
    if status in {400, 422} and _FILTERED.search(words):
        return ContentRefused(message, **where)
    if status in {400, 404} and _NO_MODEL.search(words):
        return ModelNotFound(message, field=param or "model", **where)
    if status == 404:
        hint = "Check base_url: nothing answers at this path, or an id in the request is unknown there."
        return BadRequest(message, field=param, hint=hint, **where)
    if status == 408:
        return Unreachable(message, hint="The provider waited too long for the request; try again.", **where)
    if 400 <= status < 500:
        return BadRequest(message, field=param, **where)
    if status >= 500:
        return Overloaded(message, **where)
    return BadAnswer(message, hint="Check base_url: a status like this is no answer of a model.", **where)


def _pause(headers: Mapping[str, str], words: str) -> float | None:
    """Seconds to wait: from the headers, else from the words ("try again in 1.5s"), which is all a stream
    has."""
    asked = retry_after(headers)
    if asked is not None:
        return asked
    found = _WAIT.search(words)
    return float(found[1]) * _SECONDS[found[2].lower()] if found else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
