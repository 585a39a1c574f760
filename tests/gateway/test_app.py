"""The gateway as an ASGI application: under any server, with faults that nobody foresaw, and with its own doors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from tests.gateway.harness import (
    KEY,
    ONCE,
    each_time,
    json_answer,
    offline,
    settings,
    to,
    until,
    upstream,
)
from tests.gateway.harness import chunk as event
from tests.gateway.inside import Answered, call
from tidyllm.config import Routes
from tidyllm.gateway import Gateway, MasterKey
from tidyllm.gateway.asgi import Headers
from tidyllm.gateway.traffic import Traffic
from tidyllm.models.http import HTTPAnswer, HTTPCall, Transport

CHAT = {"model": "sim", "messages": [{"role": "user", "content": "Hi"}]}
PATHS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {},
    "/v1/responses": {"input": "Hi"},
    "/v1/messages": {"max_tokens": 50},
}


def ask(model: str, **fields: Any) -> bytes:
    question = {} if "input" in fields else {"messages": CHAT["messages"]}
    return msgspec.json.encode({"model": model, **question, **fields})


def over(transport: Transport) -> Gateway:
    """A gateway whose model `fast` is called through this transport."""
    main = {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "api_key": "k"}
    given = settings(providers={"main": main}, models={"fast": {"route": ["main/m"], "retry": ONCE}})
    return Gateway(Routes(given, transport=transport), authenticate=MasterKey(KEY))


# -- under any server


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_who_leaves_is_noticed_under_any_asgi_server(stream: bool) -> None:
    app, gone = Gateway(Routes(offline()), authenticate=MasterKey(KEY)), asyncio.Event()
    calling = asyncio.create_task(call(app, ask("offline/stall", stream=stream), gone=gone))
    await until(lambda: app.traffic.running == 1)
    await asyncio.sleep(0.02)
    gone.set()
    answered = await calling
    assert app.traffic.running == 0
    assert "error" not in answered.body.decode()
    assert answered.status == (200 if stream else 0)


async def test_whoever_cancels_the_server_cancels_the_answer() -> None:
    app = Gateway(Routes(offline()), authenticate=MasterKey(KEY))
    calling = asyncio.create_task(call(app, ask("offline/stall")))
    await until(lambda: app.traffic.running == 1)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_cut_off_by_a_stopping_server_says_so(path: str, stream: bool) -> None:
    app = Gateway(Routes(offline()), authenticate=MasterKey(KEY))
    calling = asyncio.create_task(call(app, ask("offline/stall", stream=stream, **PATHS[path]), path))
    await until(lambda: app.traffic.running == 1)
    await asyncio.sleep(0.02)
    app.draining = True
    calling.cancel()
    answered = await calling
    assert answered.status == (200 if stream else 503)
    assert "stopping" in answered.body.decode()


async def test_without_keys_everybody_may_call() -> None:
    answered = await call(Gateway(Routes(offline())), ask("sim"), authorization="")
    assert answered.status == 200


async def test_other_protocols_are_refused() -> None:
    app = Gateway(Routes(offline()))

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    with pytest.raises(RuntimeError, match="HTTP only"):
        await app({"type": "websocket"}, nothing, nothing)


async def test_the_end_of_the_server_closes_the_connections_to_providers() -> None:
    good = {"id": "1", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}]}
    async with upstream(each_time(json_answer(good))) as server:
        app = Gateway(Routes(to(server)), authenticate=MasterKey(KEY))
        messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        said: list[str] = []

        async def receive() -> dict[str, Any]:
            if len(messages) == 1:
                assert (await call(app, ask("fast"))).status == 200
                assert server.left == 0
            return messages.pop(0)

        async def send(message: Any) -> None:
            said.append(message["type"])

        await app({"type": "lifespan"}, receive, send)
        assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        await until(lambda: server.left == 1)


def test_headers_are_a_mapping_with_the_last_of_a_repeated_name() -> None:
    headers = Headers([(b"a", b"1"), (b"b", b"\xfc"), (b"a", b"2")])
    assert dict(headers) == {"a": "2", "b": "ü"}
    assert (len(headers), headers["a"], headers.get("c"), headers.get("c", "x")) == (2, "2", None, "x")
    assert "a" in headers
    assert "ü" not in headers
    assert (headers.joined("a"), headers.joined("c")) == ("1, 2", None)


# -- faults


class Fails:
    """A transport that fails as no transport should: at once, or in the middle of a stream."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks

    async def send(self, call: HTTPCall) -> HTTPAnswer:
        if not self.chunks:
            raise ValueError("nobody foresaw this")
        return _Breaking(self.chunks)

    async def aclose(self) -> None:
        """Nothing is open."""


class _Breaking(HTTPAnswer):
    def __init__(self, chunks: tuple[bytes, ...]) -> None:
        super().__init__(200, {"content-type": "text/event-stream"})
        self._source = self._all(chunks)

    async def _all(self, chunks: tuple[bytes, ...]) -> AsyncIterator[bytes]:
        for one in chunks:
            yield one
        raise ValueError("nobody foresaw this")

    async def receive(self) -> bytes:
        return await anext(self._source)

    async def aclose(self) -> None:
        """Nothing is open."""


def error_of(answered: Answered) -> dict[str, Any]:
    return answered.json()["error"]


