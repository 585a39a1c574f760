"""What a provider can do wrong, and what the caller hears of it: in his own format, with the right status."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from tests.gateway.harness import (
    chunk,
    each_time,
    events,
    gateway,
    json_answer,
    raw_request,
    settings,
    sse,
    to,
    until,
    upstream,
)
from tests.models.raw_server import Connection

CHAT = {"model": "fast", "messages": [{"role": "user", "content": "Hi"}]}
ASK = msgspec.json.encode(CHAT)
STREAM = msgspec.json.encode({**CHAT, "stream": True})
MESSAGES = msgspec.json.encode({**CHAT, "max_tokens": 10})
RESPONSES = msgspec.json.encode({"model": "fast", "input": "Hi"})
GOOD: dict[str, Any] = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m-1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}


def error_of(answer: bytes) -> dict[str, Any]:
    return msgspec.json.decode(answer)["error"]


async def test_an_upstream_that_refuses_the_connection_is_502() -> None:
    async with upstream(each_time(json_answer(GOOD))) as server:
        given = to(server)
    async with gateway(given) as running:
        status, _, answer = await raw_request(running, ASK)
        assert status == 502
        assert "main/m" in error_of(answer)["message"]


async def test_an_upstream_that_is_too_slow_is_504() -> None:
    async def silent(connection: Connection) -> None:
        await connection.request()
        await connection.left()

    async with upstream(silent) as server, gateway(to(server, timeout={"total": 0.2})) as running:
        status, _, answer = await raw_request(running, ASK)
        assert status == 504
        assert "0.2 s" in error_of(answer)["message"]
        await until(lambda: server.left == 1)


@pytest.mark.parametrize("status_line", ["429 Too Many Requests", "529 Overloaded"])
async def test_a_provider_that_stays_busy_is_429_with_retry_after(status_line: str) -> None:
    busy = json_answer({"error": {"message": "slow down"}}, status_line, "Retry-After: 0.01")
    retry = {"attempts": 3, "base": 0.0, "cap": 0.0}
    async with upstream(each_time(busy)) as server, gateway(to(server, retry=retry)) as running:
        status, headers, answer = await raw_request(running, ASK)
        assert status == 429
        assert headers["retry-after"] == "1"
        assert headers["x-tidyllm-attempts"] == "3"
        assert len(server.requests) == 3
        assert "slow down" in error_of(answer)["message"]


async def test_429_429_200_is_three_requests_and_one_answer() -> None:
    busy = json_answer({"error": {"message": "slow down"}}, "429 Too Many Requests", "Retry-After: 0")
    retry = {"attempts": 3, "base": 0.0, "cap": 0.0}
    async with (
        upstream(each_time(busy, busy, json_answer(GOOD))) as server,
        gateway(to(server, retry=retry)) as running,
    ):
        status, headers, _ = await raw_request(running, ASK)
        assert status == 200
        assert (headers["x-tidyllm-attempts"], headers["x-tidyllm-model"]) == ("3", "main/m")
        assert len(server.requests) == 3


@pytest.mark.parametrize("garbage", [b"<html>oops</html>", b"[]", b'{"id":', b"", b"null"])
@pytest.mark.parametrize(("path", "body"), [("/v1/chat/completions", ASK), ("/v1/messages", MESSAGES)])
async def test_garbage_from_upstream_is_502(garbage: bytes, path: str, body: bytes) -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(garbage), garbage)
    async with upstream(each_time(raw)) as server, gateway(to(server)) as running:
        status, _, answer = await raw_request(running, body, path=path)
        assert status == 502, answer


async def test_our_own_key_refused_upstream_is_not_the_callers_fault() -> None:
    refused = json_answer({"error": {"message": "Incorrect API key sk-upstream"}}, "401 Unauthorized")
    async with upstream(each_time(refused)) as server, gateway(to(server)) as running:
        status, _, answer = await raw_request(running, ASK)
        assert status == 502
        assert "gateway's key" in error_of(answer)["message"]
        assert "sk-upstream" not in answer.decode()


async def test_a_bad_request_upstream_stays_a_bad_request_and_is_not_tried_again() -> None:
    refused = json_answer(
        {"error": {"message": "no such field", "param": "foo", "code": "x"}}, "400 Bad Request"
    )
    retry = {"attempts": 3, "base": 0.0, "cap": 0.0}
    async with upstream(each_time(refused)) as server, gateway(to(server, retry=retry)) as running:
        status, _, answer = await raw_request(running, ASK)
        assert status == 400
        assert error_of(answer)["param"] == "foo"
        assert len(server.requests) == 1


def frame(kind: str, **fields: Any) -> bytes:
    """One event of an Anthropic stream."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode({"type": kind, **fields}))


