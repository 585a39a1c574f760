"""Nonsense over a real socket: the right status, the field by name, and a server that goes on."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.gateway.harness import KEY, Running, gateway, offline, raw_request
from tidyllm.gateway.protocol import Bounds

CHAT = {"model": "sim", "messages": [{"role": "user", "content": "Hi"}]}
DEEP = b'{"model":"sim","messages":' + b"[" * 20_000 + b"]" * 20_000 + b"}"
PATHS = ["/v1/chat/completions", "/v1/responses", "/v1/messages"]


def changed(**fields: Any) -> bytes:
    return json.dumps({**CHAT, **fields}).encode()


async def still_answers(running: Running) -> None:
    status, _, body = await raw_request(running, msgspec.json.encode(CHAT))
    assert status == 200
    assert msgspec.json.decode(body)["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"model": "sim", "messages": [', "JSON"),
        (b"", "JSON"),
        (b"[1, 2]", "object"),
        (b'"text"', "object"),
        (b'{"model":"sim","messages":[{"role":"user","content":"\xff\xfe"}]}', "UTF-8"),
        (b'{"model":"sim","messages":[{"role":"user","content":"x"}],"temperature":NaN}', "JSON"),
        (DEEP, "deep"),
        (changed(messages="Hi"), "messages"),
        (changed(messages=[]), "messages"),
        (changed(messages=[{"content": "Hi"}]), "messages[0].role"),
        (changed(messages=[{"role": 1, "content": "Hi"}]), "messages[0].role"),
        (changed(messages=[{"role": "user", "content": 7}]), "messages[0].content"),
        (changed(messages=[{"role": "user", "content": [{"text": "x"}]}]), "messages[0].content[0].type"),
        (changed(temperature="hot"), "temperature"),
        (changed(stream="yes"), "stream"),
        (changed(max_tokens=-1), "max_tokens"),
        (changed(max_tokens=99999999999999999999999), "max_tokens"),
        (changed(max_completion_tokens=2**63 - 1), "max_completion_tokens"),
        (changed(n=1_001), "n"),
        (changed(model=None), "model"),
        (b'{"model":"sim"}', "messages"),
        (b'{"messages":[{"role":"user","content":"Hi"}]}', "model"),
    ],
)
async def test_a_malformed_body_is_refused_with_400_and_named(body: bytes, says: str) -> None:
    async with gateway(offline()) as running:
        status, _, answer = await raw_request(running, body)
        error = msgspec.json.decode(answer)["error"]
        assert status == 400, error
        assert says in error["message"] or error["param"] == says, error
        await still_answers(running)


@pytest.mark.parametrize("path", PATHS)
async def test_every_path_refuses_a_body_without_its_question(path: str) -> None:
    field = "input" if path == "/v1/responses" else "messages"
    async with gateway(offline()) as running:
        status, _, answer = await raw_request(running, b'{"model":"sim","max_tokens":5}', path=path)
        assert status == 400
        assert field in msgspec.json.decode(answer)["error"]["message"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers", [{"authorization": ""}, {"authorization": "Bearer wrong"}, {"x_api_key": "wrong"}]
)
async def test_no_key_and_a_wrong_key_are_401_in_the_callers_format(
    path: str, headers: dict[str, str]
) -> None:
    async with gateway(offline()) as running:
        sent = {"authorization": "", **headers}
        status, _, answer = await raw_request(running, msgspec.json.encode(CHAT), path=path, **sent)
        body = msgspec.json.decode(answer)
        assert status == 401
        assert KEY not in answer.decode()
        if path == "/v1/messages":
            assert body["type"] == "error"
            assert body["error"]["type"] == "authentication_error"
        else:
            assert body["error"]["message"]


async def test_an_unknown_model_is_404_and_near_ones_are_named() -> None:
    async with gateway(offline()) as running:
        status, _, answer = await raw_request(running, changed(model="simm"))
        assert status == 404
        assert "sim" in msgspec.json.decode(answer)["error"]["message"]


async def test_a_body_above_the_limit_is_413_before_it_is_read() -> None:
    async with gateway(offline(server={"max_body_mb": 0.001})) as running:
        # Only the header says how large it is: an answer comes although no byte of the body was sent.
        status, headers, answer = await raw_request(running, b"", content_length="5000000")
        assert status == 413
        assert headers["connection"] == "close"
        assert "5,000,000" in msgspec.json.decode(answer)["error"]["message"]
        status, _, _ = await raw_request(running, b"x" * 2_000)
        assert status == 413


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/chat/completions"), ("POST", "/v1/models"), ("PUT", "/livez")]
)
async def test_a_wrong_method_is_405_and_the_right_one_is_named(method: str, path: str) -> None:
    async with gateway(offline()) as running:
        status, headers, answer = await raw_request(running, b"", method=method, path=path)
        assert status == 405
        assert headers["allow"] in ("POST", "GET, HEAD")
        assert headers["allow"].partition(",")[0] in answer.decode()


async def test_an_unknown_path_is_404() -> None:
    async with gateway(offline()) as running:
        status, _, answer = await raw_request(running, b"{}", path="/v1/completion")
        assert status == 404
        assert "/v1/chat/completions" in answer.decode()


async def test_a_thousand_half_sent_requests_are_closed_while_others_are_served(many_files: None) -> None:
    async with gateway(offline(), bounds=Bounds(head=2.0)) as running:

        async def half() -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: te")
            try:
                return await reader.read()
            finally:
                writer.close()

        halves = asyncio.gather(*(half() for _ in range(1_000)))
        while not halves.done():
            await still_answers(running)
        assert all(b" 408 " in answer for answer in await halves)


@pytest.fixture
def many_files() -> Iterator[None]:
    """Room for both ends of a thousand connections in this process."""
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < 2_500:
        pytest.skip(f"this system lets a process open {most} files")
    if before != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(before, 2_500), most))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))


async def test_a_body_that_stops_is_refused_with_408() -> None:
    async with gateway(offline(server={"body_timeout": 0.2})) as running:
        status, _, answer = await raw_request(running, b'{"model', content_length="100")
        assert status == 408
        assert "body" in msgspec.json.decode(answer)["error"]["message"]
        await still_answers(running)


async def test_headers_without_end_are_refused_with_431() -> None:
    async with gateway(offline()) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\n" + b"x-filler: " + b"a" * 70_000)
        assert b" 431 " in await reader.read()
        writer.close()
        await still_answers(running)
