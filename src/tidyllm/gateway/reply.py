"""Errors and headers, the way the caller's format wants them. It knows formats, not routes."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from tidyllm.errors import AuthError, ModelError, StreamInterrupted, TidyllmError
from tidyllm.gateway.asgi import Headers, Send, send_json
from tidyllm.gateway.body import BodyTooLarge, BodyTooSlow
from tidyllm.models.formats import wire_format

__all__ = ["Draining", "MethodNotAllowed", "PathNotFound", "error_format", "send_error"]


class MethodNotAllowed(TidyllmError):
    """The path exists, but not for this method."""


class PathNotFound(TidyllmError):
    """There is no such path."""


class Draining(TidyllmError):
    """The server is stopping."""


class _Upstream(TidyllmError):
    """Our own key was refused by a provider: the gateway's fault, never the caller's."""


_STATUS: tuple[tuple[type[TidyllmError], int], ...] = (
    (BodyTooLarge, 413),
    (BodyTooSlow, 408),
    (MethodNotAllowed, 405),
    (PathNotFound, 404),
    (Draining, 503),
    (_Upstream, 502),
)


def error_format(path: str, headers: Headers) -> str:
    """The format in which this caller reads errors."""
    if path.startswith("/v1/messages") or "anthropic-version" in headers:
        return "anthropic"
    return "openai_responses" if path == "/v1/responses" else "openai_chat"


def encode_error(error: TidyllmError, format: str) -> tuple[int, dict[str, Any]]:
    """Status and body."""
    if isinstance(error, AuthError) and error.provider is not None:
        error = _Upstream(
            f"the provider {error.provider!r} refused this gateway's key for {error.model!r}.",
            hint="Whoever runs the gateway must mend its key.",
        )
    status, body = wire_format(format).encode_error(error)
    for kind, own in _STATUS:
        if isinstance(error, kind):
            return own, body
    return status, body


async def send_error(
    send: Send, error: TidyllmError, format: str, *, request_id: str, headers: tuple[tuple[str, str], ...] = ()
) -> int:
    """Answer with an error in the caller's format; returns the status."""
    status, body = encode_error(error, format)
    more: list[tuple[str, str]] = [("x-request-id", request_id), *headers]
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None and status in (429, 503):
        more.append(("retry-after", str(max(math.ceil(retry_after), 1))))
    if isinstance(error, (BodyTooLarge, BodyTooSlow, Draining)):
        # What is left of the body will not be read: this connection is of no further use.
        more.append(("connection", "close"))
    await send_json(send, status, body, headers=more)
    return status


def stream_error(error: TidyllmError) -> TidyllmError:
    """What to tell a caller in the middle of a stream: the cause rather than the interruption, where it is known."""
    cause = error.__cause__
    return cause if isinstance(error, StreamInterrupted) and isinstance(cause, (ModelError, TidyllmError)) else error


def encoded(value: object) -> bytes:
    """JSON."""
    return msgspec.json.encode(value)
