"""The lean transport: kept connections, bounded, straight on asyncio. It knows no proxy: aiohttp has those calls.

One event loop has one pool; no lock is needed in it. Import it only where a call is made.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from functools import cached_property, partial

import aiohappyeyeballs

from tidyllm import clock
from tidyllm.core import Alarm
from tidyllm.errors import ModelError, TimeoutExceeded
from tidyllm.models import http_faults as faults
from tidyllm.models.http import HTTPAnswer, HTTPCall
from tidyllm.models.http_connection import Connection
from tidyllm.models.http_settings import HTTPSettings, open_socket, tls_context
from tidyllm.models.http_target import Target, request_head, target
from tidyllm.models.per_loop import PerLoop

__all__ = ["PoolTransport"]


class PoolTransport:
    """A `Transport` for calls that need no proxy. `settings`: see there for every default and its reason."""

    def __init__(self, settings: HTTPSettings | None = None) -> None:
        self._settings = settings or HTTPSettings()
        self._pools = PerLoop(partial(_Pool, _Opener(self._settings)), _Pool.aclose)

    async def send(self, call: HTTPCall) -> HTTPAnswer:
        to = target(call.url)
        head = request_head(call.method, to, call.headers, call.body)
        connection = await self._pools.get().acquire(to)
        answer = await connection.exchange(head, call.body, self)
        if not 200 <= answer.status < 300:
            try:
                faults.check_status(to.where, answer.status, answer.headers)
            except ModelError:
                await answer.aclose()
                raise
        return answer

    async def aclose(self) -> None:
        await self._pools.aclose()


class _Opener:
    """Opens connections. One for all event loops: what it reads from disk is read once."""

    def __init__(self, settings: HTTPSettings) -> None:
        self.settings = settings

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return tls_context(self.settings.ca_file)

    async def open(self, to: Target, connection: Connection) -> None:
        """:raises Unreachable: it cannot be opened, or not in time."""
        seconds = self.settings.connect_seconds
        try:
            with Alarm(seconds, "connect", seconds, to.where):
                await self._open(to, connection)
        except TimeoutExceeded as exc:
            raise faults.no_time(to.where, seconds) from exc
        except OSError as exc:
            raise faults.no_connection(to.where, exc) from exc

    async def _open(self, to: Target, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        tls = self._tls if to.scheme == "https" else None
        addresses = await loop.getaddrinfo(to.host, to.port, type=socket.SOCK_STREAM)
        # The second address gets its chance after 0.25 s, as RFC 8305 has it: IPv6 is often there and does not work.
        sock = await aiohappyeyeballs.start_connection(  # pyright: ignore[reportUnknownMemberType] - a bare `tuple`
            addresses, happy_eyeballs_delay=0.25, interleave=1, socket_factory=open_socket
        )
        name = to.host if tls is not None else None
        await loop.create_connection(lambda: connection, sock=sock, ssl=tls, server_hostname=name)


class _Pool:
    """The connections of one event loop. A place is held by a connection from before it opens until it is closed.

    Who finds no place waits in a queue, and gets a connection that becomes idle, or a place where one was closed. While
    somebody waits there is no free place.
    """

    def __init__(self, opener: _Opener) -> None:
        self._opener = opener
        self._settings = opener.settings
        self._free = opener.settings.connections
        self._idle: dict[str, list[Connection]] = {}  # by origin, the longest idle first
        self._waiting: deque[tuple[str, asyncio.Future[Connection | None]]] = deque()
        self._open: set[Connection] = set()
        self._sweeper: clock.Timer | None = None
        self._closed: asyncio.Future[None] | None = None

    async def acquire(self, to: Target) -> Connection:
        """A connection to send one call over.

        :raises Unreachable: it cannot be opened.
        """
        origin = to.origin
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.usable:
                return connection
            connection.abort()
        if self._free:
            self._free -= 1
            return await self._connect(to)
        self._drop_longest_idle()
        first = False
        while True:
            connection = await self._wait(origin, first=first)
            if connection is None:
                return await self._connect(to)
            if connection.usable:
                return connection
            connection.abort()
            first = True

    async def _wait(self, origin: str, *, first: bool) -> Connection | None:
        """Wait for a connection, or for a place, which is None."""
        future: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        entry = origin, future
        if first:
            self._waiting.appendleft(entry)
        else:
            self._waiting.append(entry)
        try:
            return await future
        except asyncio.CancelledError:
            if not future.cancelled():  # it was given something at the same moment
                connection = future.result()
                if connection is None:
                    self._give_place()
                else:
                    self._on_idle(connection)
            raise

    def _next_waiting(self) -> tuple[str, asyncio.Future[Connection | None]] | None:
        while self._waiting and self._waiting[0][1].done():  # cancelled
            self._waiting.popleft()
        return self._waiting[0] if self._waiting else None

    async def _connect(self, to: Target) -> Connection:
        """Open a connection on a place that is already ours."""
        connection = Connection(to.origin, to.where, self._settings, self._on_idle, self._on_lost)
        self._open.add(connection)
        try:
            await self._opener.open(to, connection)
        except BaseException:
            if connection.opened:
                connection.abort()
            else:
                self._on_lost(connection)
            raise
        return connection

    def _on_idle(self, connection: Connection) -> None:
        waiting = self._next_waiting()
        if waiting is None:
            self._idle.setdefault(connection.origin, []).append(connection)
            if self._sweeper is None:
                self._sweeper = clock.call_later(self._settings.keepalive_seconds, self._sweep)
        elif waiting[0] == connection.origin:
            self._waiting.popleft()
            waiting[1].set_result(connection)
        else:
            connection.abort()  # whoever waits gets its place

    def _on_lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        idle = self._idle.get(connection.origin)
        if idle and connection in idle:
            idle.remove(connection)
        self._give_place()
        if self._closed is not None and not self._closed.done() and not self._opened():
            self._closed.set_result(None)

    def _give_place(self) -> None:
        waiting = self._next_waiting()
        if waiting is None:
            self._free += 1
        else:
            self._waiting.popleft()
            waiting[1].set_result(None)

    def _drop_longest_idle(self) -> None:
        oldest = min(
            (idle[0] for idle in self._idle.values() if idle), key=lambda one: one.idle_since, default=None
        )
        if oldest is not None:
            self._idle[oldest.origin].remove(oldest)
            oldest.abort()

    def _sweep(self) -> None:
        """Close what has been idle for too long."""
        self._sweeper = None
        now = clock.monotonic()
        ends: list[float] = []
        for origin, idle in list(self._idle.items()):
            while idle and idle[0].idle_since + self._settings.keepalive_seconds <= now:
                idle.pop(0).abort()
            if idle:
                ends.append(idle[0].idle_since + self._settings.keepalive_seconds)
            else:
                del self._idle[origin]
        if ends:
            self._sweeper = clock.call_later(min(ends) - now, self._sweep)

    def _opened(self) -> list[Connection]:
        return [connection for connection in self._open if connection.opened]

    async def aclose(self) -> None:
        """Close every connection, and return when the event loop has done so."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._idle.clear()
        opened = self._opened()
        if opened:
            self._closed = asyncio.get_running_loop().create_future()
            for connection in opened:
                connection.abort()
            await self._closed
