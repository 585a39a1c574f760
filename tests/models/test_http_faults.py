"""Every transport: each fault of a connection is one of our errors, and nothing hangs, lies or is sent twice."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from tests.models.raw_server import OK, Connection, answer, each, serve
from tests.models.transports import NAMES, TRANSPORTS, Make, post
from tidyllm.errors import BadAnswer, ModelError, Unreachable
from tidyllm.models.http import HTTPCall, Transport

pytestmark = pytest.mark.parametrize("make", TRANSPORTS, ids=NAMES)

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def taken(
    transport: Transport, *writes: bytes, reset: bool = False
) -> tuple[list[bytes], ModelError | None]:
    """What a client gets of an answer that the server writes in these pieces, then hangs up."""

    async def handler(connection: Connection) -> None:
        await connection.request()
        for raw in writes:
            await connection.write(raw)
            await asyncio.sleep(0.002)
        if reset:
            connection.reset()

    pieces: list[bytes] = []
    fault: ModelError | None = None
    async with serve(handler) as server:
        try:
            async with await transport.send(HTTPCall("POST", server.url, {}, b"{}")) as got:
                async for piece in got.chunks():
                    pieces.append(piece)  # noqa: PERF401 - a comprehension would lose what came before the fault
        except ModelError as error:
            fault = error
    assert len(server.requests) == 1
    assert fault is None or f"127.0.0.1:{server.port}" in fault.message
    return pieces, fault


@pytest.mark.parametrize(
    "raw",
    [
        b"hello\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" * 100,
        b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Header: y\r\n" * 10_000 + b"\r\n",
    ],
)
async def test_a_head_that_is_no_http_is_a_bad_answer(make: Make, raw: bytes) -> None:
    assert type((await taken(make(), raw))[1]) is BadAnswer


async def test_a_head_without_end_is_not_read_for_ever(make: Make) -> None:
    async def handler(connection: Connection) -> None:
        await connection.request()
        await connection.write(b"HTTP/1.1 200 OK\r\n")
        for number in count():
            await connection.write(f"X-{number}: {'y' * 100}\r\n".encode())

    async with serve(handler) as server:
        with pytest.raises(BadAnswer):
            await make().send(HTTPCall("POST", server.url))


@pytest.mark.parametrize("raw", [b"", b"H", b"HTTP/1.1 200 OK\r\nConte", b"HTTP/1.1 100 Continue\r\n\r\n"])
@pytest.mark.parametrize("reset", [False, True])
async def test_a_connection_closed_before_the_answer_is_unreachable(
    make: Make, raw: bytes, reset: bool
) -> None:
    assert type((await taken(make(), raw, reset=reset))[1]) is Unreachable


@pytest.mark.parametrize(
    "writes",
    [
        [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"],
        [CHUNKED + b"6\r\nhello"],
        [CHUNKED + b"5\r\nhello"],
        [CHUNKED + b"5\r\nhello\r\n"],
        [CHUNKED, b"5\r\nhello\r\n0\r\n"],
        [CHUNKED + b"5\r\nhello\r\n", b"1"],
    ],
)
@pytest.mark.parametrize("reset", [False, True])
async def test_a_cut_body_is_given_out_and_then_unreachable(
    make: Make, writes: list[bytes], reset: bool
) -> None:
    pieces, error = await taken(make(), *writes, reset=reset)
    assert (b"".join(pieces), type(error)) == (b"hello", Unreachable)
    assert "5 bytes" in str(error)


@pytest.mark.parametrize("bad", [b"zz\r\n", b"-1\r\n", b"f" * 17 + b"\r\n", b"2\r\nabXX"])
@pytest.mark.parametrize("stays", [False, True])
async def test_broken_chunks_are_a_bad_answer(make: Make, bad: bytes, stays: bool) -> None:
    async def handler(connection: Connection) -> None:
        await connection.request()
        await connection.write(CHUNKED + b"5\r\nhello\r\n")
        await asyncio.sleep(0.01)
        await connection.write(bad)
        if stays:
            await connection.left()

    async with serve(handler) as server, await make().send(HTTPCall("POST", server.url)) as got:
        chunks = got.chunks()
        assert await anext(chunks) == b"hello"
        with pytest.raises(BadAnswer, match="is not HTTP"):
            assert [piece async for piece in chunks] == [b"ab"]


async def test_an_answer_cut_at_any_byte_is_never_taken_for_whole(make: Make) -> None:
    transport = make()
    for raw in (answer(b"hello"), CHUNKED + b"5\r\nhello\r\n1;x=y\r\n!\r\n0\r\nX-T: 1\r\n\r\n"):
        for cut in range(len(raw)):
            assert type((await taken(transport, raw[:cut]))[1]) is Unreachable, raw[:cut]
        assert (await taken(transport, raw))[1] is None


async def test_leaving_early_hangs_up_at_once(make: Make) -> None:
    gone = asyncio.Event()

    async def handler(connection: Connection) -> None:
        await connection.request()
        await connection.write(CHUNKED + b"5\r\nhello\r\n")
        await connection.left()
        gone.set()

    async with serve(handler) as server:
        transport = make()
        async with await transport.send(HTTPCall("POST", server.url)) as got:
            assert await anext(got.chunks()) == b"hello"
        await gone.wait()
        async with await transport.send(HTTPCall("POST", server.url)):
            pass  # not even the first piece was wanted
        assert server.connections == 2


@pytest.mark.parametrize("written", [b"", b"HTTP/1.1 200 OK\r\n", CHUNKED, CHUNKED + b"5\r\nhe"])
async def test_cancelling_hangs_up_and_stays_a_cancellation(make: Make, written: bytes) -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def handler(connection: Connection) -> None:
        await connection.request()
        await connection.write(written)
        asked.set()
        await connection.left()
        gone.set()

    async with serve(handler) as server:
        task = asyncio.create_task(post(make(), server.url))
        await asked.wait()
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await gone.wait()


async def test_a_dropped_connection_never_sends_a_call_twice(make: Make) -> None:
    """The second call goes over the kept connection; the server takes it and hangs up without an answer."""

    async def handler(connection: Connection) -> None:
        await connection.request()
        await connection.write(OK)
        await connection.request()

    async with serve(handler) as server:
        transport = make()
        await post(transport, server.url, b"first")
        with pytest.raises(Unreachable, match="closed the connection without an answer") as caught:
            await post(transport, server.url, b"second")
        assert caught.value.retryable
        assert [(seen.body, seen.connection) for seen in server.requests] == [(b"first", 1), (b"second", 1)]


async def test_a_connection_that_the_server_closed_is_not_used_again(make: Make) -> None:
    closed = asyncio.Event()

    async def handler(connection: Connection) -> None:
        await connection.request()
        await connection.write(OK)
        connection.writer.close()
        await connection.writer.wait_closed()
        closed.set()

    async with serve(handler) as server:
        transport = make()
        for number in range(1, 6):
            closed.clear()
            await post(transport, server.url)
            await closed.wait()
            await asyncio.sleep(0.01)
            assert len(server.requests) == number


async def test_bytes_that_nobody_asked_for_are_nobodys_answer(make: Make) -> None:
    """A second answer glued to the first would otherwise be read as that of the next call."""

    async def handler(connection: Connection) -> None:
        await connection.request()
        await connection.write(OK + answer(b"stolen"))
        await connection.left()

    async with serve(handler) as server:
        transport = make()
        assert [await post(transport, server.url) for _ in range(3)] == [b"{}"] * 3
        assert server.connections == 3


async def test_late_bytes_on_an_idle_connection_close_it(make: Make) -> None:
    async def handler(connection: Connection) -> None:
        await connection.request()
        await connection.write(OK)
        await asyncio.sleep(0.01)
        await connection.write(answer(b"stolen"))
        await connection.left()

    async with serve(handler) as server:
        transport = make()
        for _ in range(3):
            assert await post(transport, server.url) == b"{}"
            await asyncio.sleep(0.05)
        assert server.connections == 3


async def test_idle_connections_are_closed_after_a_while(make: Make) -> None:
    async with serve(each(OK)) as server:
        await post(make(keepalive_seconds=0.05), server.url)
        while not server.left:
            await asyncio.sleep(0.01)


async def test_connections_are_bounded_and_whoever_waits_goes_in_order(make: Make) -> None:
    open_now = most = 0

    async def handler(connection: Connection) -> None:
        nonlocal open_now, most
        while True:
            await connection.request()
            open_now += 1
            most = max(most, open_now)
            await asyncio.sleep(0.01)
            open_now -= 1
            await connection.write(OK)

    async with serve(handler) as server:
        transport = make(connections=2)
        calls = [asyncio.create_task(post(transport, server.url, b"%d" % number)) for number in range(8)]
        await asyncio.sleep(0)
        calls[5].cancel()
        await asyncio.wait(calls)
        assert (most, server.connections) == (2, 2)
        assert sorted(seen.body for seen in server.requests[:2]) == [b"0", b"1"]
        assert {seen.body for seen in server.requests} == {
            b"%d" % number for number in range(8) if number != 5
        }


async def test_a_place_is_given_back_whatever_happens(make: Make) -> None:
    """With one place only: an early leave, a fault and a cancellation each free it for the next call."""

    async def handler(connection: Connection) -> None:
        seen = await connection.request()
        if seen.body == b"stall":
            await connection.left()
        elif seen.body == b"stream":
            await connection.write(CHUNKED + b"5\r\nhello\r\n")
            await connection.left()
        elif seen.body == b"ok":
            await connection.write(OK)

    async with serve(handler) as server:
        transport = make(connections=1)
        for _ in range(3):
            stalled = asyncio.create_task(post(transport, server.url, b"stall"))
            await asyncio.sleep(0.01)
            waiting = asyncio.create_task(post(transport, server.url, b"never"))
            await asyncio.sleep(0.01)
            waiting.cancel()
            stalled.cancel()
            await asyncio.wait([stalled, waiting])
            with pytest.raises(Unreachable):
                await post(transport, server.url, b"hang up")
            async with await transport.send(HTTPCall("POST", server.url, {}, b"stream")) as got:
                await anext(got.chunks())
            assert await post(transport, server.url, b"ok") == b"{}"


async def test_each_call_gets_its_own_answer_whatever_others_do(make: Make) -> None:
    """Many tasks share few connections; some leave early, some are cancelled at odd moments."""

    async def handler(connection: Connection) -> None:
        while True:
            seen = await connection.request()
            await connection.write(answer(seen.body * 3))

    async def call(transport: Transport, url: str, number: int) -> None:
        body = b"<%d>" % number
        async with await transport.send(HTTPCall("POST", url, {}, body)) as got:
            if number % 7:
                assert await got.read() == body * 3

    async with serve(handler) as server:
        transport = make(connections=5)
        for batch in range(10):
            calls = [
                asyncio.create_task(call(transport, server.url, 100 * batch + number)) for number in range(40)
            ]
            for turn in range(12):
                await asyncio.sleep(0)
                calls[3 * turn].cancel()
            done, _ = await asyncio.wait(calls)
            assert all(task.cancelled() or task.exception() is None for task in done)
        assert server.connections > 5
