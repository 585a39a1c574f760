"""What clients do with HTTP itself, over sockets: framing, halves of requests, upgrades, and slow clients."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket

import msgspec
import pytest

from tests.gateway.harness import (
    KEY,
    Running,
    chunk,
    each_time,
    exchange,
    gateway,
    json_answer,
    next_answer,
    offline,
    open_request,
    parsed,
    raw_request,
    request_bytes,
    sse,
    to,
    until,
    upstream,
)
from tests.models.raw_server import Connection
from tidyllm.gateway.protocol import MAX_HEAD_BYTES, Bounds

CHAT = {"model": "sim", "messages": [{"role": "user", "content": "Hi"}]}
ASK = msgspec.json.encode(CHAT)
STREAM = msgspec.json.encode({**CHAT, "model": "fast", "stream": True})
LINE = b"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\nauthorization: Bearer " + KEY.encode() + b"\r\n"
LENGTH = b"content-length: %d\r\n\r\n" % len(ASK)
CLOSE = b"connection: close\r\n"


def chunked(body: bytes, size: int) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


# -- framing


async def test_a_body_in_chunks_is_read() -> None:
    async with gateway(offline()) as running:
        raw = LINE + CLOSE + b"transfer-encoding: chunked\r\n\r\n" + chunked(ASK, 7)
        status, _, _ = await exchange(running, raw)
        assert status == 200


async def test_a_body_in_chunks_above_the_limit_is_refused_before_its_end() -> None:
    async with gateway(offline(server={"max_body_mb": 0.001})) as running:
        endless = chunked(b"x" * 5_000, 500).removesuffix(b"0\r\n\r\n")
        status, headers, answer = await exchange(
            running, LINE + b"transfer-encoding: chunked\r\n\r\n" + endless
        )
        assert (status, headers["connection"]) == (413, "close")
        assert "1,000" in msgspec.json.decode(answer)["error"]["message"]


async def test_a_client_that_sends_on_after_413_gets_the_answer_and_no_reset() -> None:
    async with gateway(offline(server={"max_body_mb": 0.001})) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(LINE + b"content-length: 4000000\r\n\r\n")
        for _ in range(40):
            writer.write(b"x" * 100_000)
            await writer.drain()
        status, _, _ = parsed(await reader.read())
        assert status == 413
        writer.close()


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(LINE + b"content-length: -5\r\n\r\n" + ASK, id="negative length"),
        pytest.param(LINE + b"content-length: 99999999999999999999999\r\n\r\n", id="length of 23 digits"),
        pytest.param(LINE + b"content-length: 5\r\ncontent-length: 6\r\n\r\n" + ASK, id="two lengths"),
        pytest.param(LINE + b"transfer-encoding: chunked\r\n" + LENGTH + ASK, id="length and chunks"),
        pytest.param(LINE + b"transfer-encoding: chunked\r\n\r\nzz\r\n", id="broken chunk"),
        pytest.param(LINE + b"x a: 1\r\n" + LENGTH + ASK, id="space in a header's name"),
        pytest.param(LINE + b"x-a: 1\r\n  2\r\n" + LENGTH + ASK, id="folded header"),
        pytest.param(
            LINE.replace(b"\r\n", b"\n") + LENGTH.replace(b"\r\n", b"\n") + ASK, id="bare line feeds"
        ),
        pytest.param(b"\x16\x03\x01\x02\x00\x01hello\r\n\r\n", id="TLS"),
        pytest.param(b"FOO /v1/models HTTP/1.1\r\nhost: t\r\n\r\n", id="unknown method"),
        pytest.param(b"CONNECT host:443 HTTP/1.1\r\nhost: host:443\r\n\r\n", id="CONNECT"),
        pytest.param("GET /ü HTTP/1.1\r\nhost: t\r\n\r\n".encode(), id="path beyond ASCII"),
    ],
)
async def test_what_is_not_http_is_refused_with_400_and_the_connection_closed(raw: bytes) -> None:
    async with gateway(offline()) as running:
        status, headers, answer = await exchange(running, raw)
        assert (status, headers["connection"]) == (400, "close")
        assert "malformed" in msgspec.json.decode(answer)["error"]["message"]
        assert (await raw_request(running, ASK))[0] == 200


async def test_http_1_0_is_answered_and_the_connection_closed() -> None:
    async with gateway(offline()) as running:
        status, headers, _ = await exchange(running, LINE.replace(b"1.1", b"1.0") + LENGTH + ASK)
        assert (status, headers["connection"]) == (200, "close")


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with gateway(offline()) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        bad = LINE + b"content-length: 2\r\n\r\n[]"
        writer.write(b"\r\n" + LINE + LENGTH + ASK + bad + LINE + LENGTH + ASK)
        assert [(await next_answer(reader))[0] for _ in range(3)] == [200, 400, 200]
        writer.close()


async def test_expect_100_continue_is_honoured() -> None:
    async with gateway(offline()) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(LINE + b"expect: 100-continue\r\n" + LENGTH)
        assert b" 100 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(ASK)
        assert (await next_answer(reader))[0] == 200
        writer.close()


async def test_who_expects_100_continue_with_a_wrong_key_is_told_before_he_sends_the_body() -> None:
    async with gateway(offline()) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(LINE.replace(KEY.encode(), b"wrong") + b"expect: 100-continue\r\n" + LENGTH)
        assert (await next_answer(reader))[0] == 401
        writer.close()


async def test_a_compressed_body_is_refused_with_415() -> None:
    async with gateway(offline()) as running:
        status, _, answer = await raw_request(running, gzip.compress(ASK), content_encoding="gzip")
        assert status == 415
        assert "gzip" in msgspec.json.decode(answer)["error"]["message"]
        assert (await raw_request(running, ASK, content_encoding="identity"))[0] == 200


async def test_a_websocket_is_refused() -> None:
    async with gateway(offline()) as running:
        upgrade = {
            "connection": "Upgrade",
            "upgrade": "websocket",
            "sec_websocket_key": "x",
            "sec_websocket_version": "13",
        }
        raw = request_bytes(running, b"", "/v1/responses", method="GET", **upgrade)
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(raw)
        assert (await next_answer(reader))[0] == 405
        writer.write(LINE + LENGTH + ASK)
        assert (await next_answer(reader))[0] == 200
        writer.close()


async def test_a_client_that_would_rather_speak_http_2_is_answered_in_http_1_1() -> None:
    async with gateway(offline()) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        wish = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
        for _ in range(2):
            writer.write(LINE + wish + LENGTH)
            await asyncio.sleep(0)  # the body may come in another packet
            writer.write(ASK)
            assert (await next_answer(reader))[0] == 200
        writer.close()


async def test_head_and_options_have_no_body_of_an_answer_and_no_surprise() -> None:
    async with gateway(offline()) as running:
        for path in ("/", "/livez", "/readyz", "/v1/models"):
            status, headers, body = await raw_request(running, b"", method="HEAD", path=path)
            assert (status, body) == (200, b"")
            assert int(headers["content-length"]) > 0
        status, headers, _ = await raw_request(running, b"", method="OPTIONS", path="/v1/messages")
        assert (status, headers["allow"]) == (405, "POST")


async def test_a_body_of_two_megabytes_reaches_the_provider_whole() -> None:
    big = msgspec.json.encode(
        {**CHAT, "model": "fast", "messages": [{"role": "user", "content": "é" * 1_000_000}]}
    )
    good = {
        "id": "1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant"}}],
    }
    async with upstream(each_time(json_answer(good))) as server, gateway(to(server)) as running:
        assert (await raw_request(running, big))[0] == 200
        assert len(server.requests[0].body) == len(big) - len("fast") + len("m")


# -- clients that take their time


async def closed_after(running: Running, *raw: bytes) -> bytes:
    """What comes until the server hangs up on a client that sends this, and then nothing more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    for part in raw:
        writer.write(part)
        await asyncio.sleep(0.02)
    try:
        return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("raw", "answered"),
    [
        pytest.param((), [], id="nothing at all"),
        pytest.param((b"\r\n",), [], id="an empty line"),
        pytest.param((b"GET /livez HTT",), [b" 408 "], id="half a head"),
        pytest.param((LINE + LENGTH + ASK, b"\r\n"), [b" 200 "], id="an empty line after a request"),
        pytest.param(
            (LINE + LENGTH + ASK, b"POST /v1"), [b" 200 ", b" 408 "], id="half a head after a request"
        ),
        pytest.param(
            (LINE.replace(KEY.encode(), b"no") + LENGTH, ASK[:9]), [b" 401 "], id="half a body, refused"
        ),
    ],
)
async def test_a_connection_with_half_of_something_is_closed(
    raw: tuple[bytes, ...], answered: list[bytes]
) -> None:
    async with gateway(offline(), bounds=Bounds(head=0.15)) as running:
        seen = await closed_after(running, *raw)
        assert seen.count(b"HTTP/1.1 ") == len(answered)
        assert all(status in seen for status in answered)


