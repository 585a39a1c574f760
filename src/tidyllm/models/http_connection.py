"""One HTTP/1.1 connection and the answer that comes over it. It knows sockets and framing, not where connections go.

Import it only where a call is made: the parser (llhttp, by way of httptools) is an optional dependency.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import httptools

from tidyllm import clock
from tidyllm.errors import ModelError
from tidyllm.models import http_faults as faults
from tidyllm.models.http import HTTPAnswer
from tidyllm.models.http_body import PooledAnswer

if TYPE_CHECKING:
    from tidyllm.models.http_settings import HTTPSettings

__all__ = ["Connection"]


class Connection(asyncio.Protocol):
    """Sends one call at a time. It belongs to the pool whose two functions it is given:

    `idle(connection)` when it can take another call, `lost(connection)`, once, when it is closed.
    """

    def __init__(
        self,
        origin: str,
        where: str,
        settings: HTTPSettings,
        idle: Callable[[Connection], None],
        lost: Callable[[Connection], None],
    ) -> None:
        self.origin = origin
        self.where = where
        self.idle_since = 0.0
        self.opened = False
        self._settings = settings
        self._idle = idle
        self._lost = lost
        self._parser: Any = None
        self._transport: asyncio.Transport | None = None
        self._poll: select.poll | None = None
        self._head: asyncio.Future[PooledAnswer] | None = None
        self._owner: object = None
        self._answer: PooledAnswer | None = None
        self._headers: dict[str, str] = {}
        self._head_bytes = 0
        self._silent_bytes = 0  # bytes fed to the parser since anything came of them
        self._reusable = False
        self._complete = False
        self._fault: ModelError | None = None

    # -- for the pool

    @property
    def usable(self) -> bool:
        """Whether a call can be sent: it is open, and the server has neither hung up nor said a word unasked.

        The event loop may not have looked at the socket since, so this asks the kernel (1 us).
        """
        return self._transport is not None and not (self._poll is not None and self._poll.poll(0))

    def abort(self) -> None:
        """Hang up at once. `lost` is called at the next turn of the event loop."""
        if self._transport is not None:
            self._transport.abort()

    async def exchange(self, head: bytes, body: bytes, owner: object) -> HTTPAnswer:
        """Send a call and wait for the head of its answer. `owner` is kept alive as long as the answer.

        :raises Unreachable: the connection broke before it was here.
        :raises BadAnswer: it is no HTTP, or encoded in a way that cannot be undone.
        """
        transport = self._transport
        if transport is None:
            raise faults.broken(self.where)
        self._headers = {}
        self._head_bytes = self._silent_bytes = 0
        self._complete = False
        self._owner = owner
        self._head = waiting = asyncio.get_running_loop().create_future()
        if len(body) < 65_536:
            transport.write(head + body)
        else:
            transport.writelines((head, body))
        try:
            return await waiting
        except asyncio.CancelledError:
            # An answer that came at the same moment may have ended already: then another call is on this connection.
            came = None if waiting.cancelled() or waiting.exception() else waiting.result()
            if self._head is waiting or (came is not None and came is self._answer):
                self.abort()
            raise

    # -- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(
            "asyncio.Transport", transport
        )  # uvloop's are not of the class, only of the kind
        self.opened = True
        self._parser = httptools.HttpResponseParser(self)
        if hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        if self._transport is None:
            return
        if self._head is None and self._answer is None:
            self.abort()  # nobody asked: taken for an answer, it would be that of the next call
            return
        self._silent_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as exc:
            self._reusable = False
            if not self._complete:
                self._break(faults.malformed(self.where, str(exc) or "a change of protocol"))
                return
        if self._fault is not None:
            self._break(self._fault)
        elif self._complete:
            self._end()
        elif self._silent_bytes > self._settings.max_head_bytes:
            self._break(
                faults.malformed(self.where, f"more than {self._silent_bytes:,} bytes without an end")
            )

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = self._poll = self._parser = None
        answer, self._answer = self._answer, None
        self._refuse(faults.broken(self.where, exc))
        if answer is not None:
            whole = answer.until_eof and exc is None
            answer.end(None if whole else faults.cut(self.where, answer.received, exc))
        self._lost(self)

    # -- what the parser calls

    def on_message_begin(self) -> None:
        if self._complete:
            self._reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._answer is not None:
            return  # a trailer
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > self._settings.max_head_bytes:
            self._fault = faults.malformed(
                self.where, f"headers of more than {self._settings.max_head_bytes:,} bytes"
            )
            return
        key = name.decode("latin-1").lower()
        text = value.decode("utf-8", "surrogateescape")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._headers = {}  # an interim answer: the real one follows
            return
        if self._head is None or self._fault is not None:
            return
        self._silent_bytes = 0
        self._reusable = self._parser.should_keep_alive()
        try:
            answer = PooledAnswer(self, status, self._headers, self._owner, self._settings.max_body_bytes)
        except ModelError as error:
            self._fault = error
            return
        self._answer = answer
        head, self._head, self._owner = self._head, None, None
        if not head.done():
            head.set_result(answer)

    def on_body(self, body: bytes) -> None:
        self._silent_bytes = 0
        if self._answer is not None and not self._complete:
            self._answer.add(body)

    def on_message_complete(self) -> None:
        if self._answer is not None:
            self._complete = True

    # -- the end of an exchange

    def _end(self) -> None:
        answer, self._answer = self._answer, None
        assert answer is not None
        assert self._transport is not None
        answer.end(None)
        # A server may answer before it has taken the whole call; the rest of that must not precede the next one.
        if self._reusable and not self._transport.get_write_buffer_size():
            self._transport.resume_reading()
            self.idle_since = clock.monotonic()
            self._idle(self)
        else:
            self.abort()

    def _refuse(self, error: ModelError) -> None:
        """There will be no answer for who waits for one."""
        head, self._head, self._owner = self._head, None, None
        if head is not None and not head.done():
            head.set_exception(error)

    def _break(self, error: ModelError) -> None:
        answer, self._answer = self._answer, None
        self._refuse(error)
        if answer is not None:
            answer.end(error)
        self.abort()

    def pause(self) -> None:
        """Stop reading the socket. For the answer."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read the socket again. For the answer."""
        if self._transport is not None:
            self._transport.resume_reading()
