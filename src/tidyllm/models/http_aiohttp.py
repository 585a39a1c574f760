"""The transport that can do everything, on aiohttp: TLS, proxies, IPv6. It knows that library, and nobody else does.

Import it only where a call is made: aiohttp takes a tenth of a second to load.
"""

from __future__ import annotations

import io
import os
import ssl
from functools import cached_property, partial
from typing import TYPE_CHECKING

import aiohttp

from tidyllm.errors import ModelError
from tidyllm.models import http_faults as faults
from tidyllm.models.http import HTTPAnswer, HTTPCall
from tidyllm.models.http_settings import HTTPSettings, open_socket, tls_context
from tidyllm.models.http_target import sent_headers, target
from tidyllm.models.per_loop import PerLoop
from tidyllm.models.proxy import Proxies

if TYPE_CHECKING:
    import asyncio

    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

__all__ = ["AiohttpTransport", "harmless", "mapped", "mapped_in_body"]

_WHOLE_BYTES = 1024 * 1024
"""Larger bodies are written in pieces; aiohttp warns of one large write that holds up the event loop."""


class AiohttpTransport:
    """A `Transport`. `settings`: see there for every default and its reason."""

    def __init__(self, settings: HTTPSettings | None = None) -> None:
        self._settings = settings or HTTPSettings()
        self._sessions = PerLoop(partial(_open, self._settings), _close)

    async def send(self, call: HTTPCall) -> HTTPAnswer:
        to = target(call.url)
        headers = sent_headers(call.headers)
        proxy = self._proxies.url_for(to.scheme, to.host, to.port)
        # With neither TLS nor a proxy that may have it there is no certificate to check, so none is loaded.
        context = self._tls if to.scheme == "https" or (proxy or "").startswith("https:") else True
        session = self._sessions.get()
        try:
            answer = await session.request(
                call.method,
                call.url,
                data=io.BytesIO(call.body) if len(call.body) > _WHOLE_BYTES else call.body or None,
                headers=headers,
                allow_redirects=False,
                proxy=proxy,
                ssl=context,
            )
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise mapped(exc, to.where, self._settings.connect_seconds) from harmless(exc)
        received: dict[str, str] = {}
        for written, value in answer.headers.items():
            name = written.lower()
            received[name] = f"{received[name]}, {value}" if name in received else value
        try:
            faults.check_status(to.where, answer.status, received)
            return _Answer(answer, received, to.where, self, self._settings.max_body_bytes)
        except ModelError:
            answer.close()
            raise

    async def aclose(self) -> None:
        await self._sessions.aclose()

    @cached_property
    def _proxies(self) -> Proxies:
        return self._settings.proxies or Proxies.from_environ(os.environ)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return tls_context(self._settings.ca_file)


def _open(settings: HTTPSettings) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=_Connector(
            limit=settings.connections,
            keepalive_timeout=settings.keepalive_seconds,
            socket_factory=open_socket,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,  # `Inflater` bounds what it makes
        max_line_size=settings.max_head_bytes,
        max_field_size=settings.max_head_bytes,
        trust_env=False,  # it would also read ~/.netrc and put a password in place of our key
        timeout=aiohttp.ClientTimeout(
            total=None, connect=None, sock_connect=settings.connect_seconds, sock_read=None
        ),
    )


async def _close(session: aiohttp.ClientSession) -> None:
    await session.close()


class _Connector(aiohttp.TCPConnector):
    """Looks at a kept connection before it is used."""

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            # Bytes that came while nobody was asking: aiohttp would take them for the answer to this call.
            if protocol is None or not protocol.should_close:
                return connection
            connection.close()


