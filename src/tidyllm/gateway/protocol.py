"""uvicorn's HTTP protocol with bounds on the head of a request: a time and a size. It knows nothing of what is asked."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["GuardedProtocol", "guarded"]

MAX_HEAD_BYTES = 64 * 1024
"""Request line and headers together. Real ones stay under 8 kB; nginx and others stop at 8 to 64."""


class GuardedProtocol(HttpToolsProtocol):
    """Closes a connection whose client does not finish its headers in time, or sends too many of them.

    uvicorn has a clock for idle connections only: one that sent half a request would hold its place for ever.
    """

    header_timeout = 10.0
    """Seconds from the first byte (or from the connection) to the end of the headers."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_bytes = 0
        self._in_head = True
        self._head_timer: asyncio.TimerHandle | None = None
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head:
            # A head that came whole was handled within the call above and cost no timer.
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(b"431 Request Header Fields Too Large")
            else:
                self._watch_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        self._forget_head()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        super().connection_lost(exc)

    def _watch_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.header_timeout, self._late)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _late(self) -> None:
        self._head_timer = None
        self._refuse(b"408 Request Timeout")

    def _refuse(self, status: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._head_bytes:
            self.transport.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()


def guarded(header_timeout: float) -> type[GuardedProtocol]:
    """The protocol class with its clock set."""
    attributes: dict[str, Any] = {"header_timeout": header_timeout}
    return type("GuardedProtocol", (GuardedProtocol,), attributes)
