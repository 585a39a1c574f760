"""A stream that is passed on: the caller gets the provider's bytes, and we learn what we must."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.errors import BadAnswer, ModelError, Overloaded, RateLimited
from tidyllm.models.forward import Forward
from tidyllm.models.passthrough import StreamPassthrough, forwarded_body, whole_answer
from tidyllm.models.piece import Finish, Piece, Start, UsagePiece
from tidyllm.models.provider import provider
from tidyllm.models.request import Request
from tidyllm.models.response import Usage


def sse(*events: Any, named: bool = False) -> bytes:
    """Events as a server writes them: JSON compact, with `event:` lines where the format has them."""
    out = b""
    for event in events:
        data: str = event if isinstance(event, str) else msgspec.json.encode(event).decode()
        name = f"event: {event['type']}\n" if named and not isinstance(event, str) else ""
        out += f"{name}data: {data}\n\n".encode()
    return out


def chunk(content: str = "", finish: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {"content": content} if content else {}
    return {
        "id": "c-1",
        "model": "gpt-x",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        "usage": None,
        **more,
    }


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
USAGE_ALONE: dict[str, Any] = {"id": "c-1", "model": "gpt-x", "choices": [], "usage": USAGE}
CHAT = (chunk("Hel"), chunk("lo"), chunk(finish="stop", service_tier="default"), USAGE_ALONE, "[DONE]")

RESPONSE: dict[str, Any] = {"id": "r-1", "model": "gpt-x", "status": "in_progress", "output": []}
RESPONSES: tuple[Any, ...] = (
    {"type": "response.created", "response": RESPONSE},
    {"type": "response.output_text.delta", "output_index": 0, "delta": "says response.completed"},
    {
        "type": "response.completed",
        "response": {
            **RESPONSE,
            "status": "completed",
            "output": [{"type": "function_call", "call_id": "k", "arguments": "ends with .delta"}],
            "usage": {"input_tokens": 3, "output_tokens": 2},
        },
    },
)
MESSAGES = (
    {"type": "message_start", "message": {"id": "m-1", "model": "claude-x", "usage": {"input_tokens": 3}}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": '"message_stop"'}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
)
STREAMS = {
    "openai_chat": sse(*CHAT),
    "openai_responses": sse(*RESPONSES, named=True),
    "anthropic": sse(*MESSAGES, named=True),
}


class Passed:
    """What came out of a stream."""

    def __init__(
        self, format: str, chunks: Sequence[bytes], *, hides_usage: bool = False, ends: bool = True
    ) -> None:
        stream = StreamPassthrough(format, hides_usage=hides_usage)
        self.data = b""
        self.pieces: list[Piece] = []
        for each in chunks:
            self._take(stream.feed(each))
        if ends and stream.fault is None and not stream.done:
            self._take(stream.close())
        self.done = stream.done
        self.fault = stream.fault

    def _take(self, piece: Any) -> None:
        if piece is not None:
            assert piece.data or piece.pieces, "an empty piece would wake the caller for nothing"
            self.data += piece.data
            self.pieces += piece.pieces

    @property
    def usage(self) -> Usage:
        return [piece.usage for piece in self.pieces if isinstance(piece, UsagePiece)][-1]


def cut(whole: bytes, places: list[int]) -> list[bytes]:
    return [whole[a:b] for a, b in pairwise([0, *sorted(places), len(whole)])]


PLACES = st.lists(st.integers(0, 600), max_size=12)


@pytest.mark.parametrize("format", STREAMS)
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@given(places=PLACES)
def test_the_bytes_pass_whatever_the_chunks_and_line_ends(format: str, end: bytes, places: list[int]) -> None:
    whole = STREAMS[format].replace(b"\n", end)
    passed = Passed(format, cut(whole, [p for p in places if p < len(whole)]))
    assert passed.done
    assert passed.data in (
        whole,
        whole.removesuffix(b"\n"),
    )  # CR LF may be cut in two right after the end marker


@pytest.mark.parametrize("format", STREAMS)
@given(places=PLACES)
def test_what_must_be_known_is_known_whatever_the_chunks(format: str, places: list[int]) -> None:
    passed = Passed(format, cut(STREAMS[format], [p for p in places if p < len(STREAMS[format])]))
    assert [type(piece) for piece in passed.pieces if not isinstance(piece, UsagePiece)] == [Start, Finish]
    assert isinstance(start := passed.pieces[0], Start)
    assert start.model in {"gpt-x", "claude-x"}
    assert (passed.usage.input_tokens, passed.usage.output_tokens) == (3, 2)
    assert isinstance(finish := passed.pieces[-1], Finish)
    assert finish.finish_reason == ("tool_calls" if format == "openai_responses" else "stop")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@given(places=PLACES)
def test_usage_that_only_we_asked_for_is_hidden(end: bytes, places: list[int]) -> None:
    whole = STREAMS["openai_chat"].replace(b"\n", end)
    hidden = sse(USAGE_ALONE).replace(b"\n", end)
    passed = Passed("openai_chat", cut(whole, [p for p in places if p < len(whole)]), hides_usage=True)
    expected = whole.replace(hidden, b"")
    assert passed.data in (expected, expected.removesuffix(b"\n"))
    assert passed.usage.output_tokens == 2


def test_a_first_chunk_without_choices_or_usage_is_not_taken_for_the_usage() -> None:
    """Azure begins with the results of its filter."""
    azure = {"id": "", "model": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]}
    whole = sse(azure, *CHAT)
    assert Passed("openai_chat", [whole], hides_usage=True).data == whole.replace(sse(USAGE_ALONE), b"")


def test_an_event_is_given_out_the_moment_it_is_whole() -> None:
    stream = StreamPassthrough("openai_chat")
    one, two = sse(CHAT[0]), sse(CHAT[1])
    piece = stream.feed(one + two[:20])
    assert piece is not None
    assert piece.data == one
    assert stream.feed(two[20:-1]) is None
    piece = stream.feed(two[-1:])
    assert piece is not None
    assert piece.data == two


def test_what_follows_the_end_marker_is_dropped() -> None:
    whole = STREAMS["openai_chat"]
    assert Passed("openai_chat", [whole + b"data: more\n\n: bye\n\n"]).data == whole


def test_comments_before_the_answer_wait_for_it_and_pass_afterwards() -> None:
    stream = StreamPassthrough("openai_chat")
    assert stream.feed(b": OPENROUTER PROCESSING\n\n") is None
    piece = stream.feed(sse(CHAT[0]))
    assert piece is not None
    assert piece.data == b": OPENROUTER PROCESSING\n\n" + sse(CHAT[0])
    piece = stream.feed(b": still there\n\n")
    assert piece is not None
    assert piece.data == b": still there\n\n"


def test_comments_without_end_before_an_answer_take_no_memory() -> None:
    stream = StreamPassthrough("openai_chat")
    for _ in range(10_000):
        assert stream.feed(b": processing\n\n") is None
    piece = stream.feed(sse(CHAT[0]))
    assert piece is not None
    assert len(piece.data) < 20_000


@pytest.mark.parametrize(
    ("format", "events"),
    [
        ("openai_chat", sse({"error": {"message": "slow down", "code": "rate_limit_exceeded"}})),
        (
            "openai_responses",
            sse({"type": "error", "code": "rate_limit_exceeded", "message": "slow down"}, named=True),
        ),
        (
            "anthropic",
            sse({"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}, named=True),
        ),
    ],
)
@given(places=PLACES)
def test_an_error_in_place_of_an_answer_reaches_nobody_as_bytes(
    format: str, events: bytes, places: list[int]
) -> None:
    whole = b": processing\n\n" + events
    passed = Passed(format, cut(whole, [p for p in places if p < len(whole)]))
    assert passed.data == b""
    assert isinstance(passed.fault, RateLimited)
    assert "slow down" in passed.fault.message


@given(places=PLACES)
def test_an_error_in_the_middle_comes_after_the_events_before_it(places: list[int]) -> None:
    before = sse(*MESSAGES[:3], named=True)
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    whole = before + sse(error, *MESSAGES[3:], named=True)
    passed = Passed("anthropic", cut(whole, [p for p in places if p < len(whole)]))
    assert passed.data == before
    assert isinstance(passed.fault, Overloaded)
    assert not passed.done


def test_a_failed_response_is_an_error() -> None:
    failed: Any = {
        "type": "response.failed",
        "response": {**RESPONSE, "status": "failed", "error": {"message": "oh"}},
    }
    passed = Passed("openai_responses", [sse(RESPONSES[0], failed, named=True)])
    assert passed.data == sse(RESPONSES[0], named=True)
    assert isinstance(passed.fault, ModelError)


def test_openrouter_says_in_a_choice_that_the_provider_behind_it_broke_off() -> None:
    broke = chunk(finish="error")
    broke["choices"][0]["error"] = {"message": "upstream", "code": 502}
    passed = Passed("openai_chat", [sse(CHAT[0], broke)])
    assert isinstance(passed.fault, Overloaded)


@pytest.mark.parametrize("format", STREAMS)
@pytest.mark.parametrize(
    "garbage",
    [
        b"data: <html>\n\n",
        b"data: [1]\n\n",
        b'data: {"a": 1}\n\n',
        b"data: \xff\n\n",
        b"event: x\ndata: {\n\n",
    ],
)
def test_garbage_in_place_of_an_answer_reaches_nobody(format: str, garbage: bytes) -> None:
    passed = Passed(format, [garbage])
    assert passed.data == b""
    assert isinstance(passed.fault, BadAnswer)


@pytest.mark.parametrize("format", STREAMS)
@given(cut_at=st.integers(0, 700))
def test_a_cut_is_never_taken_for_the_end(format: str, cut_at: int) -> None:
    whole = STREAMS[format]
    if cut_at >= len(whole.rstrip(b"\n")):
        return
    passed = Passed(format, [whole[:cut_at]], ends=False)
    assert not passed.done
    assert whole.startswith(passed.data)


def test_a_server_that_forgets_the_last_blank_line_has_ended() -> None:
    whole = STREAMS["openai_chat"]
    passed = Passed("openai_chat", [whole[:-1]])
    assert passed.done
    assert passed.data == whole


def test_a_server_that_forgets_the_end_marker_has_ended_once_it_said_why() -> None:
    whole = sse(*CHAT[:-1])
    passed = Passed("openai_chat", [whole])
    assert passed.done
    assert passed.data == whole + b"data: [DONE]\n\n"
    assert isinstance(finish := passed.pieces[-1], Finish)
    assert finish.extra == {"service_tier": "default"}
    assert not Passed("openai_chat", [sse(*CHAT[:2])]).done


def test_an_end_marker_without_an_answer_is_no_answer() -> None:
    for format, end in (
        ("openai_chat", sse("[DONE]")),
        ("anthropic", sse({"type": "message_stop"}, named=True)),
    ):
        passed = Passed(format, [end])
        assert isinstance(passed.fault, BadAnswer)
        assert passed.data == b""


def test_several_choices_pass() -> None:
    two = {
        "id": "c",
        "model": "m",
        "choices": [{"index": 1, "delta": {"content": "x"}, "finish_reason": "stop"}],
    }
    whole = sse(two, "[DONE]")
    assert Passed("openai_chat", [whole]).data == whole


def test_an_event_without_end_is_a_fault() -> None:
    stream = StreamPassthrough("openai_chat")
    stream.feed(sse(CHAT[0]))
    for _ in range(9):
        stream.feed(b"x" * 1_000_000)
    assert isinstance(stream.fault, BadAnswer)


# -- requests


def forward(format: str = "openai_chat", *, stream: bool = True, body: bytes = b"{}") -> Forward:
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return Forward(format, fields, stream, lambda: Request("unused"))


OPENAI = provider("openai", api_key="k")


def test_unknown_fields_go_out_as_they_came() -> None:
    body = b'{"model":"alias","x":{"b":1.50,"a":[1e3,null]},"messages":[{"role":"user","content":"\\u00e9"}]}'
    sent, hides = forwarded_body(forward(stream=False, body=body), "gpt-x", OPENAI)
    assert sent == body.replace(b"alias", b"gpt-x")
    assert not hides


def test_a_chat_stream_is_asked_for_its_usage() -> None:
    sent, hides = forwarded_body(forward(body=b'{"model":"a"}'), "m", OPENAI)
    assert msgspec.json.decode(sent) == {"model": "m", "stream_options": {"include_usage": True}}
    assert hides


def test_other_stream_options_stay_beside_the_usage() -> None:
    body = b'{"stream_options":{"include_obfuscation":false,"include_usage":false}}'
    sent, hides = forwarded_body(forward(body=body), "m", OPENAI)
    options = {"include_obfuscation": False, "include_usage": True}
    assert msgspec.json.decode(sent)["stream_options"] == options
    assert hides


def test_usage_that_the_caller_asked_for_is_his() -> None:
    body = b'{"stream_options":{"include_usage":true}}'
    assert not forwarded_body(forward(body=body), "m", OPENAI)[1]


def test_a_service_that_refuses_stream_options_gets_none() -> None:
    sent, hides = forwarded_body(forward(body=b"{}"), "m", provider("mistral", api_key="k"))
    assert msgspec.json.decode(sent) == {"model": "m"}
    assert not hides


def test_other_formats_get_no_stream_options() -> None:
    for format in ("openai_responses", "anthropic"):
        assert msgspec.json.decode(forwarded_body(forward(format, body=b"{}"), "m", OPENAI)[0]) == {
            "model": "m"
        }


# -- whole answers

WHOLE: dict[str, dict[str, Any]] = {
    "openai_chat": {
        "id": "c-1",
        "model": "gpt-x",
        "service_tier": "flex",
        "choices": [{"finish_reason": "length", "message": {}}],
        "usage": USAGE,
    },
    "openai_responses": {
        **RESPONSE,
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
        "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5},
    },
    "anthropic": {
        "id": "m-1",
        "model": "claude-x",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "max_tokens",
        "usage": {"input_tokens": 3, "output_tokens": 2},
    },
}


@pytest.mark.parametrize("format", WHOLE)
def test_a_whole_answer_passes_with_its_head_read(format: str) -> None:
    body = msgspec.json.encode(WHOLE[format])
    answer = whole_answer(forward(format), body)
    assert answer.body == body
    assert answer.finish_reason == "length"
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (3, 2)
    assert answer.id == WHOLE[format]["id"]
    assert answer.extra == ({"service_tier": "flex"} if format == "openai_chat" else {})


def test_embeddings_and_token_counts_pass() -> None:
    embeddings = {
        "data": [{"embedding": [0.1]}],
        "model": "e",
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }
    assert whole_answer(forward("openai_embeddings"), msgspec.json.encode(embeddings)).usage.input_tokens == 4
    count = whole_answer(forward("anthropic_count_tokens"), b'{"input_tokens": 9}')
    assert count.body == b'{"input_tokens": 9}'


@pytest.mark.parametrize("format", [*WHOLE, "openai_embeddings", "anthropic_count_tokens"])
@pytest.mark.parametrize(
    "body", [b"", b" ", b"<html>", b"[]", b"{}", b'{"id": "x"}', b"\xff", b'{"a":' * 100_000]
)
def test_what_is_no_answer_of_the_endpoint_is_a_bad_answer(format: str, body: bytes) -> None:
    with pytest.raises(BadAnswer):
        whole_answer(forward(format), body)


def test_an_error_with_status_200_is_that_error() -> None:
    with pytest.raises(RateLimited, match="slow down"):
        whole_answer(forward(), b'{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}')
    with pytest.raises(Overloaded):
        whole_answer(
            forward("anthropic"),
            b'{"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}',
        )


# -- odd streams


def test_the_other_formats_end_marker_ends_nothing() -> None:
    whole = sse(RESPONSES[0], "[DONE]", *RESPONSES[1:])
    passed = Passed("openai_responses", [whole])
    assert passed.data == whole
    assert passed.done


def test_an_answer_that_ends_with_an_error_in_it_failed() -> None:
    broken = {
        "type": "response.completed",
        "response": {**RESPONSE, "status": "failed", "error": {"message": "oh"}},
    }
    assert isinstance(Passed("openai_responses", [sse(RESPONSES[0], broken)]).fault, ModelError)
    hollow = {"type": "response.completed"}
    assert isinstance(Passed("openai_responses", [sse(RESPONSES[0], hollow)]).fault, BadAnswer)


def test_a_stream_that_ends_without_its_marker_has_not_ended() -> None:
    for format, events in (("openai_responses", RESPONSES[:2]), ("anthropic", MESSAGES[:3])):
        assert not Passed(format, [sse(*events, named=True)]).done


def test_a_ping_before_the_answer_waits_for_it() -> None:
    whole = sse(MESSAGES[1], *MESSAGES, named=True)
    assert Passed("anthropic", [sse(MESSAGES[1], named=True)], ends=False).data == b""
    assert Passed("anthropic", [whole]).data == whole


def test_an_error_event_in_other_words_than_json_is_an_error() -> None:
    for format in STREAMS:
        assert isinstance(Passed(format, [b"event: error\ndata: upstream timed out\n\n"]).fault, ModelError)


def test_an_answer_without_usage_has_none() -> None:
    passed = Passed("anthropic", [sse({**MESSAGES[0], "message": {"id": "m"}}, MESSAGES[-1], named=True)])
    assert passed.done
    assert not [piece for piece in passed.pieces if isinstance(piece, UsagePiece)]


def test_the_second_half_of_a_hidden_line_end_is_hidden_too() -> None:
    before, hidden, end = sse(*CHAT[:3]), sse(USAGE_ALONE), sse(CHAT[-1])
    chunks = [(before + hidden).replace(b"\n", b"\r\n")[:-1], b"\n" + end.replace(b"\n", b"\r\n")]
    passed = Passed("openai_chat", chunks, hides_usage=True)
    assert passed.data == (before + end).replace(b"\n", b"\r\n")


def test_a_fault_in_the_last_event_without_a_blank_line_is_told() -> None:
    stream = StreamPassthrough("anthropic")
    stream.feed(sse(MESSAGES[0], named=True))
    stream.feed(b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error"}}\n')
    assert stream.fault is None
    assert stream.close() is None
    assert isinstance(stream.fault, Overloaded)
    assert stream.feed(b"data: more\n\n") is None
