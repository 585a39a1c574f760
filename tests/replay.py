"""A loopback HTTP/1.1 server that plays recorded answers. It knows framing and cuts, not what it plays.

    with Replay(exchanges("openai_chat")) as server:
        client = OpenAI(base_url=server.url(7, "/v1"), api_key="any")    # plays exchange 7, whatever is asked
        ...
        server.requests[-1].json()["model"]

The server has its own thread and event loop, so sync and async tests use it alike. What to play stands
in the path, `/x/<n>[/cut/<bytes>][/pieces/<bytes>]/...`, or in the headers `x-play`, `x-cut` and `x-pieces`.
"""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import msgspec

__all__ = ["Played", "Replay", "answer_bytes"]

_FRAMING = frozenset({"connection", "content-encoding", "content-length", "date", "transfer-encoding"})


def answer_bytes(exchange: Mapping[str, Any]) -> bytes:
    """The body of a recorded answer as it goes over the wire; JSON compact."""
    if "body_json" in exchange:
        return msgspec.json.encode(exchange["body_json"])
    if "body_b64" in exchange:
        return base64.b64decode(exchange["body_b64"])
    return str(exchange.get("body", "")).encode()


@dataclass(frozen=True)
class Played:
    """One request that reached the server. Header names are lower case; `path` is without the `/x/<n>`."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    number: int
    """Which exchange was asked for; -1 when the request named none."""

    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)


@dataclass
class _Orders:
    """What a request asks of the server."""

    number: int = -1
    cut: int | None = None
    pieces: int | None = None
    path: str = ""

    @classmethod
    def read(cls, path: str, headers: Mapping[str, str]) -> _Orders:
        orders = cls(path=path)
        for name in ("play", "cut", "pieces"):
            if (value := headers.get(f"x-{name}")) is not None:
                orders.take(name, int(value))
        words = path.split("/")[1:]
        while len(words) >= 2 and words[0] in {"x", "cut", "pieces"} and words[1].isdigit():
            orders.take("play" if words[0] == "x" else words[0], int(words[1]))
            words = words[2:]
        orders.path = "/" + "/".join(words)
        return orders

    def take(self, name: str, value: int) -> None:
        if name == "play":
            self.number = value
        elif name == "cut":
            self.cut = value
        else:
            self.pieces = value


@dataclass
class Replay:
    """Plays `exchanges` (dicts of `status`, `headers` and `body_json`, `body` or `body_b64`) inside a block.

    - Event streams and cut answers go out chunked, others with `content-length`. Connections are kept alive.
    - `cut` N: N bytes of the body, then the connection closes without the end of the framing.
    - `pieces` N: a chunk of the framing holds at most N bytes.
    - A request that names no known exchange is answered 599.
    """

    exchanges: Sequence[Mapping[str, Any]]
    requests: list[Played] = field(default_factory=list[Played])
    connections: int = 0
    """How many connections were opened so far."""
    base_url: str = ""
    """`http://127.0.0.1:<port>`, without a slash at its end."""

    def url(self, number: int, path: str = "", *, cut: int | None = None, pieces: int | None = None) -> str:
        """The base URL under which exchange `number` is played; `path` is appended."""
        orders = f"/x/{number}"
        if cut is not None:
            orders += f"/cut/{cut}"
        if pieces is not None:
            orders += f"/pieces/{pieces}"
        return f"{self.base_url}{orders}{path}"

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="replay", daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.base_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # closed transports let go of their sockets in the loop's next turn

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client is gone: its right
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection may be used again."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        fields = (line.partition(":") for line in head[1:] if line)
        headers = {name.strip().lower(): value.strip() for name, _, value in fields}
        body = await _body(reader, headers)
        orders = _Orders.read(path, headers)
        self.requests.append(Played(method, orders.path, headers, body, orders.number))
        exchange: Mapping[str, Any] = {"status": 599, "headers": {}, "body": f"no exchange {orders.number}"}
        if 0 <= orders.number < len(self.exchanges):
            exchange = self.exchanges[orders.number]
        return await _play(exchange, orders, writer)


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if "chunked" in headers.get("transfer-encoding", ""):
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
        return body
    return await reader.readexactly(int(headers.get("content-length", "0")))


async def _play(exchange: Mapping[str, Any], orders: _Orders, writer: asyncio.StreamWriter) -> bool:
    body = answer_bytes(exchange)
    status: int = exchange["status"]
    headers: dict[str, str] = {k.lower(): str(v) for k, v in exchange["headers"].items()}
    streamed = "event-stream" in headers.get("content-type", "") or "body_b64" in exchange
    chunked = streamed or orders.cut is not None or orders.pieces is not None
    phrase = HTTPStatus(status).phrase if status in list(HTTPStatus) else "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items() if name not in _FRAMING]
    lines.append("transfer-encoding: chunked" if chunked else f"content-length: {len(body)}")
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    if not chunked:
        writer.write(body)
        await writer.drain()
        return True
    sent = body if orders.cut is None else body[: orders.cut]
    step = orders.pieces or len(sent) or 1
    for start in range(0, len(sent), step):
        piece = sent[start : start + step]
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()
        await asyncio.sleep(0)
    if orders.cut is not None:
        return False
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True
