"""A caller's own request at a model: passed on as it is where the provider speaks its format, translated elsewhere."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

import msgspec
import pytest

from tests.models.raw_server import serve
from tests.models.upstreams import CHAT, MESSAGE, forward, json_body, model_at, play
from tidyllm.errors import BadRequest, Unsupported
from tidyllm.models import Request, Response
from tidyllm.models.formats import family, provider_format, wire_format
from tidyllm.models.forward import Forward, Forwarded, ForwardedPiece


async def call(asked: Any, request: Forward) -> Response:
    return await asked(cast(Any, request))


def decoding(body: dict[str, Any], format: str) -> Forward:
    """A request that can be translated."""
    raw = msgspec.json.encode(body)
    return forward(raw, format, decode=lambda: wire_format(format).decode_request(body)[0])


async def test_the_same_format_passes_byte_for_byte() -> None:
    answer = json_body({**CHAT, "vendor": {"x": 1.50}})
    async with serve(play(answer)) as server:
        reply = await call(model_at(server), forward(b'{"model":"fast","messages":[],"vendor":[1.50]}'))
    assert isinstance(reply, Forwarded)
    assert answer.endswith(reply.body)
    assert server.requests[0].body == b'{"model":"priced","messages":[],"vendor":[1.50]}'
    assert (reply.provider, reply.cost_usd, reply.finish_reason) == ("up", Decimal("0.002"), "stop")


async def test_another_format_is_translated_there_and_back() -> None:
    body = {"model": "fast", "messages": [{"role": "user", "content": "Hi"}], "seed": None}
    async with serve(play(json_body(MESSAGE))) as server:
        reply = await call(model_at(server, "anthropic"), decoding(body, "openai_chat"))
    assert not isinstance(reply, Forwarded)
    assert reply.text == "Hello."
    sent = msgspec.json.decode(server.requests[0].body)
    assert server.requests[0].line.startswith("POST /v1/messages ")
    assert sent["messages"] == [{"role": "user", "content": "Hi"}]
    assert (sent["model"], sent["max_tokens"]) == ("priced", 1_000)


async def test_what_means_nothing_elsewhere_is_named() -> None:
    body = {"model": "fast", "messages": [{"role": "user", "content": "Hi"}], "metadata": {"a": "b"}}
    async with serve(play(json_body(MESSAGE))) as server:
        reply = await call(model_at(server, "anthropic"), decoding(body, "openai_chat"))
    assert reply.dropped == ("metadata",)


async def test_what_cannot_cross_is_refused_by_name() -> None:
    body = {"model": "fast", "input": "Hi", "previous_response_id": "r"}
    async with serve(play(json_body(CHAT))) as server:
        for lenient in (False, True):
            with pytest.raises(Unsupported, match="previous_response_id"):
                await call(model_at(server, "anthropic", lenient=lenient), decoding(body, "openai_responses"))
    assert not server.requests


async def test_an_endpoint_that_the_provider_lacks_is_refused() -> None:
    def refuse() -> Request:
        raise BadRequest("no embeddings here")

    async with serve(play(json_body(CHAT))) as server:
        with pytest.raises(BadRequest, match="no embeddings"):
            await call(model_at(server, "anthropic"), forward(b"{}", "openai_embeddings", decode=refuse))


async def test_the_callers_headers_stand_before_the_kinds_own_and_betas_add_up() -> None:
    request = forward(b"{}", "anthropic")
    request.headers = {"anthropic-version": "2024-01-01", "anthropic-beta": "theirs"}
    async with serve(play(json_body(MESSAGE))) as server:
        await call(model_at(server, "anthropic", headers={"Anthropic-Beta": "ours"}), request)
        await call(model_at(server, "anthropic"), forward(b"{}", "anthropic"))
    first, second = (seen.headers for seen in server.requests)
    assert first["anthropic-version"] == "2024-01-01"
    assert first["anthropic-beta"] == "ours,theirs"
    assert first["x-api-key"] == "sk-up"
    assert second["anthropic-version"] == "2023-06-01"


async def test_a_request_is_decoded_once_for_all_targets() -> None:
    calls: list[int] = []

    def decode() -> Request:
        calls.append(1)
        return Request("Hi")

    request = forward(b"{}", "openai_responses", decode=decode)
    async with serve(play(json_body(CHAT))) as server:
        for _ in range(3):
            await call(model_at(server), request)
    assert calls == [1]


def test_a_piece_that_is_passed_on_has_no_text_of_its_own() -> None:
    assert ForwardedPiece(b"data: x\n\n").text == ""


def test_formats_by_name() -> None:
    assert provider_format("ollama").name == "ollama"
    assert [wire_format(n).name for n in ("openai_chat", "openai_responses", "anthropic")] == [
        "openai_chat",
        "openai_responses",
        "anthropic",
    ]
    assert family("openai_embeddings") == "openai_chat"
    for name in ("ollama", "nonsense"):
        with pytest.raises(KeyError):
            wire_format(name)
    with pytest.raises(KeyError):
        provider_format("nonsense")
