"""The one seam to the network: a call goes in, an answer comes out. It knows HTTP's words, not how they
travel.

A `Transport` sends a call exactly once: no retry, no redirect, no cookie, no cache. What goes wrong is one
of our errors, whichever library carries the bytes. How long anything may take is not known here, apart from
connecting: the `Timeout` around a step has those clocks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from types import TracebackType
from typing import Protocol, Self

import msgspec

from tidyllm.errors import BadAnswer
from tidyllm.models.http_settings import HTTPSettings
from tidyllm.models.inflate import Inflater

__all__ = [
    "HTTPAnswer",
    "HTTPCall",
    "Transport",
    "default_transport",
]


class HTTPCall(msgspec.Struct, frozen=True):
    """One request: `url` whole, header names in any case, `body` as it shall be sent."""

    method: str
    url: str
    headers: Mapping[str, str] = {}
    body: bytes = b""

    # Headers carry keys and a URL may: neither belongs into a log or a traceback.
    def __repr__(self) -> str:
        return f"HTTPCall({self.method!r}, {self.url.partition('?')[0]!r}, body of {len(self.body):,} bytes)"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("method", self.method), ("url", self.url.partition("?")[0])]


class HTTPAnswer(ABC):
    """Status and headers of an answer whose body is still on its way.

    `status` is never 1xx or 3xx. `headers` have lower-case names; a name that came twice has its values
    joined by `, `. Use it as `async with`, and take the body once, by `read` or by `chunks`. A body read to
    its end gives the connection back for the next call; leaving earlier closes it, which the other side sees
    at once.
    """

    __slots__ = ("_inflater", "headers", "max_body_bytes", "status")

    def __init__(
        self, status: int, headers: Mapping[str, str], *, max_body_bytes: int = HTTPSettings().max_body_bytes
    ) -> None:
        """`max_body_bytes`: what `read` stops at.

        :raises BadAnswer: the body has an encoding that we did not ask for and cannot undo.
        """
        self.status = status
        self.headers = headers
        self.max_body_bytes = max_body_bytes
        encoding = headers.get("content-encoding")
        self._inflater = Inflater(encoding) if encoding else None

    @abstractmethod
    async def receive(self) -> bytes:
        """What the socket gives next, as it came; empty at the end of the body. For `read` and `chunks`.

        :raises Unreachable: the connection broke before the end of the body.
        :raises BadAnswer: the framing of the body is broken.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Let go of the connection. Harmless when called again."""

    async def read(self) -> bytes:
        """The whole body, decompressed.

        :raises BadAnswer: it has more than `max_body_bytes`, or its framing or compression is broken.
        :raises Unreachable: the connection broke before its end.
        """
        parts: list[bytes] = []
        size = 0
        async for chunk in self.chunks():
            parts.append(chunk)
            size += len(chunk)
            if size > self.max_body_bytes:
                break
        if size > self.max_body_bytes:
            await self.aclose()
            raise BadAnswer(
                f"the answer has more than {self.max_body_bytes:,} bytes.",
                hint="Ask for less in one request, or read it as a stream.",
            )
        return b"".join(parts)

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes in, each piece the moment it is here, decompressed. Nothing is gathered.

        :raises Unreachable: the connection broke before the end of the body.
        :raises BadAnswer: its framing or compression is broken.
        """
        return _Chunks(self.receive) if self._inflater is None else _Inflated(self.receive, self._inflater)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class _Chunks:
    """An iterator and no generator: one that is left half-way needs no task of the event loop to end it."""

    __slots__ = ("_receive",)

    def __init__(self, receive: Callable[[], Awaitable[bytes]]) -> None:
        self._receive = receive

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if chunk := await self._receive():
            return chunk
        raise StopAsyncIteration


class _Inflated(_Chunks):
    """The same for a compressed body."""

    __slots__ = ("_inflater", "_pieces")

    def __init__(self, receive: Callable[[], Awaitable[bytes]], inflater: Inflater) -> None:
        super().__init__(receive)
        self._inflater = inflater
        self._pieces: Iterator[bytes] = iter(())

    async def __anext__(self) -> bytes:
        while True:
            for piece in self._pieces:
                return piece
            chunk = await self._receive()
            if not chunk:
                self._inflater.close()
                raise StopAsyncIteration
            self._pieces = self._inflater.feed(chunk)


class Transport(Protocol):
    """Carries calls. One object serves all event loops of the process, each with connections of its own."""

    async def send(self, call: HTTPCall) -> HTTPAnswer:
        """Send it once, and return as soon as status and headers are here.

        :raises Unreachable: no connection, no agreement on TLS, or it broke before the headers were here.
        :raises BadAnswer: what came is not HTTP, or is a redirect, which is never followed: the key would go
            along.
        :raises ConfigError: the URL or a header cannot be sent.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections of the running event loop; a later call opens new ones."""
        ...


_default: Transport | None = None


def default_transport() -> Transport:
    """The transport that models share unless they are given one. Nothing heavy is imported before it is used."""
    global _default  # noqa: PLW0603 - one pool of connections for the whole process
    if _default is None:
        from tidyllm.models.http_choice import ChoosingTransport

        _default = ChoosingTransport()
    return _default
