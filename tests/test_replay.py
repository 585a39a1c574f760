"""The server that plays recorded answers does what its tests' users rely on."""

from __future__ import annotations

import asyncio
import http.client
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.replay import Replay

STREAM = 'data: {"a":"é"}\n\ndata: [DONE]\n\n'
PLAYED: list[dict[str, Any]] = [
    {"status": 200, "headers": {"content-type": "application/json"}, "body_json": {"text": "é"}},
    {"status": 200, "headers": {"content-type": "text/event-stream"}, "body": STREAM},
    {"status": 429, "headers": {"Retry-After": "7"}, "body": "slow down"},
    {"status": 200, "headers": {"content-type": "application/x"}, "body_b64": "AAEC"},
]


def ask(
    server: Replay, url: str, headers: dict[str, str] | None = None
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(urlsplit(server.base_url).netloc, timeout=10)
    try:
        connection.request("POST", url.removeprefix(server.base_url), b'{"model":"m"}', headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_the_path_chooses_the_exchange_and_the_request_is_recorded() -> None:
    with Replay(PLAYED) as server:
        assert ask(server, server.url(0, "/v1/chat/completions"))[2] == '{"text":"é"}'.encode()
        assert ask(server, server.url(1))[2] == STREAM.encode()
        assert ask(server, server.url(3))[2] == b"\x00\x01\x02"
        played = server.requests[0]
    assert (played.method, played.path, played.number) == ("POST", "/v1/chat/completions", 0)
    assert played.json() == {"model": "m"}
    assert played.headers["content-length"] == "13"


def test_a_header_chooses_the_exchange_as_well() -> None:
    with Replay(PLAYED) as server:
        status, headers, body = ask(server, "/v1/messages", {"X-Play": "2"})
    assert (status, headers["retry-after"], body) == (429, "7", b"slow down")


def test_an_exchange_that_nobody_recorded_is_answered_599() -> None:
    with Replay(PLAYED) as server:
        assert ask(server, "/v1/messages")[0] == 599
        assert ask(server, server.url(99))[0] == 599


@pytest.mark.parametrize("number", [0, 1])
def test_a_cut_closes_the_connection_inside_the_body(number: int) -> None:
    with Replay(PLAYED) as server, pytest.raises(http.client.IncompleteRead) as caught:
        ask(server, server.url(number, cut=5))
    assert len(caught.value.partial) == 5


def test_a_cut_before_the_first_byte_is_a_cut_as_well() -> None:
    with Replay(PLAYED) as server, pytest.raises(http.client.IncompleteRead):
        ask(server, server.url(1, cut=0))


def test_pieces_set_the_size_of_the_chunks() -> None:
    async def chunks(url: str) -> list[bytes]:
        async with aiohttp.ClientSession() as session, session.post(url) as answer:
            return [chunk async for chunk, _ in answer.content.iter_chunks()]

    with Replay(PLAYED) as server:
        assert b"".join(asyncio.run(chunks(server.url(1, pieces=1)))) == STREAM.encode()


async def test_connections_are_kept_alive() -> None:
    with Replay(PLAYED) as server:
        async with aiohttp.ClientSession() as session:
            for number in (0, 1, 0):
                async with session.post(server.url(number)) as answer:
                    await answer.read()
        assert server.connections == 1


def test_a_chunked_request_is_read_whole() -> None:
    with Replay(PLAYED) as server:
        connection = http.client.HTTPConnection(urlsplit(server.base_url).netloc, timeout=10)
        chunked = {"Transfer-Encoding": "chunked"}
        connection.request("POST", "/x/0", iter([b"ab", b"cd"]), encode_chunked=True, headers=chunked)
        connection.getresponse().read()
        connection.close()
        assert server.requests[0].body == b"abcd"
