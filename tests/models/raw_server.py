"""An HTTP server that writes exactly the bytes a test wants, for faults no real server would produce on demand.

async def handler(connection: Connection) -> None:
    await connection.request()
    await connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")     # and hangs up

async with serve(handler) as server:
    ...server.url, server.requests...
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

__all__ = ["OK", "Connection", "Seen", "Server", "answer", "each", "serve"]


@dataclass(frozen=True)
class Seen:
    """One request. Header names are lower case."""

    line: str
    headers: dict[str, str]
    body: bytes
    connection: int
    """Number of the connection it came over, from 1."""


@dataclass
class Server:
    """What a test asks of its server."""

    port: int = 0
    scheme: str = "http"
    requests: list[Seen] = field(default_factory=list[Seen])
    connections: int = 0
    left: int = 0
    """How many clients have hung up while the server still had the connection open."""
    faults: list[BaseException] = field(default_factory=list[BaseException])

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/v1/chat"


@dataclass
class Connection:
    """One client."""

    server: Server
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int

    async def head(self) -> tuple[str, dict[str, str]]:
        """The next request up to its body. :raises EOFError: the client has hung up."""
        try:
            raw = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError) as exc:
            self.server.left += 1
            raise EOFError from exc
        line, *rest = raw.decode().rstrip("\r\n").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (item.partition(":") for item in rest)}
        return line, headers

    async def request(self) -> Seen:
        """The next request, whole. :raises EOFError: the client has hung up."""
        line, headers = await self.head()
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        seen = Seen(line, headers, body, self.number)
        self.server.requests.append(seen)
        return seen

    async def write(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    async def left(self) -> None:
        """Return when the client has hung up."""
        try:
            await self.reader.read()
        except ConnectionError:
            pass
        self.server.left += 1

    def reset(self) -> None:
        """Hang up without a goodbye."""
        self.writer.transport.abort()


Handler = Callable[[Connection], Awaitable[None]]


@asynccontextmanager
async def serve(handler: Handler, *, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Server]:
    """A server on the loopback; `handler` has one connection, which is closed when it returns."""
    server = Server(scheme="https" if tls else "http")
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(Connection(server, reader, writer, server.connections))
        except (EOFError, ConnectionError, asyncio.CancelledError):
            pass
        except BaseException as exc:
            server.faults.append(exc)
            raise
        finally:
            tasks.discard(task)
            writer.close()

    listening = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(list(tasks))
        assert not server.faults


def answer(body: bytes = b"{}", *headers: str, status: str = "200 OK") -> bytes:
    """A whole answer with a content-length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


OK = answer()


def each(raw: bytes) -> Handler:
    """Answers every request of a connection with the same bytes."""

    async def handler(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.write(raw)

    return handler
