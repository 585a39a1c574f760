"""OpenAI's errors to ours and back, where the Responses API says them in a way of its own.

    with a status:   {"error": {"message": "...", "type": "...", "param": "...", "code": "..."}}
    in a stream:     {"type": "error", "code": "...", "message": "...", "param": null, "sequence_number": 3}
    in an answer:    {"status": "failed", "error": {"code": "server_error", "message": "..."}}

The first is the chat format's error and is read there. It knows nothing of requests or answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

from tidyllm.errors import BadRequest, ContentRefused, ModelError, RateLimited, TidyllmError
from tidyllm.models.openai_chat import errors as chat

__all__ = ["decode_error", "decode_failure", "encode_error", "error_object"]

_STATUS: Final = {
    "invalid_prompt": 400,
    "server_is_overloaded": 503,
    "slow_down": 503,
    "vector_store_timeout": 504,
}
"""The status that belongs to a code of this format, for errors that come without one."""

_OF_IMAGES: Final = re.compile(r"image|base64")
_POLICY: Final = re.compile(r"_policy(?:_violation)?$|^content_filter$")
_WAIT: Final = re.compile(r"try again in\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m)\b", re.IGNORECASE)
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0}


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
    """The most specific error for an answer with a status other than 2xx. Header names are lower case."""
    return _refined(chat.decode_error(status, headers, body))


def decode_failure(data: dict[str, Any]) -> ModelError:
    """The error in an event of a stream, or in an answer that came with status 200. Its `status` is None."""
    inner: object = data.get("error")
    if isinstance(inner, dict):
        details = cast("dict[str, Any]", inner)
    else:
        flat = {key: data.get(key) for key in ("code", "message", "param")}
        details = {**flat, "message": inner} if isinstance(inner, str) else flat
    code: object = details.get("code")
    status = (
        _STATUS.get(code, 400 if _OF_IMAGES.search(code) or _POLICY.search(code) else 0)
        if isinstance(code, str)
        else 0
    )
    return _refined(chat.answer_error({"error": {**details, "status": status} if status else details}))


def encode_error(error: TidyllmError) -> tuple[int, dict[str, Any]]:
    """HTTP status and body of an error for a caller who speaks this format."""
    return chat.encode_error(error)


def error_object(error: TidyllmError) -> dict[str, Any]:
    """The object `error` for a caller."""
    return chat.error_body(error)["error"]


def _refined(error: ModelError) -> ModelError:
    """The error, where the code or the words say more than the chat format knows."""
    if type(error) is BadRequest and error.code and _POLICY.search(error.code):
        return ContentRefused(
            error.message,
            status=error.status,
            code=error.code,
            request_id=error.request_id,
            provider_message=error.provider_message,
        )
    if isinstance(error, RateLimited) and error.retry_after is None:
        # A stream has no headers; the words are all it has ("try again in 1.5s").
        found = _WAIT.search(error.provider_message or "")
        error.retry_after = float(found[1]) * _SECONDS[found[2].lower()] if found else None
    return error