async def test_a_refused_body_that_comes_in_the_end_leaves_a_connection_that_can_be_used() -> None:
    async with gateway(offline(), bounds=Bounds(head=0.15)) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(LINE.replace(KEY.encode(), b"no") + LENGTH)
        assert (await next_answer(reader))[0] == 401
        writer.write(ASK)
        await asyncio.sleep(0.3)
        writer.write(LINE + LENGTH + ASK)
        assert (await next_answer(reader))[0] == 200
        writer.close()


async def test_a_body_that_drips_is_refused_although_it_never_pauses() -> None:
    async with gateway(offline(server={"body_timeout": 0.2})) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(LINE + b"content-length: 1000000\r\n\r\n")

        async def drip() -> None:
            while True:
                writer.write(b" ")
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        status, _, answer = await next_answer(reader)
        dripping.cancel()
        assert status == 408
        assert "too slowly" in msgspec.json.decode(answer)["error"]["message"]
        writer.close()


async def test_headers_without_end_are_refused_also_behind_a_request() -> None:
    async with gateway(offline()) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(LINE + LENGTH + ASK)
        assert (await next_answer(reader))[0] == 200
        writer.write(b"GET / HTTP/1.1\r\nx-filler: " + b"x" * MAX_HEAD_BYTES)
        assert (await next_answer(reader))[0] == 431
        writer.close()