def cut(*frames: bytes) -> Any:
    async def handler(connection: Connection) -> None:
        await connection.request()
        await connection.write(sse(*frames, end=False))
        connection.reset()

    return handler


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", STREAM),
        ("/v1/messages", msgspec.json.encode({**CHAT, "max_tokens": 10, "stream": True})),
        ("/v1/responses", msgspec.json.encode({"model": "fast", "input": "Hi", "stream": True})),
    ],
)
async def test_a_cut_in_mid_stream_is_an_error_event_without_an_end_marker(path: str, body: bytes) -> None:
    async with upstream(cut(chunk("Hel"), chunk("lo"))) as server, gateway(to(server)) as running:
        status, _, answer = await raw_request(running, body, path=path)
        text = answer.decode()
        assert status == 200
        assert "Hel" in text
        assert "error" in text
        assert "[DONE]" not in text
        assert "message_stop" not in text
        assert "response.completed" not in text


async def test_an_error_event_names_the_request_as_the_header_does_whoever_failed() -> None:
    start: dict[str, Any] = {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "usage": {},
    }
    block = {"type": "text", "text": "Hel"}
    begin = frame("message_start", message=start) + frame("content_block_start", index=0, content_block=block)
    failed = frame("error", error={"type": "api_error", "message": "gone"}, request_id="req_of_the_provider")
    body = msgspec.json.encode({**CHAT, "max_tokens": 10, "stream": True})
    same, cross = each_time(sse(begin, failed)), cut(chunk("Hel"))
    for handler, kind in ((same, "anthropic"), (cross, "openai")):
        async with upstream(handler) as server, gateway(to(server, kind)) as running:
            _, headers, answer = await raw_request(running, body, path="/v1/messages")
            event = events(answer)[-1]
            assert event["type"] == "error"
            assert event["request_id"] == headers["request-id"]


async def test_a_cut_before_the_first_piece_is_a_plain_error() -> None:
    async with upstream(cut()) as server, gateway(to(server)) as running:
        status, _, answer = await raw_request(running, STREAM)
        assert status == 502
        assert error_of(answer)["message"]


async def test_a_stall_in_mid_stream_ends_with_an_error_event() -> None:
    async def stalls(connection: Connection) -> None:
        await connection.request()
        await connection.write(sse(chunk("Hel"), end=False))
        await connection.left()

    async with upstream(stalls) as server, gateway(to(server, timeout={"gap": 0.2})) as running:
        status, _, answer = await raw_request(running, STREAM)
        assert status == 200
        assert "gap" in events(answer)[-1]["error"]["message"]


async def test_an_error_event_in_the_stream_falls_back_when_nothing_was_sent() -> None:
    failing = b'data: {"error": {"message": "overloaded", "type": "server_error", "code": "overloaded"}}\n\n'
    good = sse(chunk("Hello"), chunk(finish="stop"), b"data: [DONE]\n\n")
    async with upstream(each_time(sse(failing))) as first, upstream(each_time(good)) as second:
        providers = {
            name: {"kind": "openai", "base_url": f"http://127.0.0.1:{server.port}/v1", "api_key": "k"}
            for name, server in (("one", first), ("two", second))
        }
        route = {"route": ["one/m", "two/m"], "retry": {"attempts": 1}}
        async with gateway(settings(providers=providers, models={"fast": route})) as running:
            status, headers, answer = await raw_request(running, STREAM)
            assert status == 200
            assert headers["x-tidyllm-model"] == "two/m"
            assert events(answer)[-1] == "[DONE]"


