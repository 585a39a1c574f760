"""Reading a request's body, within limits. It knows bytes and time, not JSON."""

from __future__ import annotations

from tidyllm import clock
from tidyllm.core import Alarm
from tidyllm.errors import BadRequest, TimeoutExceeded
from tidyllm.gateway.asgi import Headers, Receive

__all__ = ["BodyTooLarge", "BodyTooSlow", "ClientGone", "WrongEncoding", "discard_body", "read_body"]

_SLOWEST = 1_000
"""Bytes a second, on average. A client that sends one byte before each timeout would else take hours."""
_LINGER = 2.0
_LINGER_GAP = 0.5


class BodyTooLarge(BadRequest):
    """The body is larger than the server takes."""


class BodyTooSlow(BadRequest):
    """The client stopped sending its body, or sends it very slowly."""


class WrongEncoding(BadRequest):
    """The body is compressed."""


class ClientGone(Exception):
    """The client closed the connection; there is nobody to answer."""


async def read_body(
    receive: Receive, headers: Headers, *, limit: int, timeout: float, is_here: bool = False
) -> bytes:
    """The whole body, at most `limit` bytes, with pauses of at most `timeout` seconds.

    `is_here`: the body is known to have come, so that no clock is needed.

    :raises WrongEncoding: it is compressed: a few bytes could become gigabytes.
    :raises BodyTooLarge: it is larger, by its header or by what came; the rest is not read.
    :raises BodyTooSlow: the client paused too long, or sends less than a kilobyte a second.
    :raises ClientGone: the client closed the connection.
    """
    encoding = headers.get("content-encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        raise WrongEncoding(
            f"the body has content-encoding {encoding[:40]!r}; this server takes it uncompressed.",
            hint="Send it without compression.",
        )
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit, f"{int(declared):,} bytes")
    chunks: list[bytes] = []
    size = 0
    begun = clock.monotonic()
    while True:
        if is_here:
            message = await receive()
        else:
            left = begun + timeout + size / _SLOWEST - clock.monotonic()
            try:
                with Alarm(min(timeout, left), "gap", timeout, "the request's body"):
                    message = await receive()
            except TimeoutExceeded as error:
                raise _too_slow(size, timeout if left >= timeout else None) from error
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit, f"more than {limit:,} bytes")
        if not message.get("more_body"):
            return b"".join([*chunks, chunk]) if chunks else chunk
        chunks.append(chunk)


async def discard_body(receive: Receive) -> None:
    """Throw away what a client still sends although it was refused; for 2 s at most.

    A connection that is closed with unread bytes is reset, and the client may lose the answer that it was sent.
    """
    begun = clock.monotonic()
    try:
        while (left := begun + _LINGER - clock.monotonic()) > 0:
            with Alarm(min(left, _LINGER_GAP), "gap", _LINGER_GAP, "the request's body"):
                message = await receive()
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                return
    except TimeoutExceeded:
        return


def _too_slow(size: int, pause: float | None) -> BodyTooSlow:
    said = "comes too slowly" if pause is None else f"stopped after {size:,} bytes for {pause:g} s"
    return BodyTooSlow(
        f"the request's body {said}.", hint=f"Send it without pauses, at least {_SLOWEST:,} bytes a second."
    )


def _too_large(limit: int, size: str) -> BodyTooLarge:
    return BodyTooLarge(
        f"the request's body has {size}; this server takes {limit:,}.",
        hint="Send less, or raise server.max_body_mb.",
    )