async def flood(connection: Connection) -> None:
    """A stream as fast as it is taken."""
    await connection.request()
    await connection.write(sse(chunk("first"), end=False))
    big = chunk("x" * 60_000)
    with contextlib.suppress(ConnectionError):
        while True:
            await connection.write(b"%x\r\n%s\r\n" % (len(big), big))
    connection.server.left += 1


async def test_a_client_that_stops_reading_is_left_and_its_upstream_closed() -> None:
    async with upstream(flood) as server, gateway(to(server), bounds=Bounds(reading=0.2)) as running:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", running.port))
            await loop.sock_sendall(client, request_bytes(running, STREAM, "/v1/chat/completions"))
            await until(lambda: server.left == 1)
            assert running.gateway.traffic.running == 0


async def test_a_client_that_reads_slowly_but_reads_gets_everything() -> None:
    frames = [chunk("x" * 60_000) for _ in range(40)]
    raw = sse(*frames, chunk(finish="stop"), b"data: [DONE]\n\n")
    async with upstream(each_time(raw)) as server, gateway(to(server), bounds=Bounds(reading=0.5)) as running:
        reader, writer = await open_request(running, STREAM)
        got = b""
        while b"[DONE]" not in got[-200:]:
            got += await reader.read(200_000)
            await asyncio.sleep(0.01)
        assert got.count(b"x" * 60_000) == 40
        writer.close()


async def test_nonsense_behind_a_running_stream_ends_it_and_is_not_written_into_it() -> None:
    async def endless(connection: Connection) -> None:
        await connection.request()
        await connection.write(sse(chunk("first"), end=False))
        await connection.left()

    async with upstream(endless) as server, gateway(to(server)) as running:
        reader, writer = await open_request(running, STREAM)
        await reader.readuntil(b"first")
        writer.write(b"\x00\x01 nonsense\r\n\r\n")
        assert b"HTTP/1.1" not in await reader.read()
        writer.close()
        await until(lambda: server.left == 1)


async def test_a_client_that_leaves_while_its_body_is_read_or_its_answer_made_is_forgotten() -> None:
    async def silent(connection: Connection) -> None:
        await connection.request()
        await connection.left()

    async with upstream(silent) as server, gateway(to(server)) as running:
        ask = msgspec.json.encode({**CHAT, "model": "fast"})
        for raw in (
            LINE + b"content-length: 100\r\n\r\n{",
            request_bytes(running, ask, "/v1/chat/completions"),
        ):
            _, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(raw)
            await until(lambda: running.gateway.traffic.running == 1)
            if raw.endswith(ask):
                await until(lambda: len(server.requests) == 1)
            writer.close()
            await until(lambda: running.gateway.traffic.running == 0)
        await until(lambda: server.left == 1)
