"""The recorded exchanges with Anthropic: ours agrees with the official SDK, in both directions.

A loopback server plays the recorded bytes to the SDK; what we write for callers goes the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import anthropic as sdk
import msgspec
import pytest
from anthropic.types.beta import BetaMessage

from tests.models.anthropic.samples import pieces, written
from tests.replay import Replay, answer_bytes
from tests.shared_data import exchanges
from tidyllm import model
from tidyllm.errors import (
    AuthError,
    BadAnswer,
    BadRequest,
    Overloaded,
    RateLimited,
    StreamInterrupted,
    Unreachable,
)
from tidyllm.models.anthropic import anthropic
from tidyllm.models.fold import fold, unfold
from tidyllm.models.message import Thinking
from tidyllm.models.response import Response
from tidyllm.models.sse import EventParser

EXCEPTIONS: dict[str, str] = {}
"""Exchanges that do not agree, by `source`, each with its reason; docs/wire/anthropic.md repeats the list."""

LEAST = 0.99  # of the exchanges must agree, the exceptions included

Exchange = dict[str, Any]


def recorded() -> list[Exchange]:
    """All that were answered."""
    return [one for one in exchanges("anthropic_messages") if one["status"] == 200]


def whole() -> list[Exchange]:
    return [one for one in recorded() if "body_json" in one]


def streams() -> list[Exchange]:
    return [one for one in recorded() if "body_json" not in one]


def ours(one: Exchange) -> Response:
    """The recorded answer in our types."""
    if "body_json" in one:
        return anthropic.decode_response(one["body_json"])
    found, done = pieces(answer_bytes(one))
    assert done
    return fold(found)


def said_by_us(response: Response) -> dict[str, Any]:
    """What counts in an answer, as we read it."""
    usage = response.usage
    read, five, hour = usage.cache_read_tokens, usage.cache_write_5m_tokens, usage.cache_write_1h_tokens
    written_ = None if five is None and hour is None else (five or 0) + (hour or 0)
    assert usage.input_tokens is not None
    return {
        "id": response.id,
        "model": response.model,
        "text": response.text,
        "calls": [(call.id, call.name, call.arguments) for call in response.tool_calls],
        "reasoning": [
            (part.text, part.signature, part.encrypted)
            for part in response.content
            if isinstance(part, Thinking)
        ],
        "stop": response.finish_reason_raw,
        "usage": (usage.input_tokens - (read or 0) - (written_ or 0), usage.output_tokens, read, written_),
        "thought": usage.reasoning_tokens,
    }


def said_by_sdk(message: BetaMessage) -> dict[str, Any]:
    """The same, as the SDK reads it."""
    usage = message.usage
    thought = usage.output_tokens_details
    return {
        "id": message.id,
        "model": message.model,
        "text": "".join(block.text for block in message.content if block.type == "text"),
        "calls": [
            (block.id, block.name, block.input) for block in message.content if block.type == "tool_use"
        ],
        "reasoning": [
            (block.thinking, block.signature, None)
            if block.type == "thinking"
            else ("", None, getattr(block, "data", None))
            for block in message.content
            if block.type in {"thinking", "redacted_thinking"}
        ],
        "stop": message.stop_reason,
        "usage": (
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_input_tokens,
            usage.cache_creation_input_tokens,
        ),
        "thought": None if thought is None else thought.thinking_tokens,
    }


def through_sdk(
    played: Sequence[Exchange], read: Callable[[sdk.Anthropic], BetaMessage]
) -> list[dict[str, Any]]:
    """What the official SDK reads out of each of these answers."""
    with (
        Replay(played) as server,
        sdk.Anthropic(api_key="any", base_url=server.base_url, max_retries=0) as client,
    ):
        return [
            said_by_sdk(read(client.with_options(base_url=server.url(number))))
            for number in range(len(played))
        ]


def ask_whole(client: sdk.Anthropic) -> BetaMessage:
    return client.beta.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "q"}])


def ask_stream(client: sdk.Anthropic) -> BetaMessage:
    with client.beta.messages.stream(
        model="m", max_tokens=9, messages=[{"role": "user", "content": "q"}]
    ) as stream:
        return cast(BetaMessage, stream.get_final_message())


def agree(found: Iterable[tuple[Exchange, object, object]], count: int) -> None:
    """All agree but for the exceptions, and of those there are few. `count`: how many docs/wire says there are."""
    compared = list(found)
    assert len(compared) == count
    off = {one["source"]: (mine, theirs) for one, mine, theirs in compared if mine != theirs}
    unexpected = {source: pair for source, pair in off.items() if source not in EXCEPTIONS}
    assert not unexpected
    assert len(compared) - len(off) >= LEAST * len(compared)


def test_every_request_comes_back_as_it_was() -> None:
    """But for an absent `stream`, which is written as false."""
    found: list[tuple[Exchange, object, object]] = []
    for one in exchanges("anthropic_messages"):
        request, stream = anthropic.decode_request(one["request"])
        encoded = anthropic.encode_request(request, stream=stream)
        assert encoded.dropped == ()
        found.append((one, encoded.body, {"stream": False, **one["request"]}))
    agree(found, 158)


def test_whole_answers_agree_with_the_sdk() -> None:
    theirs = through_sdk(whole(), ask_whole)
    agree(((one, said_by_us(ours(one)), told) for one, told in zip(whole(), theirs, strict=True)), 155)


def test_streams_agree_with_the_sdk() -> None:
    theirs = through_sdk(streams(), ask_stream)
    agree(((one, said_by_us(ours(one)), told) for one, told in zip(streams(), theirs, strict=True)), 3)


async def test_the_client_reads_from_the_socket_what_the_decoders_read() -> None:
    """Every recorded answer, as a whole or as a stream, in chunks of 700 bytes."""
    with Replay(recorded()) as server:
        for number, one in enumerate(recorded()):
            client = model("anthropic/claude-x", base_url=server.url(number, pieces=700), api_key="any")
            if "body_json" in one:
                response = await client("q")
            else:
                response = client.join([piece async for piece in client.stream("q")])
            assert said_by_us(response) == said_by_us(ours(one)), one["source"]
        assert [played.path for played in server.requests] == ["/v1/messages"] * len(recorded())


def _says_something(data: bytes) -> bool:
    """Whether these bytes of a stream hold more than its head."""
    decoder, parser = anthropic.stream_decoder(), EventParser()
    return any(not piece.is_head for event in parser.feed(data) for piece in decoder.feed(event))


async def test_a_stream_cut_on_the_socket_is_interrupted() -> None:
    with Replay(recorded()) as server:
        for number, one in enumerate(recorded()):
            if "body_json" in one:
                continue
            size = len(answer_bytes(one)) - len(b'data: {"type":"message_stop"}\n\n')
            for cut in range(0, size, max(size // 12, 1)):
                client = model("anthropic/claude-x", base_url=server.url(number, cut=cut), api_key="any")
                with pytest.raises((StreamInterrupted, Unreachable)) as caught:
                    async for _ in client.stream("q"):
                        pass
                assert isinstance(caught.value, StreamInterrupted) == _says_something(answer_bytes(one)[:cut])


def test_a_caller_with_the_sdk_reads_our_whole_answers_as_the_providers() -> None:
    played: list[Exchange] = []
    for one in recorded():
        body = anthropic.encode_response(ours(one))
        played.append({"status": 200, "headers": {"content-type": "application/json"}, "body_json": body})
    theirs = through_sdk(played, ask_whole)
    agree(((one, said_by_us(ours(one)), told) for one, told in zip(recorded(), theirs, strict=True)), 158)


def test_a_caller_with_the_sdk_reads_our_streams_as_the_providers() -> None:
    """Whole answers are unfolded, streams are decoded piece by piece; both are written anew."""
    played: list[Exchange] = []
    for one in recorded():
        found = unfold(ours(one)) if "body_json" in one else pieces(answer_bytes(one))[0]
        body = written(found).decode()
        played.append({"status": 200, "headers": {"content-type": "text/event-stream"}, "body": body})
    theirs = through_sdk(played, ask_stream)
    agree(((one, said_by_us(ours(one)), told) for one, told in zip(recorded(), theirs, strict=True)), 158)


def test_refusals_are_of_the_class_that_the_sdk_raises() -> None:
    """By status; there may be none among the recorded ones."""
    classes = {
        400: BadRequest,
        401: AuthError,
        403: AuthError,
        404: BadRequest,
        413: BadRequest,
        429: RateLimited,
    }
    for one in exchanges("anthropic_messages"):
        if (status := one["status"]) != 200:
            error = anthropic.decode_error(status, one["headers"], answer_bytes(one))
            assert isinstance(error, classes.get(status, Overloaded)), one["source"]


def test_whole_answers_reach_a_caller_field_by_field() -> None:
    """But for nulls, and a count of cached tokens that the oldest answers lack."""
    found: list[tuple[Exchange, object, object]] = []
    for one in whole():
        body = msgspec.json.decode(msgspec.json.encode(one["body_json"]), type=dict[str, Any])
        told = anthropic.encode_response(anthropic.decode_response(body))
        body["usage"].setdefault("cache_creation", told["usage"]["cache_creation"])
        found.append((one, without_nulls(told), without_nulls(body)))
    agree(found, 155)


def without_nulls(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if value is not None}


def ends(data: bytes, cut: int) -> bool:
    """Whether a stream cut after `cut` bytes looks complete."""
    parser, decoder = EventParser(), anthropic.stream_decoder()
    try:
        for event in [*parser.feed(data[:cut]), *parser.close()]:
            decoder.feed(event)
    except BadAnswer:
        pass
    return decoder.done


def cut_everywhere(data: bytes, step: int) -> None:
    line = data.index(b"\n", data.index(b'"type":"message_stop"')) + 1
    for cut in [*range(0, line - 1, step), line - 1]:
        assert not ends(data, cut), cut
    assert ends(data, line)
    assert ends(data, len(data))


def test_a_stream_cut_here_and_there_never_looks_complete() -> None:
    for one in streams():
        data = answer_bytes(one)
        cut_everywhere(data, max(len(data) // 100, 1))


@pytest.mark.proof
def test_a_stream_cut_at_any_byte_never_looks_complete() -> None:
    for one in streams():
        cut_everywhere(answer_bytes(one), 1)
