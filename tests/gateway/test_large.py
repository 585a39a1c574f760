"""Large and odd bodies: nobody else waits for them, and what is wrong with them is named."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any

import msgspec
import pytest

from tests.gateway.harness import gateway, raw_request, settings
from tests.gateway.providers import between
from tidyllm.models.forward import LARGE_BYTES
from tidyllm.models.message import Text
from tidyllm.models.response import Response

TURNS = [{"role": role, "content": "Hello, hello."} for role in ("user", "assistant")]
TOO_MANY: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/chat/completions", {"messages": [TURNS[0]] * 100_001}, "messages"),
    ("/v1/responses", {"input": [{"role": "user", "content": "x"}] * 100_001}, "input"),
    ("/v1/messages", {"max_tokens": 1, "messages": [TURNS[0]], "tools": [{}] * 100_001}, "tools"),
]
ANSWER = Response((Text(text="Good."),), "stop", model="m", id="a")


def body_of(count: int) -> bytes:
    messages = [TURNS[at % 2] for at in range(count)] + [TURNS[0]]
    return msgspec.json.encode({"model": "fast", "messages": messages})


async def test_a_large_request_for_another_format_is_turned_outside_of_the_event_loop() -> None:
    """Whatever runs on the loop is seen by its profiler; the encoder of messages must not be among it."""
    seen: set[str] = set()

    def profile(frame: Any, event: str, arg: object) -> None:
        if event == "call" and "encode_messages" in frame.f_code.co_filename:
            seen.add(threading.current_thread().name)

    body = body_of(LARGE_BYTES // 30)
    async with between("anthropic") as (running, provider):
        provider.answer = ANSWER
        threading.setprofile(profile)
        sys.setprofile(profile)
        try:
            status, _, answer = await raw_request(running, body)
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
        assert status == 200, answer
    assert seen
    assert threading.main_thread().name not in seen


async def test_a_large_request_is_the_same_as_a_small_one_to_its_provider() -> None:
    async with between("anthropic") as (running, provider):
        provider.answer = ANSWER
        await asyncio.gather(*(raw_request(running, body_of(LARGE_BYTES // 30)) for _ in range(3)))
        assert len({msgspec.json.encode(one["messages"]) for one in provider.bodies}) == 1
        assert len(provider.bodies[0]["messages"]) > 8_000


@pytest.mark.parametrize(("path", "fields", "named"), TOO_MANY, ids=["messages", "input", "tools"])
async def test_more_than_anybody_means_is_refused_by_name(
    path: str, fields: dict[str, Any], named: str
) -> None:
    async with between("openai") as (running, provider):
        status, _, answer = await raw_request(
            running, msgspec.json.encode({"model": "fast", **fields}), path=path
        )
        assert status == 400
        message = msgspec.json.decode(answer)["error"]["message"]
        assert named in message
        assert "100000" in message
        assert not provider.bodies


@pytest.mark.parametrize(
    ("written", "named"),
    [
        (rb'{"model":"fast","messages":[{"role":"user","content":"a\ud800"}]}', "messages[0].content"),
        (rb'{"model":"fast","messages":[{"role":"user","content":"\uDC01 b"}]}', "messages[0].content"),
        (rb'{"model":"fast","messages":[],"user":"\ud83d\ud83d"}', "user"),
        (rb'{"model":"fast","\ud800":1}', "the body"),
    ],
)
async def test_half_a_surrogate_pair_is_named(written: bytes, named: str) -> None:
    given = settings(providers={}, models={})
    async with gateway(given) as running:
        status, _, answer = await raw_request(running, written)
        assert status == 400
        message = msgspec.json.decode(answer)["error"]["message"]
        assert message.startswith(named)
        assert "surrogate" in message