class _Answer(HTTPAnswer):
    """An answer that aiohttp holds."""

    __slots__ = ("_answer", "_closed", "_owner", "_received", "_where")

    def __init__(
        self,
        answer: aiohttp.ClientResponse,
        headers: dict[str, str],
        where: str,
        owner: AiohttpTransport,
        max_body_bytes: int,
    ) -> None:
        super().__init__(answer.status, headers, max_body_bytes=max_body_bytes)
        self._answer = answer
        self._owner = owner  # whoever drops the transport may still read the answer
        self._received = 0
        self._where = where
        connection = answer.connection
        protocol = connection.protocol if connection is not None else None
        self._closed = protocol.closed if protocol is not None else None
        if self._closed is not None:
            self._closed.remove_done_callback(_retrieve)
            self._closed.add_done_callback(self._end)

    async def receive(self) -> bytes:
        content = self._answer.content
        try:
            chunk = await content.readany()
        except Exception as exc:  # noqa: BLE001 - the border: whatever aiohttp raises is told in our words
            # What had come before the fault is still in the buffer, and may be half an answer.
            chunk = content._read_nowait(-1)  # pyright: ignore[reportPrivateUsage]
            if not chunk:
                self._let_go()
                raise mapped_in_body(exc, self._where, self._received) from harmless(exc)
        if not chunk:
            self._let_go()
        self._received += len(chunk)
        return chunk

    async def aclose(self) -> None:
        self._let_go()

    def _let_go(self) -> None:
        if self._closed is not None:
            self._closed.remove_done_callback(self._end)
            self._closed.add_done_callback(_retrieve)
            self._closed = None
        self._answer.close()  # does nothing to a connection that went back to the pool

    def _end(self, closed: asyncio.Future[None]) -> None:
        """The connection is closed. aiohttp forgets to tell the reader when a chunk's head was garbage."""
        content = self._answer.content
        cause = _retrieve(closed)
        if not content.is_eof() and content.exception() is None:
            content.set_exception(_Garbage() if cause is None else cause)


def _retrieve(closed: asyncio.Future[None]) -> BaseException | None:
    """What ended the connection. An exception that nobody takes out of a future is logged when it is collected."""
    return None if closed.cancelled() else closed.exception()


class _Garbage(Exception):
    """Ours, to wake the reader."""


def mapped(error: Exception, where: str, connect_seconds: float) -> ModelError:
    """Our error for one that aiohttp raised before the headers were here."""
    match error:
        case aiohttp.ClientHttpProxyError():
            return faults.no_connection(where, f"the proxy refused it ({error.status} {error.message})")
        case aiohttp.ClientProxyConnectionError():
            return faults.no_connection(
                where, f"its proxy {error.host}:{error.port}: {faults.reason(error.os_error)}"
            )
        case aiohttp.ConnectionTimeoutError():
            return faults.no_time(where, connect_seconds)
        case aiohttp.ClientConnectorCertificateError():
            return faults.no_connection(where, error.certificate_error)
        case aiohttp.ClientConnectorError():
            return faults.no_connection(where, error.os_error)
        case aiohttp.ServerDisconnectedError():
            return faults.broken(where)
        case aiohttp.ClientResponseError():
            return faults.malformed(where, " ".join(error.message.split()))
        case aiohttp.ClientPayloadError():
            return faults.cut(where, 0)
        case ValueError():  # also aiohttp.InvalidURL; ours are refused before
            return faults.no_connection(where, error)
        case _:
            return faults.broken(where, error.__cause__ or error)


def mapped_in_body(error: Exception, where: str, received: int) -> ModelError:
    """Our error for one that aiohttp raised while the body came in; `received` bytes of it had come."""
    if isinstance(error, (_Garbage, aiohttp.ClientResponseError)):
        return faults.malformed(where, "the body's chunks are broken")
    return faults.cut(where, received, error if isinstance(error, OSError) else None)


def harmless(error: BaseException) -> BaseException | None:
    """What may stand as the cause of our error: this class of aiohttp's carries the request's headers, keys
    included."""
    return error.__cause__ if isinstance(error, aiohttp.ClientResponseError) else error
