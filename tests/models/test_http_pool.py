"""What only the pool promises: how it shares its connections, and that it never spins on garbage."""

from __future__ import annotations

import asyncio
import gc

import pytest

from tests.models.raw_server import OK, Connection, answer, each, serve
from tests.models.transports import post
from tidyllm.errors import BadAnswer, ConfigError, Unreachable
from tidyllm.models.http import HTTPCall
from tidyllm.models.http_pool import PoolTransport
from tidyllm.models.http_settings import HTTPSettings


async def test_an_idle_connection_to_one_host_makes_room_for_another() -> None:
    async with serve(each(OK)) as one, serve(each(OK)) as two:
        transport = PoolTransport(HTTPSettings(connections=2))
        await asyncio.gather(post(transport, one.url), post(transport, one.url))
        await asyncio.gather(*(post(transport, two.url) for _ in range(4)))
        assert (one.connections, two.connections) == (2, 2)


async def test_who_waits_for_another_host_gets_the_place() -> None:
    async with serve(each(OK)) as one, serve(each(OK)) as two:
        transport = PoolTransport(HTTPSettings(connections=1))
        urls = [server.url for _ in range(5) for server in (one, two)]
        assert await asyncio.gather(*(post(transport, url) for url in urls)) == [b"{}"] * 10


async def test_waiting_calls_survive_a_connection_that_dies_on_the_way_to_them() -> None:
    async def handler(connection: Connection) -> None:
        await connection.request()
        await connection.write(OK)
        connection.reset()

    async with serve(handler) as server:
        transport = PoolTransport(HTTPSettings(connections=1))
        assert await asyncio.gather(*(post(transport, server.url) for _ in range(20))) == [b"{}"] * 20
        assert server.connections == len(server.requests) == 20


async def test_a_failed_connection_gives_its_place_back() -> None:
    async with serve(each(OK)) as gone:
        pass
    async with serve(each(OK)) as server:
        transport = PoolTransport(HTTPSettings(connections=1))
        calls = [post(transport, url) for url in (gone.url, server.url, gone.url, server.url)]
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [Unreachable, bytes, Unreachable, bytes]


async def test_idle_connections_leave_one_after_the_other() -> None:
    async with serve(each(OK)) as one, serve(each(OK)) as two:
        transport = PoolTransport(HTTPSettings(keepalive_seconds=0.1))
        await asyncio.gather(post(transport, one.url), post(transport, one.url))
        await asyncio.sleep(0.05)
        await post(transport, two.url)
        while one.left < 2:
            await asyncio.sleep(0.01)
        assert not two.left
        while not two.left:
            await asyncio.sleep(0.01)


async def test_a_dropped_transport_hangs_up() -> None:
    async with serve(each(OK)) as server:
        transport = PoolTransport()
        await post(transport, server.url)
        del transport
        while not server.left:
            await asyncio.sleep(0)
        gc.collect()


async def test_a_closed_answer_does_not_look_whole() -> None:
    async with serve(each(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")) as server:
        got = await PoolTransport().send(HTTPCall("POST", server.url))
        assert await anext(got.chunks()) == b"hello"
        await got.aclose()
        with pytest.raises(Unreachable, match="closed before its end"):
            await got.read()


async def test_closing_ends_calls_that_are_under_way() -> None:
    asked = asyncio.Event()

    async def handler(connection: Connection) -> None:
        await connection.request()
        asked.set()
        await connection.left()

    async with serve(handler) as server:
        transport = PoolTransport()
        call = asyncio.create_task(post(transport, server.url))
        await asked.wait()
        await transport.aclose()
        with pytest.raises(Unreachable):
            await call


@pytest.mark.parametrize(
    ("start", "endless"),
    [
        (b"", b"y" * 1000),
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        (b"HTTP/1.1 200 ", b"y" * 1000),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y" * 1000),
        (b"HTTP/1.1 200 OK\r\n", b"X-Header: y\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Header: y\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"y" * 1000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=", b"y" * 1000),
    ],
)
async def test_garbage_without_end_is_cut_off(start: bytes, endless: bytes) -> None:
    async def handler(connection: Connection) -> None:
        await connection.request()
        await connection.write(start)
        while True:
            await connection.write(endless)

    async with serve(handler) as server:
        with pytest.raises(BadAnswer, match="not HTTP"):
            await post(PoolTransport(), server.url)


async def test_an_answer_before_the_call_was_taken_does_not_share_its_connection() -> None:
    """The rest of the first call would stand in front of the second."""

    async def handler(connection: Connection) -> None:
        await connection.head()
        await connection.write(answer(b"early"))
        await connection.left()

    async with serve(handler) as server:
        transport = PoolTransport()
        for _ in range(2):
            assert await post(transport, server.url, b"x" * 20_000_000) == b"early"
        assert server.connections == 2


async def test_methods_whose_answers_have_no_body_by_rule_are_refused() -> None:
    with pytest.raises(ConfigError, match="'HEAD' is no method"):
        await PoolTransport().send(HTTPCall("HEAD", "http://127.0.0.1:9/"))
