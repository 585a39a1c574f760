"""Whole answers: from Anthropic to ours, and from any provider's to a caller of Anthropic's format."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models.anthropic.samples import answer
from tests.models.anthropic.test_request import json_values
from tidyllm.errors import BadAnswer, ModelError, Overloaded, Unsupported
from tidyllm.models.anthropic import anthropic
from tidyllm.models.fold import fold, unfold
from tidyllm.models.message import Image, Opaque, Text, Thinking, ToolCall
from tidyllm.models.response import Response, Usage

FULL = answer(
    {"type": "thinking", "thinking": "hm", "signature": "sig"},
    {"type": "redacted_thinking", "data": "xyz"},
    {"type": "text", "text": "Sunny", "citations": [{"type": "char_location", "cited_text": "sun"}]},
    {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {"query": "q"}},
    {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}, "caller": {"type": "direct"}},
    stop_reason="tool_use",
    container={"id": "c", "expires_at": "soon"},
    usage={
        "input_tokens": 10, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 50,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30},
        "output_tokens": 7, "output_tokens_details": {"thinking_tokens": 4}, "service_tier": "standard",
        "server_tool_use": {"web_search_requests": 1},
    },
)  # fmt: skip


def usage(**counts: Any) -> Usage:
    return anthropic.decode_response(answer(usage=counts)).usage


def shown(response: Response) -> dict[str, Any]:
    """The answer a caller gets, without what is null."""
    return {key: value for key, value in anthropic.encode_response(response).items() if value is not None}


def test_every_part_of_an_answer_finds_its_place() -> None:
    response = anthropic.decode_response(FULL)
    assert response.content == (
        Thinking(text="hm", signature="sig"),
        Thinking(encrypted="xyz"),
        Text(text="Sunny", extra={"citations": [{"type": "char_location", "cited_text": "sun"}]}),
        Opaque(format="anthropic", data=FULL["content"][3]),
        ToolCall.parse("toolu_1", "f", '{"a":1}', {"caller": {"type": "direct"}}),
    )
    assert (response.id, response.model) == ("msg_1", "claude-x-1")
    assert (response.finish_reason, response.finish_reason_raw) == ("tool_calls", "tool_use")
    assert response.extra == {"container": {"id": "c", "expires_at": "soon"}}
    assert response.raw is FULL


def test_the_prompt_counts_whole_and_its_cached_parts_apart() -> None:
    counted = anthropic.decode_response(FULL).usage
    assert (counted.input_tokens, counted.output_tokens, counted.reasoning_tokens) == (160, 7, 4)
    assert (counted.cache_read_tokens, counted.cache_write_5m_tokens, counted.cache_write_1h_tokens) == (
        100,
        20,
        30,
    )
    assert counted.raw == FULL["usage"]


def test_an_answer_of_anthropic_reaches_its_caller_as_it_was() -> None:
    assert shown(anthropic.decode_response(FULL)) == {k: v for k, v in FULL.items() if v is not None}


def test_an_answer_survives_as_pieces() -> None:
    response = anthropic.decode_response(FULL)
    assert fold(unfold(response), base=response) == response


@pytest.mark.parametrize(
    ("raw", "ours"),
    [
        ("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"), ("tool_use", "tool_calls"),
        ("model_context_window_exceeded", "length"), ("pause_turn", "paused"), ("refusal", "refused"),
        ("compaction", "paused"), ("word_of_next_year", "unknown"), (None, "unknown"),
    ],
)  # fmt: skip
def test_each_reason_to_stop_has_its_word_and_comes_back(raw: str | None, ours: str) -> None:
    response = anthropic.decode_response(answer(stop_reason=raw))
    assert (response.finish_reason, response.finish_reason_raw) == (ours, raw)
    assert anthropic.encode_response(response)["stop_reason"] == raw


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (Response((Text(text="a"),), "stop", "stop"), "end_turn"),
        (Response((ToolCall.parse("c", "f", "{}"),), "stop", "stop"), "tool_use"),
        (Response((ToolCall.parse("c", "f", "{}"),), "length", "length"), "max_tokens"),
        (Response((), "refused", "content_filter"), "refusal"),
        (Response((), "paused"), "pause_turn"),
        (Response((), "error", "server_error"), "error"),
        (Response((), "error"), "error"),
        (Response((), "unknown", "eos"), "end_turn"),
        (Response(), "end_turn"),
    ],
)
def test_a_foreign_reason_to_stop_gets_anthropics_word(response: Response, reason: str) -> None:
    assert anthropic.encode_response(response)["stop_reason"] == reason


def test_what_the_usage_does_not_say_stays_unknown() -> None:
    assert usage(input_tokens=5, output_tokens=2) == Usage(5, 2, raw={"input_tokens": 5, "output_tokens": 2})
    assert usage(output_tokens=2, cache_read_input_tokens=9).input_tokens is None
    assert usage(input_tokens="many", output_tokens=-1, cache_read_input_tokens=True) == Usage(
        raw={"input_tokens": "many", "output_tokens": -1, "cache_read_input_tokens": True}
    )
    assert anthropic.decode_response({"content": []}).usage == Usage()


def test_cached_tokens_of_unknown_lifetime_count_as_five_minutes() -> None:
    written = usage(input_tokens=1, cache_creation_input_tokens=8)
    assert (written.cache_write_5m_tokens, written.cache_write_1h_tokens, written.input_tokens) == (
        8,
        None,
        9,
    )
    nothing = usage(input_tokens=1, cache_creation_input_tokens=0)
    assert (nothing.cache_write_5m_tokens, nothing.cache_write_1h_tokens) == (0, None)


counts = st.none() | st.integers(0, 10**6)


@given(counts, counts, counts, st.integers(0, 10**6), st.integers(0, 10**6))
def test_usage_reaches_a_caller_and_comes_back_whole(
    read: int | None, five: int | None, hour: int | None, fresh: int, output: int
) -> None:
    total = fresh + (read or 0) + (five or 0) + (hour or 0)
    ours = Usage(total, output, read, five, hour)
    again = anthropic.decode_usage(anthropic.encode_response(Response(usage=ours))["usage"])
    assert (again.input_tokens, again.output_tokens, again.cache_read_tokens) == (total, output, read)
    assert (again.cache_write_5m_tokens or 0, again.cache_write_1h_tokens or 0) == (five or 0, hour or 0)


def test_an_unknown_usage_is_zero_for_a_caller_who_needs_numbers() -> None:
    told = anthropic.encode_response(Response())["usage"]
    assert told == {
        "input_tokens": 0,
        "output_tokens": 0,
        "cache_creation_input_tokens": None,
        "cache_read_input_tokens": None,
    }


def test_a_foreign_answer_is_dressed_in_anthropics_format() -> None:
    response = Response(
        (
            Thinking(text="hm"),
            Thinking(encrypted="opaque", id="rs_1"),
            Text(text=""),
            Text(text="Hi", extra={"annotations": [1]}),
            ToolCall.parse("", "f", '{"a": 1}', {"index": 0}),
            Opaque(format="openai_responses", data={"type": "web_search_call"}),
        ),
        "tool_calls",
        "tool_calls",
        Usage(30, 5, cache_read_tokens=10, reasoning_tokens=2),
        model="gpt-x",
        extra={"system_fingerprint": "fp"},
    )
    told = shown(response)
    assert told["id"].startswith("msg_")
    call = told["content"].pop()
    assert call.pop("id").startswith("toolu_")
    assert call == {"type": "tool_use", "name": "f", "input": {"a": 1}}
    assert told["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "tidyllm:{}"},
        {"type": "redacted_thinking", "data": 'tidyllm:{"encrypted":"opaque","id":"rs_1"}'},
        {"type": "text", "text": "Hi"},
    ]
    assert told["usage"]["input_tokens"] == 20
    assert told["usage"]["output_tokens_details"] == {"thinking_tokens": 2}
    assert "system_fingerprint" not in told


def test_an_answer_that_cannot_be_shown_is_refused() -> None:
    with pytest.raises(Unsupported, match="hold no Image"):
        anthropic.encode_response(Response((Image(url="u"),)))
    with pytest.raises(BadAnswer, match="no JSON object"):
        anthropic.encode_response(Response((ToolCall.parse("c", "f", "{broken"),)))


def test_an_error_with_a_good_status_is_raised() -> None:
    with pytest.raises(Overloaded, match="Overloaded"):
        anthropic.decode_response(
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        )


@pytest.mark.parametrize("content", [None, "text", {}, [1], [{"type": "text"}], [{"text": "a"}]])
def test_an_answer_without_readable_content_is_a_bad_answer(content: Any) -> None:
    with pytest.raises(BadAnswer, match="format"):
        anthropic.decode_response({"type": "message", "content": content})


@given(st.dictionaries(st.sampled_from([*FULL, "error"]), json_values))
def test_arbitrary_answers_are_taken_or_refused(data: dict[str, Any]) -> None:
    try:
        response = anthropic.decode_response(data)
    except ModelError:
        return
    anthropic.encode_response(response)
