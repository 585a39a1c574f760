"""Every transport: what is sent and what is understood, over real sockets and to the byte."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys
import zlib

import pytest

from tests.models.raw_server import OK, Connection, answer, each, serve
from tests.models.transports import NAMES, TRANSPORTS, Make, post
from tidyllm.errors import BadAnswer, ConfigError, Unreachable
from tidyllm.models.http import HTTPCall, default_transport

pytestmark = pytest.mark.parametrize("make", TRANSPORTS, ids=NAMES)


async def test_a_call_arrives_as_it_was_given(make: Make) -> None:
    async with serve(each(answer(b'{"a":1}', "X-One: 1", "X-Two: 2", "x-two: 3"))) as server:
        call = HTTPCall(
            "POST", f"{server.url}/ž?a=b%20c", {"Authorization": "Bearer k", "x-y": "ž"}, b'{"q":1}'
        )
        async with await make().send(call) as got:
            assert (got.status, await got.read()) == (200, b'{"a":1}')
        assert (got.headers["x-one"], got.headers["x-two"]) == ("1", "2, 3")
    seen = server.requests[0]
    assert (seen.line, seen.body) == ("POST /v1/chat/%C5%BE?a=b%20c HTTP/1.1", b'{"q":1}')
    assert (seen.headers["authorization"], seen.headers["x-y"]) == ("Bearer k", "ž")
    assert seen.headers["host"] == f"127.0.0.1:{server.port}"
    assert seen.headers["accept-encoding"] == "identity"


async def test_long_headers_are_taken(make: Make) -> None:
    async with serve(each(answer(b"{}", f"X-Policy: {'y' * 20_000}"))) as server:
        got = await make().send(HTTPCall("POST", server.url))
        async with got:
            assert len(got.headers["x-policy"]) == 20_000


async def test_connections_are_used_again(make: Make) -> None:
    async with serve(each(OK)) as server:
        transport = make()
        for _ in range(3):
            assert await post(transport, server.url) == b"{}"
        get = HTTPCall("GET", server.url)
        async with await transport.send(get) as got:
            assert await got.read() == b"{}"
    assert [seen.connection for seen in server.requests] == [1, 1, 1, 1]
    assert "content-length" not in server.requests[-1].headers


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("raw", "body", "kept"),
    [
        (answer(b"hello"), b"hello", True),
        (CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", b"hello", True),
        (CHUNKED + b"5;a=b\r\nhello\r\n0001\r\n!\r\n0\r\nX-Trailer: 1\r\n\r\n", b"hello!", True),
        (CHUNKED + b"0\r\n\r\n", b"", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        (answer(b""), b"", True),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", b"hello", False),
        (b"HTTP/1.0 200 OK\r\n\r\nhello", b"hello", False),
        (answer(b"hello", "Connection: close"), b"hello", False),
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", b"ok", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"{}", True),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + OK, b"{}", True),
    ],
)
async def test_every_framing_ends_where_it_says(make: Make, raw: bytes, body: bytes, kept: bool) -> None:
    async def handler(connection: Connection) -> None:
        for _ in range(2 if kept else 1):
            await connection.request()
            await connection.write(raw)

    async with serve(handler) as server:
        transport = make()
        assert [await post(transport, server.url) for _ in range(2)] == [body, body]
        assert server.connections == (1 if kept else 2)


@pytest.mark.parametrize("cut", [1, 3, 20])
async def test_an_answer_in_any_pieces_is_the_same(make: Make, cut: int) -> None:
    raw = CHUNKED + b"5\r\nhello\r\n1\r\n!\r\n0\r\nX-Trailer: 1\r\n\r\n"

    async def handler(connection: Connection) -> None:
        while True:
            await connection.request()
            for start in range(0, len(raw), cut):
                await connection.write(raw[start : start + cut])
                await asyncio.sleep(0.001)

    async with serve(handler) as server:
        transport = make()
        assert [await post(transport, server.url) for _ in range(2)] == [b"hello!"] * 2
        assert server.connections == 1


async def test_no_piece_waits_for_the_next(make: Make) -> None:
    """The server sends a piece only when the client has the one before."""
    have = asyncio.Semaphore(0)

    async def handler(connection: Connection) -> None:
        await connection.request()
        await connection.write(CHUNKED)
        for number in range(5):
            await connection.write(f"7\r\npiece {number}\r\n".encode())
            await have.acquire()
        await connection.write(b"0\r\n\r\n")

    async with serve(handler) as server, await make().send(HTTPCall("POST", server.url)) as got:
        pieces: list[bytes] = []
        async for piece in got.chunks():
            pieces.append(piece)
            have.release()
    assert pieces == [f"piece {number}".encode() for number in range(5)]


async def test_a_reader_that_waits_makes_the_server_wait(make: Make) -> None:
    """Else a stream nobody reads would gather in memory."""
    sent = 0
    size = 64 * 1024 * 1024

    async def handler(connection: Connection) -> None:
        nonlocal sent
        await connection.request()
        await connection.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        while sent < size:
            await connection.write(b"x" * 65_536)
            sent += 65_536

    async with serve(handler) as server, await make().send(HTTPCall("POST", server.url)) as got:
        chunks = got.chunks()
        taken = len(await anext(chunks))
        await asyncio.sleep(0.3)
        assert sent < size // 2
        async for chunk in chunks:
            taken += len(chunk)
        assert taken == size


async def test_a_large_body_arrives_whole(make: Make) -> None:
    body = bytes(range(256)) * 32_768
    async with serve(each(OK)) as server:
        await post(make(), server.url, body)
    assert server.requests[0].body == body


async def test_an_answer_may_come_before_the_body_was_taken(make: Make) -> None:
    async def handler(connection: Connection) -> None:
        await connection.head()
        await connection.write(answer(b"too large", "Connection: close", status="413 Content Too Large"))
        await connection.left()

    async with serve(handler) as server:
        got = await make().send(HTTPCall("POST", server.url, {}, b"x" * 20_000_000))
        async with got:
            assert (got.status, await got.read()) == (413, b"too large")


async def test_errors_of_the_server_are_answers(make: Make) -> None:
    async with serve(each(answer(b"no", status="529 Busy"))) as server:
        got = await make().send(HTTPCall("POST", server.url))
        async with got:
            assert (got.status, await got.read()) == (529, b"no")


async def test_a_redirect_is_not_followed(make: Make) -> None:
    raw = answer(b"", "Location: https://elsewhere.example/v2?key=k", status="307 Temporary Redirect")
    async with serve(each(raw)) as server:
        with pytest.raises(
            BadAnswer, match=r"redirects \(307\) to 'https://elsewhere.example/v2';"
        ) as caught:
            await make().send(HTTPCall("POST", server.url))
    assert not caught.value.retryable
    assert "base_url" in caught.value.hint


async def test_a_protocol_we_did_not_ask_for_is_refused(make: Make) -> None:
    raw = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    async with serve(each(raw)) as server:
        with pytest.raises(BadAnswer, match="101"):
            await make().send(HTTPCall("POST", server.url))


async def test_cookies_are_not_kept(make: Make) -> None:
    async with serve(each(answer(b"{}", "Set-Cookie: a=b"))) as server:
        transport = make()
        await post(transport, server.url)
        await post(transport, server.url)
    assert "cookie" not in server.requests[1].headers


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity"])
async def test_compression_that_nobody_asked_for_is_undone(make: Make, encoding: str) -> None:
    plain = b"data: hello\n\n" * 1000
    body = {"gzip": gzip.compress(plain), "deflate": zlib.compress(plain), "identity": plain}[encoding]
    async with serve(each(answer(body, f"Content-Encoding: {encoding}"))) as server:
        assert await post(make(), server.url) == plain


async def test_compression_that_cannot_be_undone_is_refused(make: Make) -> None:
    async with serve(each(answer(b"...", "Content-Encoding: br"))) as server:
        with pytest.raises(BadAnswer, match="content-encoding 'br'"):
            await make().send(HTTPCall("POST", server.url))


async def test_a_body_above_the_limit_is_not_read_to_its_end(make: Make) -> None:
    bomb = gzip.compress(b"\0" * 10_000_000)
    for raw in (answer(b"x" * 10_000_000), answer(bomb, "Content-Encoding: gzip")):
        async with serve(each(raw)) as server:
            got = await make(max_body_bytes=1_000_000).send(HTTPCall("POST", server.url))
            with pytest.raises(BadAnswer, match="more than 1,000,000 bytes"):
                await got.read()


@pytest.mark.parametrize(
    ("url", "headers", "why"),
    [
        ("ftp://example.com/", {}, "'ftp' where http"),
        ("http:///path", {}, "no host"),
        ("http://user:secret@example.com/", {}, "'http://…@example.com/' is no URL to call: it holds a user"),
        ("http://example.com:99999/", {}, "[Pp]ort"),
        ("http://[::1/", {}, "IPv6"),
        ("http://a..example/", {}, "base_url"),
        ("api.example.com/v1", {}, "''"),
        ("http://127.0.0.1:9/", {"authorization": "Bearer secret\n"}, "'authorization' holds a line end"),
        ("http://127.0.0.1:9/", {"x y": "secret"}, "'x y' is no name"),
    ],
)
async def test_what_cannot_be_sent_is_refused_without_showing_secrets(
    make: Make, url: str, headers: dict[str, str], why: str
) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        await make().send(HTTPCall("POST", url, headers))
    assert "secret" not in str(caught.value)


async def test_nobody_listens(make: Make) -> None:
    async with serve(each(OK)) as server:
        pass
    with pytest.raises(Unreachable, match=f"cannot connect to 127.0.0.1:{server.port}: .*refused"):
        await make().send(HTTPCall("POST", server.url))


def test_one_transport_serves_many_loops_and_hangs_up_when_each_ends(make: Make) -> None:
    transport = make()

    async def main() -> tuple[int, int]:
        async with serve(each(OK)) as server:
            await asyncio.to_thread(asyncio.run, twice(server.url))
            await post(transport, server.url)
            while not server.left:
                await asyncio.sleep(0)
            await transport.aclose()
            await transport.aclose()
            await post(transport, server.url)
            return server.connections, len(server.requests)

    async def twice(url: str) -> None:
        await post(transport, url)
        await post(transport, url)

    assert asyncio.run(main()) == (3, 4)


def test_nothing_heavy_is_imported_before_the_first_call(make: Make) -> None:
    program = (
        "import sys, tidyllm, tidyllm.models, tidyllm.models.http as http; http.default_transport();"
        "heavy = {'aiohttp', 'httptools', 'httpx'} & set(sys.modules); sys.exit(repr(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert default_transport() is default_transport()