@pytest.mark.parametrize("path", PATHS)
async def test_a_fault_that_nobody_foresaw_is_500_and_its_reason_is_in_the_log(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    answered = await call(over(Fails()), ask("fast", **PATHS[path]), path)
    assert answered.status == 500
    assert answered.headers["x-request-id"] in error_of(answered)["message"]
    assert "nobody foresaw" not in answered.body.decode()
    assert "nobody foresaw this" in caplog.text
    assert answered.headers["x-request-id"] in caplog.text


@pytest.mark.parametrize("path", PATHS)
async def test_a_fault_that_nobody_foresaw_in_mid_stream_is_an_error_event(path: str) -> None:
    app = over(Fails(event("Hello"), event(" you")))
    answered = await call(app, ask("fast", stream=True, **PATHS[path]), path)
    said = answered.body.decode()
    assert answered.status == 200
    assert "Hello" in said
    assert '"error"' in said
    assert not any(end in said for end in ("[DONE]", "message_stop", "response.completed"))


@pytest.mark.parametrize("path", PATHS)
async def test_a_wrong_setting_that_only_a_call_can_show_is_not_the_callers_fault(path: str) -> None:
    kind = "api_error" if path == "/v1/messages" else "server_error"
    main = {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "api_key": "k", "headers": {"x-a": "b"}}
    given = settings(providers={"main": main}, models={"fast": {"route": ["main/m"], "retry": ONCE}})
    app = Gateway(Routes(given), authenticate=MasterKey(KEY))
    app.routes.providers["main"].headers["x-a"] = "\n"  # type: ignore[index]
    for stream in (False, True):
        answered = await call(app, ask("fast", stream=stream, **PATHS[path]), path)
        assert (answered.status, error_of(answered)["type"]) == (500, kind)
        assert "header" in error_of(answered)["message"]


async def test_a_number_that_no_number_can_hold_is_refused_where_it_must_be_read() -> None:
    main = {"kind": "anthropic", "base_url": "http://127.0.0.1:9", "api_key": "k"}
    given = settings(providers={"main": main}, models={"fast": {"route": ["main/m"], "retry": ONCE}})
    answered = await call(Gateway(Routes(given)), ask("fast").replace(b"{", b'{"seed":1e999,', 1))
    assert answered.status == 400
    assert error_of(answered)["param"] == "seed"


# -- metrics


class Slow:
    """Metrics whose page takes until it is told to end."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.requests: list[tuple[str, int]] = []
        self.running = 0

    def request(self, path: str, status: int, seconds: float) -> None:
        self.requests.append((path, status))

    def in_flight(self, change: int) -> None:
        self.running += change

    def limits_degraded(self, degraded: bool) -> None: ...

    def arm_stopped(self, experiment: str, arm: str) -> None: ...

    def exposition(self) -> tuple[str, bytes]:
        assert self.go_on.wait(10)
        return "text/plain", b"metrics 1\n"


async def get(app: Gateway, path: str, *headers: tuple[bytes, bytes]) -> Answered:
    answered = Answered(0, {}, b"")

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        answered.status = message.get("status", answered.status)
        answered.body += message.get("body", b"")

    await app({"type": "http", "method": "GET", "path": path, "headers": list(headers)}, receive, send)
    return answered


async def test_a_page_of_metrics_that_takes_long_does_not_stop_the_gateway() -> None:
    slow = Slow()
    app = Gateway(Routes(offline()), traffic=Traffic(slow), open_metrics=True)
    page = asyncio.create_task(get(app, "/metrics"))
    await asyncio.sleep(0.01)
    assert (await call(app, ask("sim"))).status == 200
    assert (await get(app, "/livez")).status == 200
    assert not page.done()
    slow.go_on.set()
    assert (await page).body == b"metrics 1\n"


async def test_requests_are_counted_by_path_and_status() -> None:
    slow = Slow()
    app = Gateway(Routes(offline()), traffic=Traffic(slow))
    await call(app, ask("sim"))
    await call(app, b"[]")
    await call(app, ask("offline/cut", stream=True))
    await get(app, "/v1/messages")
    await get(app, "/nothing/" + "x" * 50)
    chat = "/v1/chat/completions"
    assert slow.requests == [(chat, 200), (chat, 400), (chat, 502), ("/v1/messages", 405), ("other", 404)]
    assert slow.running == 0


async def test_without_metrics_their_page_is_empty() -> None:
    answered = await get(Gateway(Routes(offline()), open_metrics=True), "/metrics")
    assert (answered.status, answered.body) == (200, b"")


@pytest.mark.parametrize("header", [b"x-forwarded-for", b"forwarded", b"x-real-ip", b"via"])
async def test_who_comes_through_a_proxy_needs_the_key_for_the_metrics(header: bytes) -> None:
    """A proxy on the same machine reaches the loopback for everybody."""
    app = Gateway(Routes(offline()), authenticate=MasterKey(KEY), open_metrics=True)
    assert (await get(app, "/metrics")).status == 200
    proxied = (header, b"203.0.113.7")
    assert (await get(app, "/metrics", proxied)).status == 401
    key = (b"authorization", f"Bearer {KEY}".encode())
    assert (await get(app, "/metrics", proxied, key)).status == 200


async def test_a_draining_gateway_is_alive_and_not_ready() -> None:
    app = Gateway(Routes(offline()))
    assert (await get(app, "/readyz")).status == 200
    app.draining = True
    assert (await get(app, "/readyz")).status == 503
    assert (await get(app, "/livez")).status == 200
    refused = await call(app, ask("sim", max_tokens=5), "/v1/messages")
    assert (refused.status, error_of(refused)["type"]) == (503, "overloaded_error")
