"""Real exchanges: we read them as the official SDK does, and what we write for a caller the SDK reads the same way."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from openai import BadRequestError, OpenAI

from tests.models.openai_responses.told import decoded, encoded_stream, pieces_of, told_by_sdk, told_by_us
from tests.replay import Replay, answer_bytes
from tests.shared_data import exchanges
from tidyllm import model
from tidyllm.errors import BadRequest, StreamInterrupted, TidyllmError, Unreachable
from tidyllm.models.fold import fold, unfold
from tidyllm.models.openai_responses import openai_responses
from tidyllm.models.response import Response
from tidyllm.models.sse import EventParser

KIND = "openai_responses"
LEAST = 0.99
"""The share of all exchanges that must agree; those that do not are listed here and in docs/wire, with the reason."""
EXCEPTIONS: dict[str, str] = {}


def client(server: Replay) -> OpenAI:
    return OpenAI(base_url=f"{server.base_url}/v1", api_key="any", max_retries=0)


def is_stream(exchange: dict[str, Any]) -> bool:
    return "event-stream" in exchange["headers"].get("content-type", "")


def answered() -> list[dict[str, Any]]:
    return [exchange for exchange in exchanges(KIND) if exchange["status"] == 200]


def ours(exchange: dict[str, Any]) -> Response:
    body = answer_bytes(exchange)
    return (
        decoded(body) if is_stream(exchange) else openai_responses.decode_response(msgspec.json.decode(body))
    )


def by_sdk(sdk: OpenAI, number: int, *, stream: bool) -> dict[str, Any]:
    play = {"x-play": str(number)}
    if not stream:
        return told_by_sdk(sdk.responses.create(model="any", input="any", extra_headers=play))
    with sdk.responses.stream(model="any", input="any", extra_headers=play) as events:
        return told_by_sdk(events.get_final_response())


def agree(results: dict[str, bool], compared: int) -> None:
    """Enough of the results are good, and the others are known. `compared`: how many docs/wire says there are."""
    assert len(results) == compared
    bad = [source for source, good in results.items() if not good]
    assert set(bad) <= set(EXCEPTIONS), (
        f"{len(results) - len(bad)} of {len(results)} recorded exchanges agree"
    )
    assert len(results) - len(bad) >= LEAST * len(results)


def test_we_read_answers_and_streams_as_the_official_sdk_does() -> None:
    results: dict[str, bool] = {}
    with Replay(exchanges(KIND)) as server, client(server) as sdk:
        for number, exchange in enumerate(exchanges(KIND)):
            if exchange["status"] == 200:
                told = by_sdk(sdk, number, stream=is_stream(exchange))
                results[exchange["source"]] = told == told_by_us(ours(exchange))
    agree(results, 156)


def test_a_request_read_and_written_back_is_the_same() -> None:
    results: dict[str, bool] = {}
    for exchange in exchanges(KIND):
        body = {key: value for key, value in exchange["request"].items() if key != "stream" or value}
        request, stream = openai_responses.decode_request(exchange["request"])
        encoded = openai_responses.encode_request(request, stream=stream)
        results[exchange["source"]] = encoded.body == body and not encoded.dropped
    agree(results, 158)


def test_recorded_errors_have_the_class_that_the_sdk_gives_them() -> None:
    failed = [(number, e) for number, e in enumerate(exchanges(KIND)) if e["status"] >= 400]
    with Replay(exchanges(KIND)) as server, client(server) as sdk:
        for number, exchange in failed:
            with pytest.raises(BadRequestError) as raised:
                by_sdk(sdk, number, stream=False)
            error = openai_responses.decode_error(
                exchange["status"], exchange["headers"], answer_bytes(exchange)
            )
            assert isinstance(error, BadRequest)
            body: Any = raised.value.body
            assert error.provider_message == body["message"]
            assert error.field == body["param"]


def test_a_streams_pieces_make_the_answer_that_its_last_event_holds() -> None:
    """But for what the provider itself tells twice and differently: ids and encrypted reasoning."""
    for exchange in filter(is_stream, answered()):
        body = answer_bytes(exchange)
        last = [event for event in EventParser().feed(body) if '"response.completed"' in event.data][-1]
        whole = openai_responses.decode_response(msgspec.json.decode(last.data)["response"])
        joined = decoded(body)
        assert [type(part) for part in joined.content] == [type(part) for part in whole.content]
        assert [getattr(part, "text", None) for part in joined.content] == [
            getattr(part, "text", None) for part in whole.content
        ]
        assert joined.tool_calls == whole.tool_calls
        assert (joined.usage, joined.extra) == (whole.usage, whole.extra)
        assert joined.finish_reason == whole.finish_reason


def test_what_we_write_for_a_caller_the_sdk_reads_as_the_provider_said_it() -> None:
    told = [(exchange["source"], ours(exchange)) for exchange in answered()]
    bodies = [openai_responses.encode_response(answer) for _, answer in told]
    played = [
        {"status": 200, "headers": {"content-type": "application/json"}, "body_json": body} for body in bodies
    ]
    results: dict[str, bool] = {}
    with Replay(played) as server, client(server) as sdk:
        for number, (source, answer) in enumerate(told):
            again = openai_responses.decode_response(bodies[number])
            same_end = answer.finish_reason in {again.finish_reason, "unknown"}
            results[source] = same_end and by_sdk(sdk, number, stream=False) == told_by_us(answer)
    agree(results, 156)


def test_what_we_stream_to_a_caller_the_sdk_joins_to_what_the_provider_said() -> None:
    told: list[tuple[str, Response, bytes]] = []
    for exchange in answered():
        answer = ours(exchange)
        if answer.finish_reason == "paused":
            continue  # made in the background: not there yet
        pieces = pieces_of(answer_bytes(exchange)) if is_stream(exchange) else unfold(answer)
        told.append((exchange["source"], answer, encoded_stream(pieces)))
    headers = {"content-type": "text/event-stream"}
    played = [{"status": 200, "headers": headers, "body": stream.decode()} for _, _, stream in told]
    results: dict[str, bool] = {}
    with Replay(played) as server, client(server) as sdk:
        for number, (source, answer, stream) in enumerate(told):
            same_end = answer.finish_reason in {decoded(stream).finish_reason, "unknown"}
            results[source] = same_end and by_sdk(sdk, number, stream=True) == told_by_us(answer)
    agree(results, 153)


def cut_results(body: bytes, position: int) -> bool:
    """Whether a stream cut at `position` looks complete."""
    parser, decoder = EventParser(), openai_responses.stream_decoder()
    try:
        for event in [*parser.feed(body[:position]), *parser.close()]:
            decoder.feed(event)
    except TidyllmError:
        return False
    return decoder.done


def first_complete(body: bytes) -> int:
    """The first position at which the end marker is in."""
    marker = max(
        body.rfind(f'"type":"response.{word}"'.encode()) for word in ("completed", "incomplete", "failed")
    )
    return body.index(b"\n", marker)


def test_a_stream_cut_before_its_end_marker_never_looks_complete() -> None:
    chance = random.Random(7)
    for exchange in filter(is_stream, answered()):
        body = answer_bytes(exchange)
        whole = first_complete(body)
        for position in {0, 1, whole - 1, whole, *chance.sample(range(whole), 12)}:
            assert not cut_results(body, position)
        assert cut_results(body, len(body))


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_a_stream_cut_at_any_byte_never_looks_complete() -> None:
    for exchange in filter(is_stream, answered()):
        body = answer_bytes(exchange)
        whole = first_complete(body)
        # Fed byte by byte, the parser and the decoder see every cut; `close` at each of them is what a cut adds.
        parser, decoder = EventParser(), openai_responses.stream_decoder()
        for position in range(whole):
            for event in parser.feed(body[position : position + 1]):
                decoder.feed(event)
            assert not decoder.done
        for position in range(max(0, whole - 400), whole + 1):
            assert not cut_results(body, position)


def says_something(body: bytes) -> bool:
    """Whether these bytes of a stream hold more than its head."""
    parser, decoder = EventParser(), openai_responses.stream_decoder()
    return any(not piece.is_head for event in parser.feed(body) for piece in decoder.feed(event))


async def test_a_stream_cut_on_the_socket_is_interrupted() -> None:
    recorded = [one for one in answered() if is_stream(one)]
    assert len(recorded) == 14
    with Replay(recorded) as server:
        for number, one in enumerate(recorded):
            body = answer_bytes(one)
            whole = first_complete(body) - 1
            for cut in range(0, whole, max(whole // 12, 1)):
                where = server.url(number, "/v1", cut=cut)
                asked = model("openai/m", base_url=where, api_key="any", format="openai_responses")
                with pytest.raises((StreamInterrupted, Unreachable)) as caught:
                    async for _ in asked.stream("q"):
                        pass
                assert isinstance(caught.value, StreamInterrupted) == says_something(body[:cut])


def test_reading_a_stream_in_pieces_of_any_size_gives_the_same_answer() -> None:
    exchange = next(filter(is_stream, answered()))
    body = answer_bytes(exchange)
    for size in (1, 7, 1000):
        parser, decoder = EventParser(), openai_responses.stream_decoder()
        chunks = [body[start : start + size] for start in range(0, len(body), size)]
        pieces = [piece for chunk in chunks for event in parser.feed(chunk) for piece in decoder.feed(event)]
        assert fold(pieces) == decoded(body)