async def test_a_client_that_leaves_stops_the_upstream_within_a_second() -> None:
    left = asyncio.Event()

    async def endless(connection: Connection) -> None:
        await connection.request()
        await connection.write(sse(chunk("Hel"), end=False))
        await connection.left()
        left.set()

    async with upstream(endless) as server, gateway(to(server)) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        auth = running.headers["authorization"]
        writer.write(
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\nauthorization: {auth}\r\n"
            f"content-length: {len(STREAM)}\r\n\r\n".encode()
            + STREAM
        )
        assert b"Hel" in await reader.readuntil(b"Hel")
        writer.close()
        await asyncio.wait_for(left.wait(), 1.0)
        assert server.left == 1


async def test_200_aborted_streams_leave_nothing_behind() -> None:
    gone = 0

    async def endless(connection: Connection) -> None:
        nonlocal gone
        seen = await connection.request()
        if b'"stream"' not in seen.body:
            await connection.write(json_answer(GOOD))
            return
        await connection.write(sse(chunk("Hel"), end=False))
        await connection.left()
        gone += 1

    async with upstream(endless) as server, gateway(to(server)) as running:
        auth = running.headers["authorization"]

        async def abort() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(
                f"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\nauthorization: {auth}\r\n"
                f"content-length: {len(STREAM)}\r\n\r\n".encode()
                + STREAM
            )
            await reader.readuntil(b"Hel")
            writer.transport.abort()

        await asyncio.gather(*(abort() for _ in range(200)))
        while gone < 200:
            await asyncio.sleep(0.01)
        assert running.gateway.traffic.running == 0
        status, _, _ = await raw_request(running, ASK)
        assert status == 200
        assert len(server.requests) == 201


async def test_the_second_piece_is_sent_only_after_the_client_had_the_first() -> None:
    acknowledged = asyncio.Event()

    async def one_by_one(connection: Connection) -> None:
        await connection.request()
        await connection.write(sse(chunk("first"), end=False))
        await acknowledged.wait()
        rest = (chunk("second"), chunk(finish="stop"), b"data: [DONE]\n\n")
        await connection.write(sse(*rest).partition(b"\r\n\r\n")[2])

    for body, path in ((STREAM, "/v1/chat/completions"), (_anthropic(), "/v1/messages")):
        acknowledged.clear()
        async with upstream(one_by_one) as server, gateway(to(server)) as running:
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            auth = running.headers["authorization"]
            writer.write(
                f"POST {path} HTTP/1.1\r\nhost: t\r\nauthorization: {auth}\r\nconnection: close\r\n"
                f"content-length: {len(body)}\r\n\r\n".encode()
                + body
            )
            await asyncio.wait_for(reader.readuntil(b"first"), 5)
            acknowledged.set()
            assert b"second" in await reader.read()
            writer.close()


def _anthropic() -> bytes:
    return msgspec.json.encode({**CHAT, "max_tokens": 10, "stream": True})


async def test_an_open_breaker_answers_503_without_asking_upstream() -> None:
    failing = json_answer({"error": {"message": "boom"}}, "500 Internal Server Error")
    breaker = {"failures": 2, "window": 30, "cooldown": 60}
    given_model = "breaker-test"
    async with (
        upstream(each_time(failing)) as server,
        gateway(to(server, model=given_model, breaker=breaker)) as running,
    ):
        for _ in range(2):
            assert (await raw_request(running, ASK))[0] == 502
        status, headers, answer = await raw_request(running, ASK)
        assert status == 503
        assert int(headers["retry-after"]) >= 1
        assert "circuit breaker" in error_of(answer)["message"]
        assert len(server.requests) == 2
