"""Errors, the way the caller's format wants them: status, body, headers. It knows formats, not routes."""

from __future__ import annotations

import logging
import math
from typing import Any

import msgspec

from tidyllm.access.problems import Forbidden
from tidyllm.errors import (
    AuthError,
    BadRequest,
    BudgetExceeded,
    ConfigError,
    ModelError,
    PriceUnknown,
    Refused,
    StoreDown,
    StreamInterrupted,
    TidyllmError,
    Unsupported,
)
from tidyllm.gateway.asgi import Fields, Headers, Receive, Send, send_bytes
from tidyllm.gateway.body import BodyTooLarge, BodyTooSlow, WrongEncoding, discard_body
from tidyllm.models.formats import family, wire_format

__all__ = [
    "Draining",
    "MethodNotAllowed",
    "NotFound",
    "encode_error",
    "error_format",
    "id_fields",
    "send_error",
    "told",
]

_LONGEST_WAIT = 24 * 3600
"""Seconds of `Retry-After`: nobody waits longer for an answer."""


class MethodNotAllowed(BadRequest):
    """The path exists, but not for this method."""


class NotFound(BadRequest):
    """There is no such path."""


class Draining(Refused):
    """The server is stopping."""


class _OurFault(TidyllmError):
    """Something that only whoever runs the gateway can mend."""


class _Misconfigured(TidyllmError):
    """The configuration, where only a call could show it. Nobody's fault to `models.status`, so it is 500."""


_log = logging.getLogger("tidyllm.gateway")

_STATUS: tuple[tuple[type[TidyllmError], int], ...] = (
    (BodyTooLarge, 413),
    (BodyTooSlow, 408),
    (WrongEncoding, 415),
    (MethodNotAllowed, 405),
    (NotFound, 404),
    (Forbidden, 403),
    (BudgetExceeded, 402),  # no 429: clients would try again, and nothing would be different
    (PriceUnknown, 402),
    (_OurFault, 502),
)
"""Where the status is another one than `models.status` has for the class."""

_ANTHROPIC_TYPES = {
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
}
_OPENAI_TYPES = {
    402: ("insufficient_quota", "insufficient_quota"),
    403: ("invalid_request_error", "insufficient_permissions"),
}
"""`type` and `code` of what only the gateway knows, in words that OpenAI uses itself."""
_CLOSES = (BodyTooLarge, BodyTooSlow, Draining)
"""What is left of the body is not waited for: the connection is of no further use."""


def error_format(path: str, headers: Headers) -> str:
    """The format in which this caller reads errors."""
    if path == "/v1/messages" or path.startswith("/v1/messages/") or "anthropic-version" in headers:
        return "anthropic"
    return "openai_responses" if path == "/v1/responses" else "openai_chat"


def id_fields(request_id: str, format: str) -> list[tuple[bytes, bytes]]:
    """The headers that name a request; Anthropic's clients look for one of their own."""
    value = request_id.encode()
    fields = [(b"x-request-id", value)]
    if format.startswith("anthropic"):
        fields.append((b"request-id", value))
    return fields


def told(error: TidyllmError) -> TidyllmError:
    """The error as a caller is told it.

    Of a stream that broke, the cause; of our own key that a provider refused, and of our configuration, nothing that he
    could misread as his; of our store, not where it stands.
    """
    if isinstance(error, StreamInterrupted) and isinstance(error.__cause__, TidyllmError):
        error = error.__cause__
    if isinstance(error, ConfigError):  # elsewhere the caller's own; here he has no part in the configuration
        return _Misconfigured(error.message, hint=error.hint)
    if isinstance(error, AuthError) and error.provider is not None:
        return _OurFault(
            f"the provider {error.provider!r} refused this gateway's key for {error.model!r}.",
            hint="Whoever runs the gateway must mend its key.",
        )
    if isinstance(error, StoreDown):
        return StoreDown(_STORE_DOWN, hint="Try again soon. The gateway's log says what is the matter.")
    return error


_STORE_DOWN = "the gateway's own store cannot be used now, so nothing was done."


def encode_error(error: TidyllmError, endpoint: str, request_id: str) -> tuple[int, dict[str, Any]]:
    """Status and body of an error at an endpoint, or in a format."""
    error = told(error)
    format = family(endpoint)
    status, body = wire_format(format).encode_error(error)
    status = next((own for kind, own in _STATUS if isinstance(error, kind)), status)
    if format == "anthropic":
        body["request_id"] = request_id
        if status in _ANTHROPIC_TYPES:
            body["error"]["type"] = _ANTHROPIC_TYPES[status]
        if (details := _details(error)) is not None:
            body["error"]["details"] = details
    elif status in _OPENAI_TYPES:
        body["error"]["type"], body["error"]["code"] = _OPENAI_TYPES[status]
    return status, body


def _details(error: TidyllmError) -> dict[str, Any] | None:
    """What Anthropic's own clients act on: they go on without a thread, or begin another one, when they read it."""
    if isinstance(error, Unsupported) and error.field == "thread":
        return {"error_code": "thread_unsupported_request", "unsupported": ["provider"]}
    if isinstance(error, ModelError) and error.code and not error.code.endswith("_error"):
        return {"error_code": error.code}
    return None


async def send_error(
    receive: Receive | None,
    send: Send,
    error: TidyllmError,
    endpoint: str,
    *,
    request_id: str,
    fields: Fields = (),
) -> int:
    """Answer with an error in the caller's format; returns the status. `receive`: for what is left of the body."""
    if isinstance(error, StoreDown):
        _log.warning("request %s was refused: %s", request_id, error)
    status, body = encode_error(error, endpoint, request_id)
    headers = [*id_fields(request_id, endpoint), *fields]
    if status in (429, 503):
        wait: float | None = getattr(error, "retry_after", None)
        # A provider that asks us to slow down without a word how long: a second is the least.
        if wait is not None or status == 429:
            headers.append((b"retry-after", str(math.ceil(min(max(wait or 1, 1), _LONGEST_WAIT))).encode()))
    closes = isinstance(error, _CLOSES)
    if closes:
        headers.append((b"connection", b"close"))
    await send_bytes(send, status, msgspec.json.encode(body), headers=headers, more=closes)
    if closes:
        if receive is not None and not isinstance(error, BodyTooSlow):
            await discard_body(receive)
        await send({"type": "http.response.body", "body": b""})
    return status
