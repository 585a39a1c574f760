"""uvicorn's HTTP protocol with bounds on what a client may take: time for a request, its size, time to read an answer.

It knows connections and bytes, nothing of what is asked. It also says at once when a client hangs up, and whether the
body of a request has come: the gateway finds it in the scope, under `extensions`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import getrandbits
from typing import Any, cast

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tidyllm.errors import BadRequest
from tidyllm.gateway.asgi import Scope
from tidyllm.models.formats import wire_format

__all__ = ["MAX_HEAD_BYTES", "Bounds", "GuardedProtocol", "connection_of", "guarded"]

MAX_HEAD_BYTES = 64 * 1024
"""Request line and headers together. Real ones stay under 8 kB; nginx and others stop at 8 to 64."""

_EXTENSION = "tidyllm.connection"


class Bounds(msgspec.Struct, frozen=True):
    """Seconds that a client has."""

    head: float = 10.0
    """From the first byte of a request (or from the connection) to the end of its headers."""
    reading: float = 60.0
    """To read some of the answer, once it has left 64 kB of it waiting. A client that stops reading would hold its
    stream, and the provider's, for ever."""


class JoiningTransport:
    """A transport that can write two parts as one: uvicorn writes the head of an answer and its body one by one, and
    each costs a call of the kernel (5 µs of 150 for a small answer).
    """

    __slots__ = ("_inner", "_joins", "_kept", "_write")

    def __init__(self, inner: asyncio.Transport) -> None:
        self._inner = inner
        self._write = inner.write
        self._joins = False
        self._kept: bytes | None = None

    def join_next(self) -> None:
        """Keep what is written next until something more is."""
        self._joins = True

    def write(self, data: bytes) -> None:
        if self._joins:
            self._joins, self._kept = False, data
        elif self._kept is not None:
            data, self._kept = self._kept + data, None
            self._write(data)
        else:
            self._write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class GuardedProtocol(HttpToolsProtocol):
    """One connection of a client.

    uvicorn has a clock for idle connections only, and a byte stops it: a client that sends half a request, or what
    belongs to none, would hold its place for ever.
    """

    bounds: Callable[[], Bounds] = Bounds

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._joining = JoiningTransport(transport)
        super().connection_made(cast("asyncio.Transport", self._joining))
        self.on_gone: Callable[[], None] | None = None
        """Called once when the client hangs up."""
        self._in_head = True
        self._head_bytes = 0
        self._begun = False
        self._method = b""
        self._upgrading = False
        self._request_clock: asyncio.TimerHandle | None = None
        self._reading_clock: asyncio.TimerHandle | None = None
        self._start_request_clock()

    @property
    def body_is_here(self) -> bool:
        """Whether the latest request has come to its end, so that waiting for its body takes no time."""
        return not self.cycle.more_body

    def join_next(self) -> None:
        """Write the next two parts of an answer, its head and its first bytes, as one."""
        self._joining.join_next()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._in_head:
            self._head_bytes += len(data)
        self._feed(data)
        if self.transport.is_closing():
            return
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(
                b"431 Request Header Fields Too Large",
                f"the headers have more than {MAX_HEAD_BYTES:,} bytes.",
            )
        elif self.timeout_keep_alive_task is None and not self._answering:
            # What came is not a whole request, and has stopped the clock of idle connections.
            self._start_request_clock()

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(
                b"400 Bad Request", "this is not HTTP/1.1, or a header or a chunk of it is malformed."
            )

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Read the request once more without its wish for another protocol: the parser takes its body for that one.

        Java's HTTP client asks for HTTP/2 so, with each first request.
        """
        head = [self._method, b" ", self.url, b" HTTP/1.1\r\n"]
        for name, value in self.headers:
            if name not in (b"upgrade", b"connection", b"http2-settings"):
                head += [name, b": ", value, b"\r\n"]
        self.parser = httptools.HttpRequestParser(self)
        self._feed(b"".join([*head, b"\r\n", rest]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_request_clock()
        self.resume_writing()
        super().connection_lost(exc)
        if self.on_gone is not None:
            on_gone, self.on_gone = self.on_gone, None
            on_gone()

    # -- what the parser finds

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begun = True
        self.scope["extensions"] = {_EXTENSION: self}  # pyright: ignore[reportGeneralTypeIssues]

    def on_headers_complete(self) -> None:
        self._method = self.parser.get_method()
        self._upgrading = self.parser.should_upgrade() and self._method != b"CONNECT"
        if self._upgrading:
            return
        self._in_head = self._begun = False
        self._head_bytes = 0
        self._stop_request_clock()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if self._upgrading:
            return
        super().on_message_complete()
        self._in_head = True
        if not self._answering:
            # The rest of a request that was answered before it had come: from here on the connection is idle.
            self._stop_request_clock()
            if self.timeout_keep_alive_task is None:
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )
        elif not self.pipeline:
            # A body of some size has paused the socket. Paused, it would not tell when the client hangs up.
            self.flow.resume_reading()

    # -- clocks

    @property
    def _answering(self) -> bool:
        """Whether an answer is owed: then the clocks are those of the gateway."""
        return self.cycle is not None and not self.cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison]

    def _start_request_clock(self) -> None:
        if self._request_clock is None:
            self._request_clock = self.loop.call_later(self.bounds().head, self._late)

    def _stop_request_clock(self) -> None:
        if self._request_clock is not None:
            self._request_clock.cancel()
            self._request_clock = None

    def _late(self) -> None:
        self._request_clock = None
        if self._begun:
            self._refuse(b"408 Request Timeout", f"the headers did not come within {self.bounds().head:g} s.")
        else:
            self.transport.close()

    def _refuse(self, status: bytes, message: str) -> None:
        if self.transport.is_closing():
            return
        if (
            not self._answering or not self.cycle.response_started
        ):  # else it would stand in the middle of an answer
            _, error = wire_format("openai_chat").encode_error(BadRequest(message))
            body = msgspec.json.encode(error)
            self.transport.write(
                b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nx-request-id: %032x\r\n"
                b"connection: close\r\n\r\n%b" % (status, len(body), getrandbits(128), body)
            )
        if self._answering:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._reading_clock is None:
            self._reading_clock = self.loop.call_later(self.bounds().reading, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._reading_clock is not None:
            self._reading_clock.cancel()
            self._reading_clock = None


def guarded(bounds: Callable[[], Bounds]) -> type[GuardedProtocol]:
    """The protocol with these bounds, asked for at each use: they may change while the server runs."""
    return type("GuardedProtocol", (GuardedProtocol,), {"bounds": staticmethod(bounds)})


def connection_of(scope: Scope) -> GuardedProtocol | None:
    """The connection over which this request came; None under a server of another kind."""
    extensions: dict[str, object] = scope.get("extensions") or {}
    return cast("GuardedProtocol | None", extensions.get(_EXTENSION))
