"""An answer of the pool: its body is kept here until somebody takes it. It knows no sockets and no framing."""

from __future__ import annotations

import asyncio
from typing import Protocol

from tidyllm.errors import ModelError, Unreachable
from tidyllm.models.http import HTTPAnswer

__all__ = ["PooledAnswer"]

_FULL_BYTES = 256 * 1024
"""With so much unread the socket is not read any further, until the reader has taken all of it."""


class Line(Protocol):
    """What an answer asks of its connection."""

    def pause(self) -> None:
        """Read no further for now."""
        ...

    def resume(self) -> None:
        """Read on."""
        ...

    def abort(self) -> None:
        """Hang up."""
        ...


class PooledAnswer(HTTPAnswer):
    """An answer whose body is kept here until it is taken."""

    __slots__ = (
        "_connection",
        "_error",
        "_owner",
        "_paused",
        "_pieces",
        "_size",
        "_waiter",
        "received",
        "until_eof",
    )

    def __init__(
        self, connection: Line, status: int, headers: dict[str, str], owner: object, max_body_bytes: int
    ) -> None:
        super().__init__(status, headers, max_body_bytes=max_body_bytes)
        self._connection: Line | None = connection
        self._owner = owner  # whoever drops the transport may still read the answer
        self._error: ModelError | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self.received = 0
        self.until_eof = "content-length" not in headers and "transfer-encoding" not in headers

    async def receive(self) -> bytes:
        if not self._pieces and self._connection is not None:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        pieces = self._pieces
        if not pieces:
            if self._error is not None:
                raise self._error
            return b""
        chunk = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._size = 0
        if self._paused:
            self._paused = False
            if self._connection is not None:
                self._connection.resume()
        return chunk

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        self._pieces.clear()
        if connection is not None:
            self._error = Unreachable(
                "the answer was closed before its end.", hint="Read it before it is closed."
            )
            connection.abort()

    # -- for the connection

    def add(self, body: bytes) -> None:
        """More of the body."""
        self._pieces.append(body)
        self.received += len(body)
        self._size += len(body)
        if self._size > _FULL_BYTES and not self._paused and self._connection is not None:
            self._paused = True
            self._connection.pause()
        self._wake()

    def end(self, error: ModelError | None) -> None:
        """The body is complete, or broken; the connection is no longer ours."""
        self._connection = None
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
