"""Real exchanges: we read them as the official SDK does, and what we write for a caller the SDK reads the same way.

A loopback server plays the recorded bytes of OpenAI and of fifteen services that speak its format.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from openai import APIError, BadRequestError, OpenAI, RateLimitError

from tests.models.openai_chat.samples import pieces_of, written
from tests.models.openai_chat.told import ask_sdk, told_by_sdk, told_by_us
from tests.replay import Replay, answer_bytes
from tests.shared_data import exchanges
from tidyllm import model
from tidyllm.errors import (
    BadAnswer,
    BadRequest,
    RateLimited,
    StreamInterrupted,
    TidyllmError,
    Unreachable,
)
from tidyllm.models.fold import fold, unfold
from tidyllm.models.openai_chat import openai_chat
from tidyllm.models.response import Response
from tidyllm.models.sse import EventParser

KIND = "openai_chat"
LEAST = 0.99
"""The share of all exchanges that must agree; those that do not are listed here and in docs/wire, with the reason."""
_APART = "Gemini counts its reasoning in the total only: we count it as output, the SDK shows what is left"
EXCEPTIONS: dict[str, str] = {
    "tests/models/cassettes/test_openai/test_compatible_api_with_tool_calls_without_id.yaml#0": _APART,
    "tests/models/cassettes/test_openai/test_compatible_api_with_tool_calls_without_id.yaml#1": _APART,
}


def client(server: Replay) -> OpenAI:
    return OpenAI(base_url=f"{server.base_url}/v1", api_key="any", max_retries=0)


def is_stream(exchange: Mapping[str, Any]) -> bool:
    return "event-stream" in exchange["headers"].get("content-type", "")


def is_answer(exchange: Mapping[str, Any]) -> bool:
    """Neither an error nor what some other server happened to say."""
    if is_stream(exchange):
        return "event: error" not in exchange["body"]
    return exchange["status"] == 200 and "choices" in exchange["body_json"]


def ours(exchange: Mapping[str, Any]) -> Response:
    if is_stream(exchange):
        return fold(pieces_of(answer_bytes(exchange)))
    return openai_chat.decode_response(exchange["body_json"])


def agree(name: str, results: dict[str, bool], compared: int) -> None:
    """Enough of the results are good, and the others are known. `compared`: how many docs/wire says there are."""
    assert len(results) == compared
    bad = [source for source, good in results.items() if not good]
    count = f"{len(results) - len(bad)} of {len(results)} {name} agree"
    assert set(bad) <= set(EXCEPTIONS), count
    assert len(bad) <= (1 - LEAST) * len(exchanges(KIND)), count


def test_a_request_read_and_written_back_is_the_same() -> None:
    """But for `stream`, which is always written, and the usage that every stream is asked for."""
    results: dict[str, bool] = {}
    for exchange in exchanges(KIND):
        body: dict[str, Any] = {"stream": False, **exchange["request"]}
        if body["stream"]:
            body["stream_options"] = {**body.get("stream_options", {}), "include_usage": True}
        request, stream = openai_chat.decode_request(exchange["request"])
        encoded = openai_chat.encode_request(request, stream=stream)
        results[exchange["source"]] = encoded.body == body and not encoded.dropped
    agree("requests", results, 203)


def test_we_read_answers_and_streams_as_the_official_sdk_does() -> None:
    results: dict[str, bool] = {}
    with Replay(exchanges(KIND)) as server, client(server) as sdk:
        for number, exchange in enumerate(exchanges(KIND)):
            if is_answer(exchange):
                told = told_by_sdk(ask_sdk(sdk, number, stream=is_stream(exchange)))
                results[exchange["source"]] = told == told_by_us(ours(exchange))
    agree("answers", results, 193)


def test_recorded_errors_have_the_class_that_the_sdk_gives_them() -> None:
    classes = {400: (BadRequestError, BadRequest), 429: (RateLimitError, RateLimited)}
    failed = [(n, e) for n, e in enumerate(exchanges(KIND)) if e["status"] >= 400]
    with Replay(exchanges(KIND)) as server, client(server) as sdk:
        for number, exchange in failed:
            theirs, mine = classes[exchange["status"]]
            with pytest.raises(theirs) as raised:
                ask_sdk(sdk, number, stream=False)
            error = openai_chat.decode_error(exchange["status"], exchange["headers"], answer_bytes(exchange))
            assert type(error) is mine
            body: Any = raised.value.body
            assert (error.provider_message or "").startswith(body["message"])
            assert getattr(error, "field", None) == body.get("param")


def test_what_is_no_answer_is_an_error_here_where_the_sdk_shows_nothing_or_raises() -> None:
    odd = [(n, e) for n, e in enumerate(exchanges(KIND)) if e["status"] == 200 and not is_answer(e)]
    with Replay(exchanges(KIND)) as server, client(server) as sdk:
        for number, exchange in odd:
            with pytest.raises(BadRequest if is_stream(exchange) else BadAnswer):
                ours(exchange)
            if is_stream(exchange):
                with pytest.raises(APIError):
                    ask_sdk(sdk, number, stream=True)
            else:
                assert not ask_sdk(sdk, number, stream=False).choices


def for_caller(told: dict[str, Any], read: dict[str, Any]) -> dict[str, Any]:
    """What a caller must read: where the provider did not say why it ended, or gave a call no id, we fill that in."""
    finish = told["finish"] or ("tool_calls" if told["calls"] else "stop")
    calls = [
        (call[0] or new[0], call[1], call[2] or "{}")
        for call, new in zip(told["calls"], read["calls"], strict=True)
    ]
    return {**told, "id": told["id"] or read["id"], "finish": finish, "calls": calls}


def usage_as_sent(response: Response, told: dict[str, Any]) -> dict[str, Any]:
    """A count that came in this format goes out as it came: Gemini's without its reasoning again."""
    raw = response.usage.raw
    _, _, cached, reasoning = told["usage"]
    return {**told, "usage": (raw.get("prompt_tokens"), raw.get("completion_tokens"), cached, reasoning)}


