"""Reading a request's body, within limits. It knows bytes and time, not JSON."""

from __future__ import annotations

from tidyllm.core import Alarm
from tidyllm.errors import TidyllmError, TimeoutExceeded
from tidyllm.gateway.asgi import Headers, Receive

__all__ = ["BodyTooLarge", "BodyTooSlow", "ClientGone", "read_body"]


class BodyTooLarge(TidyllmError):
    """The body is larger than the server takes."""


class BodyTooSlow(TidyllmError):
    """The client stopped sending its body."""


class ClientGone(Exception):
    """The client closed the connection; there is nobody to answer."""


async def read_body(receive: Receive, headers: Headers, *, limit: int, timeout: float) -> bytes:
    """The whole body, at most `limit` bytes, with pauses of at most `timeout` seconds.

    :raises BodyTooLarge: it is larger, by its header or by what came; the rest is not read.
    :raises BodyTooSlow: the client paused too long.
    :raises ClientGone: the client closed the connection.
    """
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit, f"{int(declared):,} bytes")
    chunks: list[bytes] = []
    size = 0
    while True:
        try:
            # The first part is often there already; even so the loop may have to wait for it.
            with Alarm(timeout, "gap", timeout, "the request's body"):
                message = await receive()
        except TimeoutExceeded as error:
            raise BodyTooSlow(
                f"the request's body stopped after {size:,} bytes for {timeout:g} s.", hint="Send it without pauses."
            ) from error
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit, f"more than {limit:,} bytes")
        if not message.get("more_body"):
            return b"".join([*chunks, chunk]) if chunks else bytes(chunk)
        chunks.append(chunk)


def _too_large(limit: int, size: str) -> BodyTooLarge:
    return BodyTooLarge(
        f"the request's body is {size}; this server takes {limit:,}.", hint="Send less, or raise server.max_body_mb."
    )
