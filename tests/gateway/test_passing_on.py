"""A caller and a provider of one format: what they say to each other arrives as it was said. Played from recordings."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from tests.gateway.harness import (
    ONCE,
    Running,
    chunk,
    each_time,
    gateway,
    json_answer,
    raw_request,
    settings,
    sse,
    to,
    upstream,
)
from tests.gateway.providers import between
from tests.replay import Replay, answer_bytes
from tests.shared_data import exchanges
from tidyllm.models.fold import fold
from tidyllm.models.formats import wire_format
from tidyllm.models.message import Text
from tidyllm.models.piece import Piece
from tidyllm.models.response import Response
from tidyllm.models.sse import EventParser

CHAT = {"model": "fast", "messages": [{"role": "user", "content": "Hi"}]}
RECORDED = {
    "openai_chat": "openai_chat",
    "openai_responses": "openai_responses",
    "anthropic": "anthropic_messages",
}
KINDS = {"openai_chat": "openai", "openai_responses": "openai-responses", "anthropic": "anthropic"}
PATHS = {
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
    "anthropic": "/v1/messages",
}
QUESTIONS: dict[str, dict[str, Any]] = {
    "openai_chat": {"messages": [{"role": "user", "content": "Hi"}]},
    "openai_responses": {"input": "Hi"},
    "anthropic": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 100},
}

Exchange = Mapping[str, Any]


def is_stream(one: Exchange) -> bool:
    return "event-stream" in one["headers"].get("content-type", "")


def is_answer(one: Exchange) -> bool:
    """Neither an error nor what some other server happened to say."""
    if is_stream(one):
        return "event: error" not in one["body"]
    fields = ("choices", "output", "content")
    return one["status"] == 200 and any(name in one["body_json"] for name in fields)


@asynccontextmanager
async def playing(format: str, played: Sequence[Exchange]) -> AsyncGenerator[Running]:
    """A gateway whose models `0`, `1`, … are served by a provider of this format that plays these exchanges."""
    with Replay(played) as server:
        path = "" if format == "anthropic" else "/v1"
        providers = {
            f"p{n}": {"kind": KINDS[format], "base_url": server.url(n, path), "api_key": "k"}
            for n in range(len(played))
        }
        models = {str(n): {"route": [f"p{n}/m"], "retry": ONCE} for n in range(len(played))}
        async with gateway(settings(providers=providers, models=models)) as running:
            yield running


async def question(
    running: Running, format: str, number: int, **fields: Any
) -> tuple[int, dict[str, str], bytes]:
    body = {**QUESTIONS[format], "model": str(number), **fields}
    if format == "openai_chat" and fields.get("stream"):
        body["stream_options"] = {"include_usage": True}
    return await raw_request(running, msgspec.json.encode(body), path=PATHS[format])


@pytest.mark.parametrize("format", PATHS)
async def test_recorded_answers_and_streams_pass_byte_for_byte(format: str) -> None:
    played = [one for one in exchanges(RECORDED[format]) if is_answer(one)]
    async with playing(format, played) as running:
        for number, one in enumerate(played):
            status, _, body = await question(running, format, number, stream=is_stream(one))
            assert status == 200
            # Some services end a stream of responses twice, once with the end marker of another format.
            recorded = answer_bytes(one)
            assert body == (recorded if format == "openai_chat" else recorded.removesuffix(END)), one[
                "source"
            ]


@pytest.mark.parametrize("format", PATHS)
async def test_recorded_errors_keep_their_status_and_words_in_the_callers_format(format: str) -> None:
    played = [one for one in exchanges(RECORDED[format]) if one["status"] >= 400]
    async with playing(format, played) as running:
        for number, one in enumerate(played):
            status, _, body = await question(running, format, number)
            assert status == one["status"], body
            assert msgspec.json.decode(body)["error"]["message"]


def in_background(one: Exchange) -> bool:
    """An answer that is still being made: no caller of another format can have asked for it."""
    return not is_stream(one) and one["body_json"].get("status") in ("queued", "in_progress")


def read(format: str, body: bytes, *, stream: bool) -> Response:
    """What an answer in this format says."""
    wire = wire_format(format)
    if not stream:
        return wire.decode_response(msgspec.json.decode(body))
    parser, decoder = EventParser(), wire.stream_decoder()
    pieces: list[Piece] = []
    for event in [*parser.feed(body), *parser.close()]:
        pieces += decoder.feed(event)
    assert decoder.done
    return fold(pieces)


def counts(response: Response) -> tuple[Any, ...]:
    """What must survive every crossing. Whoever gives no reason for the end leaves it to us."""
    usage = response.usage
    calls = [(call.name, call.arguments) for call in response.tool_calls]
    finish = response.finish_reason
    if finish == "unknown":
        finish = "tool_calls" if calls else "stop"
    return response.text, calls, finish, usage.input_tokens, usage.output_tokens, response.model


@pytest.mark.parametrize("target", PATHS)
@pytest.mark.parametrize("source", PATHS)
async def test_recorded_answers_mean_the_same_to_callers_of_the_other_formats(
    source: str, target: str
) -> None:
    played = [one for one in exchanges(RECORDED[target]) if is_answer(one) and not in_background(one)]
    async with playing(target, played) as running:
        for number, one in enumerate(played):
            stream = is_stream(one)
            status, _, body = await question(running, source, number, stream=stream)
            assert status == 200, body
            ours, theirs = read(target, answer_bytes(one), stream=stream), read(source, body, stream=stream)
            assert counts(theirs) == counts(ours), one["source"]


def without_usage(body: dict[str, Any]) -> dict[str, Any]:
    """The request without what every stream is asked for."""
    options = {
        name: value for name, value in body.get("stream_options", {}).items() if name != "include_usage"
    }
    return {**body, "stream_options": options}


@pytest.mark.parametrize("kind", [*KINDS.values(), "ollama", "offline"])
@pytest.mark.parametrize("format", PATHS)
async def test_recorded_questions_reach_every_provider_or_are_refused_by_name(format: str, kind: str) -> None:
    statuses: Counter[int] = Counter()
    async with between(kind) as (running, provider):
        provider.answer = Response(content=(Text(text="Good."),), finish_reason="stop")
        for one in exchanges(RECORDED[format]):
            body = msgspec.json.encode({**one["request"], "model": "fast"})
            status, _, answer = await raw_request(running, body, path=PATHS[format])
            statuses[status] += 1
            if status != 200:
                error = msgspec.json.decode(answer)["error"]
                assert status == 400, (one["source"], error)
                assert "cannot be sent in the" in error["message"], (one["source"], error)
            elif provider.format == format and kind != "offline":
                assert without_usage(provider.bodies[-1]) == without_usage({**one["request"], "model": "m"})
    if provider.format == format:
        assert set(statuses) == {200}
    assert statuses[200] >= 0.4 * statuses.total(), statuses


# -- byte for byte, with fields that nobody here has heard of


GOOD = {"id": "1", "object": "chat.completion", "choices": [{"index": 0, "message": {"role": "assistant"}}]}


async def test_fields_of_a_request_arrive_as_they_were_written() -> None:
    raw = (
        b'{ "model" : "fast", "messages":[{"role":"user","content":"\\u00e9", "x":1.50}],'
        b'"temperature":1.0,"big":123456789012345678901234567890,"e":1E2, "unknown":{"a": [ ]}, "none":null}'
    )
    expected = (
        b'{"model":"m","messages":[{"role":"user","content":"\\u00e9", "x":1.50}],'
        b'"temperature":1.0,"big":123456789012345678901234567890,"e":1E2,"unknown":{"a": [ ]},"none":null}'
    )
    async with upstream(each_time(json_answer(GOOD))) as server, gateway(to(server)) as running:
        status, _, _ = await raw_request(running, raw)
        assert status == 200
        assert server.requests[0].body == expected


async def test_an_answer_arrives_as_it_was_written() -> None:
    body = b'{ "id":"1", "choices":[{"index":0,"message":{"role":"assistant","content":"\\u00e9"},"x":1.0}],"y": 1E2 }'
    raw = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )
    async with upstream(each_time(raw)) as server, gateway(to(server)) as running:
        status, headers, answer = await raw_request(running, msgspec.json.encode(CHAT))
        assert (status, answer) == (200, body)
        assert headers["content-type"] == "application/json"


USAGE = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
FRAMES = (chunk("Hello"), b": a comment\n\n", chunk(finish="stop"), b'data: {"choices":[],"x":1}\n\n')
END = b"data: [DONE]\n\n"


@pytest.mark.parametrize("wanted", [True, False])
async def test_usage_that_only_we_asked_for_is_kept_from_the_caller(wanted: bool) -> None:
    async with (
        upstream(each_time(sse(*FRAMES, chunk(usage=USAGE), END))) as server,
        gateway(to(server)) as running,
    ):
        fields: dict[str, Any] = {
            "stream": True,
            **({"stream_options": {"include_usage": True}} if wanted else {}),
        }
        status, _, answer = await raw_request(running, msgspec.json.encode({**CHAT, **fields}))
        assert status == 200
        assert answer == b"".join(FRAMES) + (chunk(usage=USAGE) if wanted else b"") + END
        assert msgspec.json.decode(server.requests[0].body)["stream_options"] == {"include_usage": True}


async def test_embeddings_pass_and_are_refused_where_the_provider_makes_none() -> None:
    played = [one for one in exchanges("openai_embeddings") if one["status"] == 200]
    async with playing("openai_chat", played) as running:
        for number, one in enumerate(played):
            body = msgspec.json.encode({"model": str(number), "input": "text"})
            status, _, answer = await raw_request(running, body, path="/v1/embeddings")
            assert (status, answer) == (200, answer_bytes(one))
    async with between("anthropic") as (running, provider):
        body = msgspec.json.encode({"model": "fast", "input": "text"})
        status, _, answer = await raw_request(running, body, path="/v1/embeddings")
        assert status == 400
        assert "embeddings" in msgspec.json.decode(answer)["error"]["message"]
        assert not provider.bodies
