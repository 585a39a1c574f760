"""A gateway on a free port of the loopback, in the test's own event loop, and upstreams that do what a test wants.

async with upstream(handler) as server, gateway(to(server)) as running: ...
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import uvicorn
from uvicorn.server import ServerState

from tests.models.raw_server import Connection, Seen, Server, answer, serve
from tidyllm.config import Routes, Settings
from tidyllm.gateway import Gateway, MasterKey
from tidyllm.gateway.protocol import Bounds, guarded
from tidyllm.models.http import Transport, default_transport

__all__ = [
    "KEY",
    "ONCE",
    "Door",
    "Running",
    "Seen",
    "Server",
    "chunk",
    "each_time",
    "events",
    "exchange",
    "gateway",
    "json_answer",
    "next_answer",
    "offline",
    "open_request",
    "parsed",
    "raw_request",
    "request_bytes",
    "settings",
    "sse",
    "to",
    "until",
    "upstream",
]

KEY = "key-of-the-gateway-tests"
ONCE = {"attempts": 1, "base": 0.0, "cap": 0.0}


def settings(**sections: Any) -> Settings:
    """Settings from plain values, as the file would give them."""
    return msgspec.convert(sections, Settings, str_keys=True)


def to(server: Server, kind: str = "openai", *, model: str = "m", **route: Any) -> Settings:
    """Settings with one route, `fast`, to one upstream."""
    base = f"http://127.0.0.1:{server.port}" + ("" if kind in ("anthropic", "ollama") else "/v1")
    provider = {"kind": kind, "base_url": base, "api_key": "sk-upstream"}
    return settings(
        providers={"main": provider}, models={"fast": {"route": [f"main/{model}"], "retry": ONCE, **route}}
    )


def offline(**sections: Any) -> Settings:
    """Settings whose every model is the offline one."""
    models = {"offline/*": {"route": ["offline/*"], "retry": ONCE}, "sim": {"route": ["offline/simulated"]}}
    return settings(providers={"offline": {"kind": "offline"}}, models=models, **sections)


@dataclass
class Door:
    """Where a gateway listens, and what opens it."""

    port: int
    headers: dict[str, str] = field(default_factory=lambda: {"authorization": f"Bearer {KEY}"}, kw_only=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass
class Running(Door):
    """A gateway that is being served in this process."""

    gateway: Gateway


@asynccontextmanager
async def gateway(
    given: Settings, *, bounds: Bounds | None = None, transport: Transport | None = None
) -> AsyncGenerator[Running]:
    """Serve these settings on real sockets, with uvicorn's protocol as guarded by us, until the end of the block."""
    app = Gateway(Routes(given, transport=transport), authenticate=MasterKey(KEY))
    config = uvicorn.Config(
        app,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        interface="asgi3",
    )
    config.load()
    state = ServerState()
    protocol = guarded(lambda: bounds or Bounds())
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: protocol(config, state, {}), "127.0.0.1", 0, backlog=2048)
    try:
        yield Running(server.sockets[0].getsockname()[1], app)
    finally:
        server.close()
        for connection in list(state.connections):
            transport_of_client = getattr(connection, "transport", None)
            if transport_of_client is not None:
                transport_of_client.abort()
        if state.tasks:
            await asyncio.wait(list(state.tasks), timeout=5)
        await default_transport().aclose()


@asynccontextmanager
async def upstream(handler: Callable[[Connection], Awaitable[None]]) -> AsyncGenerator[Server]:
    """A provider that does what `handler` does with each connection."""
    async with serve(handler) as server:
        yield server


async def until(true: Callable[[], bool]) -> None:
    """Wait until it is true; the test's own time limit ends a wait without end."""
    while not true():
        await asyncio.sleep(0.002)


def each_time(*raw: bytes) -> Callable[[Connection], Awaitable[None]]:
    """Answers in order, the last one for ever; one answer a request."""
    answers = list(raw)

    async def handler(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.write(answers.pop(0) if len(answers) > 1 else answers[0])

    return handler


def json_answer(value: Any, status: str = "200 OK", *headers: str) -> bytes:
    """A whole answer in JSON."""
    return answer(msgspec.json.encode(value), "Content-Type: application/json", *headers, status=status)


def sse(*frames: bytes, end: bool = True) -> bytes:
    """A whole stream; without its end the framing stays open."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(frame), frame) for frame in frames) + (
        b"0\r\n\r\n" if end else b""
    )
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + body


def chunk(
    text: str | None = None, *, finish: str | None = None, usage: dict[str, int] | None = None
) -> bytes:
    """One event of an OpenAI chat stream."""
    delta = {"content": text} if text is not None else {}
    choices = [] if usage else [{"index": 0, "delta": delta, "finish_reason": finish}]
    body = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m-1", "choices": choices}
    return b"data: " + msgspec.json.encode({**body, "usage": usage}) + b"\n\n"


def request_bytes(door: Door, body: bytes, path: str, *, method: str = "POST", **headers: str) -> bytes:
    """One request as it goes over the wire; a header with an empty value is left out."""
    sent = {"host": "test", **door.headers, "content-length": str(len(body))}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items() if value)
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


async def open_request(
    door: Door, body: bytes, path: str = "/v1/chat/completions"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection over which this request was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(request_bytes(door, body, path))
    return reader, writer


async def raw_request(
    door: Door, body: bytes, *, path: str = "/v1/chat/completions", method: str = "POST", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one request, over a socket of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(request_bytes(door, body, path, method=method, connection="close", **headers))
    try:
        raw = await reader.read()
    finally:
        writer.close()
    return parsed(raw)


async def next_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """The next whole answer on a connection that stays open; it says how long it is."""
    status, found, _ = parsed(await reader.readuntil(b"\r\n\r\n"))
    return status, found, await reader.readexactly(int(found.get("content-length", "0")))


async def exchange(door: Door, raw: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send these bytes and read until the server hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(raw)
    try:
        return parsed(await reader.read())
    finally:
        writer.close()


def parsed(raw: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer."""
    head, _, rest = raw.partition(b"\r\n\r\n")
    status, *fields = head.decode("latin-1").split("\r\n")
    found = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in fields)}
    if found.get("transfer-encoding") == "chunked":
        rest = _dechunk(rest)
    return int(status.split()[1]), found, rest


def events(body: bytes) -> list[Any]:
    """The data of each event, decoded where it is JSON."""
    found: list[Any] = []
    for block in body.decode().split("\n\n"):
        data = "\n".join(line[6:] for line in block.split("\n") if line.startswith("data: "))
        if data:
            found.append(data if data == "[DONE]" else msgspec.json.decode(data))
    return found


def _dechunk(raw: bytes) -> bytes:
    whole = b""
    while raw:
        size, _, raw = raw.partition(b"\r\n")
        length = int(size, 16)
        whole += raw[:length]
        raw = raw[length + 2 :]
        if not length:
            break
    return whole
