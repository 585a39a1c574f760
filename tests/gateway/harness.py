"""A gateway on a free port of the loopback, in the test's own event loop, and upstreams that do what a test wants.

async with upstream(handler) as server, gateway(to(server)) as url: ...
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import uvicorn

from tests.models.raw_server import Connection, Seen, Server, answer, serve
from tidyllm.config import Routes, Settings
from tidyllm.gateway import Gateway, MasterKey
from tidyllm.gateway.protocol import guarded
from tidyllm.models.http import default_transport

__all__ = [
    "KEY",
    "Running",
    "Seen",
    "Server",
    "chunk",
    "each_time",
    "events",
    "gateway",
    "json_answer",
    "offline",
    "raw_request",
    "settings",
    "sse",
    "to",
    "upstream",
]

KEY = "key-of-the-gateway-tests"
FAST = {"attempts": 1, "base": 0.0, "cap": 0.0}


def settings(**sections: Any) -> Settings:
    """Settings from plain values, as the file would give them."""
    return msgspec.convert(sections, Settings, str_keys=True)


def to(server: Server, kind: str = "openai", *, model: str = "m", **route: Any) -> Settings:
    """Settings with one route, `fast`, to one upstream."""
    base = f"http://127.0.0.1:{server.port}" + ("" if kind in ("anthropic", "ollama") else "/v1")
    provider = {"kind": kind, "base_url": base, "api_key": "sk-upstream"}
    return settings(
        providers={"main": provider}, models={"fast": {"route": [f"main/{model}"], "retry": FAST, **route}}
    )


def offline(**sections: Any) -> Settings:
    """Settings whose every model is the offline one."""
    models = {"offline/*": {"route": ["offline/*"], "retry": FAST}, "sim": {"route": ["offline/simulated"]}}
    return settings(providers={"offline": {"kind": "offline"}}, models=models, **sections)


@dataclass
class Running:
    """A gateway that is being served."""

    url: str
    port: int
    gateway: Gateway
    headers: dict[str, str] = field(default_factory=lambda: {"authorization": f"Bearer {KEY}"})


@asynccontextmanager
async def gateway(given: Settings, *, header_timeout: float = 10.0) -> AsyncGenerator[Running]:
    """Serve these settings on real sockets until the end of the block."""
    app = Gateway(Routes(given), authenticate=MasterKey(KEY))
    config = uvicorn.Config(
        app,
        port=0,
        http=guarded(header_timeout),
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
    server = _Quiet(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Running(f"http://127.0.0.1:{port}", port, app)
    finally:
        server.should_exit = server.force_exit = True
        await task
        await default_transport().aclose()


class _Quiet(uvicorn.Server):
    """uvicorn's server without signal handlers: the process is pytest's."""

    async def serve(self, sockets: Any = None) -> None:
        await self._serve(sockets)


@asynccontextmanager
async def upstream(handler: Callable[[Connection], Awaitable[None]]) -> AsyncGenerator[Server]:
    """A provider that does what `handler` does with each connection."""
    async with serve(handler) as server:
        yield server


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
    body = b"".join(b"%x\r\n%s\r\n" % (len(frame), frame) for frame in frames) + (b"0\r\n\r\n" if end else b"")
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + body


def chunk(text: str | None = None, *, finish: str | None = None, usage: dict[str, int] | None = None) -> bytes:
    """One event of an OpenAI chat stream."""
    delta = {"content": text} if text is not None else {}
    choices = [] if usage else [{"index": 0, "delta": delta, "finish_reason": finish}]
    body = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m-1", "choices": choices}
    return b"data: " + msgspec.json.encode({**body, "usage": usage}) + b"\n\n"


async def raw_request(
    running: Running, body: bytes, *, path: str = "/v1/chat/completions", method: str = "POST", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one request, over a socket of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    sent = {"host": "test", **running.headers, "content-length": str(len(body)), "connection": "close"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items() if value)
    writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
    try:
        raw = await reader.read()
    finally:
        writer.close()
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
