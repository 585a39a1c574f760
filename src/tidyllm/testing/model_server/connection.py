"""One client's connection in HTTP/1.1: requests read, answers written, faults made. It knows nothing of models."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import msgspec

__all__ = ["Connection", "HTTPRequest"]

_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    429: "Too Many Requests",
    503: "Service Unavailable",
}


class HTTPRequest(msgspec.Struct, frozen=True):
    """One request. Header names are lower case; the path has no query."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Connection:
    """Keeps the connection open between requests, until the client leaves or a fault ends it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def request(self) -> HTTPRequest:
        """The next request, whole.

        :raises EOFError: the client has left. (`IncompleteReadError` is one.)
        :raises ValueError: what came is no HTTP.
        """
        head = await self._reader.readuntil(b"\r\n\r\n")
        line, *rest = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, target, _ = line.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest)}
        if headers.get("expect", "").lower() == "100-continue":
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = await self._chunks()
        else:
            body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        return HTTPRequest(method, target.partition("?")[0], headers, body)

    async def _chunks(self) -> bytes:
        found: list[bytes] = []
        while size := int((await self._reader.readline()).partition(b";")[0], 16):
            found.append(await self._reader.readexactly(size))
            await self._reader.readline()
        while (await self._reader.readline()).strip():
            pass  # trailers
        return b"".join(found)

    async def answer(
        self, body: dict[str, Any] | bytes, *, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        """A whole answer."""
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
        self.head(
            status, {"content-type": "application/json", **(headers or {}), "content-length": str(len(raw))}
        )
        self._writer.write(raw)
        await self._writer.drain()

    def head(self, status: int, headers: dict[str, str]) -> None:
        """The first lines of an answer."""
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Answer')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def chunk(self, raw: bytes) -> None:
        """A piece of an answer whose head said `transfer-encoding: chunked`; an empty one ends it."""
        self._writer.write(f"{len(raw):x}\r\n".encode() + raw + b"\r\n")
        await self._writer.drain()

    async def raw(self, raw: bytes) -> None:
        """Bytes as they are."""
        self._writer.write(raw)
        await self._writer.drain()

    async def left(self) -> None:
        """Return when the client has left; what it sends meanwhile is thrown away."""
        while await self._reader.read(65_536):
            pass

    def reset(self) -> None:
        """Break the connection as a machine does that dies: no goodbye, the client sees a reset."""
        sock: socket.socket | None = self._writer.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def close(self) -> None:
        """End the connection."""
        self._writer.close()