def test_what_we_write_for_a_caller_the_sdk_reads_as_the_provider_said_it() -> None:
    told = [(exchange["source"], ours(exchange)) for exchange in exchanges(KIND) if is_answer(exchange)]
    headers = {"content-type": "application/json"}
    played = [
        {"status": 200, "headers": headers, "body_json": openai_chat.encode_response(a)} for _, a in told
    ]
    results: dict[str, bool] = {}
    with Replay(played) as server, client(server) as sdk:
        for number, (source, answer) in enumerate(told):
            read = told_by_sdk(ask_sdk(sdk, number, stream=False))
            results[source] = read == for_caller(usage_as_sent(answer, told_by_us(answer)), read)
    agree("answers for callers", results, 193)


def test_what_we_stream_to_a_caller_the_sdk_joins_to_what_the_provider_said() -> None:
    told: list[tuple[str, Response, bytes]] = []
    for exchange in exchanges(KIND):
        if is_answer(exchange):
            answer = ours(exchange)
            found = pieces_of(answer_bytes(exchange)) if is_stream(exchange) else unfold(answer)
            told.append((exchange["source"], answer, written(found)))
    headers = {"content-type": "text/event-stream"}
    played = [{"status": 200, "headers": headers, "body": stream.decode()} for _, _, stream in told]
    results: dict[str, bool] = {}
    with Replay(played) as server, client(server) as sdk:
        for number, (source, answer, _) in enumerate(told):
            read = told_by_sdk(ask_sdk(sdk, number, stream=True))
            results[source] = read == for_caller(usage_as_sent(answer, told_by_us(answer)), read)
    agree("streams for callers", results, 193)


def looks_complete(body: bytes, position: int) -> bool:
    """Whether a stream cut at `position` looks complete."""
    parser, decoder = EventParser(), openai_chat.stream_decoder()
    try:
        for event in [*parser.feed(body[:position]), *parser.close()]:
            decoder.feed(event)
    except TidyllmError:
        return False
    return decoder.done


def streams() -> list[bytes]:
    return [
        answer_bytes(exchange) for exchange in exchanges(KIND) if is_stream(exchange) and is_answer(exchange)
    ]


def test_a_stream_cut_before_its_end_marker_never_looks_complete() -> None:
    chance = random.Random(7)
    for body in streams():
        whole = body.rindex(b"[DONE]") + len(b"[DONE]")
        for position in {0, 1, whole - 1, whole, *chance.sample(range(whole), 12)}:
            assert not looks_complete(body, position)
        assert looks_complete(body, len(body))


def says_something(body: bytes) -> bool:
    """Whether these bytes of a stream hold more than its head."""
    parser, decoder = EventParser(), openai_chat.stream_decoder()
    return any(not piece.is_head for event in parser.feed(body) for piece in decoder.feed(event))


async def test_a_stream_cut_on_the_socket_is_interrupted() -> None:
    recorded = [one for one in exchanges(KIND) if is_stream(one) and is_answer(one)]
    assert len(recorded) == 27
    with Replay(recorded) as server:
        for number, one in enumerate(recorded):
            body = answer_bytes(one)
            whole = body.rindex(b"[DONE]")
            for cut in range(0, whole, max(whole // 12, 1)):
                asked = model("openai/m", base_url=server.url(number, "/v1", cut=cut), api_key="any")
                with pytest.raises((StreamInterrupted, Unreachable)) as caught:
                    async for _ in asked.stream("q"):
                        pass
                assert isinstance(caught.value, StreamInterrupted) == says_something(body[:cut])


@pytest.mark.proof
def test_a_stream_cut_at_any_byte_never_looks_complete() -> None:
    for body in streams():
        whole = body.rindex(b"[DONE]") + len(b"[DONE]")
        # Fed byte by byte, parser and decoder see every cut; `close` at each of the last ones is what a cut adds.
        parser, decoder = EventParser(), openai_chat.stream_decoder()
        for position in range(whole):
            for event in parser.feed(body[position : position + 1]):
                decoder.feed(event)
            assert not decoder.done
        assert not any(looks_complete(body, position) for position in range(max(0, whole - 400), whole + 1))
        assert looks_complete(body, whole + 1)


def test_the_recorded_usage_is_read_alone_as_well() -> None:
    """A gateway that passes an answer on reads only this."""
    for exchange in exchanges(KIND):
        if is_answer(exchange) and not is_stream(exchange):
            raw = msgspec.json.decode(answer_bytes(exchange))["usage"]
            assert openai_chat.decode_usage(raw) == ours(exchange).usage
