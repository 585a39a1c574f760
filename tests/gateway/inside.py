"""A gateway called without a socket, as any ASGI server would call it, for tests that call it thousands of times."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec

from tests.gateway.harness import KEY, ONCE, settings
from tidyllm.config import Routes
from tidyllm.gateway import Gateway, MasterKey
from tidyllm.models.formats import wire_format
from tidyllm.models.http import HTTPAnswer, HTTPCall
from tidyllm.models.message import Text
from tidyllm.models.response import Response, Usage

__all__ = ["Answered", "Canned", "call", "in_front_of"]


class Answered(msgspec.Struct):
    """An answer, whole."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


async def call(
    app: Gateway,
    body: bytes,
    path: str = "/v1/chat/completions",
    *,
    gone: asyncio.Event | None = None,
    **headers: str,
) -> Answered:
    """Send one request, with the key. The client hangs up when `gone` is set."""
    sent = {
        "authorization": f"Bearer {KEY}",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
    }
    requests = [{"type": "http.request", "body": body, "more_body": False}]
    answered = Answered(0, {}, b"")

    async def receive() -> dict[str, Any]:
        if requests:
            return requests.pop()
        await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answered.status = message["status"]
            answered.headers = {name.decode(): value.decode("latin-1") for name, value in message["headers"]}
        else:
            answered.body += message.get("body", b"")

    await app(scope, receive, send)
    return answered


ANSWER = Response(
    content=(Text(text="Good."),),
    finish_reason="stop",
    usage=Usage(input_tokens=3, output_tokens=1),
    model="m",
    id="a1",
)


class _Bytes(HTTPAnswer):
    def __init__(self, body: bytes, kind: str) -> None:
        super().__init__(200, {"content-type": kind})
        self._body: AsyncIterator[bytes] = _once(body)

    async def receive(self) -> bytes:
        return await anext(self._body, b"")

    async def aclose(self) -> None:
        """Nothing is open."""


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


class Canned:
    """A transport behind which every provider gives the same answer, in its own format, whole."""

    async def send(self, call: HTTPCall) -> HTTPAnswer:
        body: dict[str, Any] = msgspec.json.decode(call.body)
        if call.url.endswith("/embeddings"):
            return _Bytes(b'{"object":"list","data":[],"model":"m"}', "application/json")
        if call.url.endswith("/count_tokens"):
            return _Bytes(b'{"input_tokens":3}', "application/json")
        if call.url.endswith("/api/chat"):
            said = {
                "model": "m",
                "message": {"role": "assistant", "content": "Good."},
                "done": True,
                "done_reason": "stop",
            }
            return _Bytes(msgspec.json.encode(said) + b"\n", "application/x-ndjson")
        ends = {
            "/chat/completions": "openai_chat",
            "/responses": "openai_responses",
            "/messages": "anthropic",
        }
        wire = wire_format(next(format for end, format in ends.items() if call.url.endswith(end)))
        assert "model" in body
        return _Bytes(msgspec.json.encode(wire.encode_response(ANSWER)), "application/json")

    async def aclose(self) -> None:
        """Nothing is open."""


def in_front_of(kind: str) -> Gateway:
    """A gateway whose model `m` is served by such a provider; `offline` simulates, the others give a canned answer."""
    main: dict[str, Any] = {"kind": kind}
    if kind != "offline":
        main |= {"base_url": "http://127.0.0.1:9", "api_key": "k"}
    given = settings(providers={"main": main}, models={"m": {"route": ["main/m"], "retry": ONCE}})
    routes = Routes(given, transport=None if kind == "offline" else Canned())
    return Gateway(routes, authenticate=MasterKey(KEY))
