"""Streams: Anthropic's events to pieces, and pieces of any provider to events for a caller."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models.anthropic.samples import (
    block,
    ending,
    event,
    pieces,
    start,
    streamed,
    text_block,
    wire,
)
from tests.models.anthropic.test_request import json_values
from tests.models.anthropic.test_response import FULL
from tidyllm.errors import BadAnswer, ModelError, Overloaded, RateLimited
from tidyllm.models.anthropic import anthropic
from tidyllm.models.fold import fold, unfold
from tidyllm.models.message import Opaque, Text, ToolCall
from tidyllm.models.piece import (
    Finish,
    Start,
    TextPiece,
    UsagePiece,
)
from tidyllm.models.response import Usage
from tidyllm.models.sse import Event, EventParser

JSON = "input_json_delta"


def test_text_comes_piece_by_piece() -> None:
    found, done = pieces(wire(start(), text_block(0, "Hel", "lo"), ending()))
    assert done
    assert found == [
        Start("claude-x-1", "msg_1", format="anthropic"),
        UsagePiece(Usage(3, 2, raw={"input_tokens": 3, "output_tokens": 2})),
        TextPiece("", 0),
        TextPiece("Hel", 0),
        TextPiece("lo", 0),
        UsagePiece(Usage(3, 9, raw={"input_tokens": 3, "output_tokens": 9})),
        Finish("stop", "end_turn"),
    ]


@pytest.mark.parametrize("named", [True, False])
def test_a_stream_and_a_whole_answer_are_the_same_response(named: bool) -> None:
    """Also from a server that leaves out the names of events."""
    response = streamed(
        start(container=FULL["container"], usage={**FULL["usage"], "output_tokens": 1, "output_tokens_details": None}),
        {"type": "ping"},
        block(0, {"type": "thinking", "thinking": "", "signature": ""}, {"type": "thinking_delta", "thinking": "h"},
              {"type": "thinking_delta", "thinking": "m", "estimated_tokens": 50},
              {"type": "signature_delta", "signature": "sig"}),
        block(1, {"type": "redacted_thinking", "data": "xyz"}),
        block(2, {"type": "text", "text": "", "citations": []}, {"type": "text_delta", "text": "Sun"},
              {"type": "citations_delta", "citation": FULL["content"][2]["citations"][0]},
              {"type": "text_delta", "text": "ny"}),
        block(3, {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {}},
              {"type": JSON, "partial_json": ""}, {"type": JSON, "partial_json": '{"query":'},
              {"type": JSON, "partial_json": '"q"}'}),
        block(4, {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}, "caller": {"type": "direct"}},
              {"type": JSON, "partial_json": ""}, {"type": JSON, "partial_json": '{"a":'},
              {"type": JSON, "partial_json": "1}"}),
        {"type": "event_of_next_year"},
        ending("tool_use", output_tokens=7, output_tokens_details={"thinking_tokens": 4}),
        named=named,
    )  # fmt: skip
    whole = anthropic.decode_response(FULL)
    assert fold(unfold(response), base=whole) == whole


def test_a_later_usage_replaces_the_counts_it_names() -> None:
    split = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 40}
    first = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 40,
        "cache_creation": split,
        "output_tokens": 1,
    }
    later: dict[str, Any] = {
        "input_tokens": 12,
        "cache_creation_input_tokens": 45,
        "cache_read_input_tokens": None,
    }
    usage = streamed(start(usage=first), ending(**later)).usage
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens) == (57, 9, None)
    assert (usage.cache_write_5m_tokens, usage.cache_write_1h_tokens) == (5, 40)
    fewer = streamed(start(usage=first), ending(cache_creation_input_tokens=30)).usage
    assert (fewer.cache_write_5m_tokens, fewer.cache_write_1h_tokens) == (0, 30)


@pytest.mark.parametrize(
    ("given", "deltas", "raw"),
    [
        ({}, [], "{}"),
        ({}, [{"type": JSON, "partial_json": ""}], "{}"),
        ({"a": 1}, [], '{"a":1}'),
        ({}, [{"type": JSON, "partial_json": '{"a": 1}'}], '{"a": 1}'),
    ],
)
def test_arguments_come_in_deltas_or_at_the_start_or_not_at_all(
    given: dict[str, Any], deltas: list[dict[str, Any]], raw: str
) -> None:
    response = streamed(
        start(),
        block(0, {"type": "tool_use", "id": "t", "name": "f", "input": given}, *deltas),
        ending("tool_use"),
    )
    assert response.content == (ToolCall.parse("t", "f", raw),)


def test_a_block_of_an_unknown_type_comes_whole_at_its_end() -> None:
    response = streamed(
        start(),
        block(0, {"type": "compaction", "content": None}, {"type": "compaction_delta", "content": "sum"}),
        block(1, {"type": "song", "text": "la"}, {"type": "text_delta", "text": " la"},
              {"type": "thinking_delta", "thinking": "hm"}, {"type": "verse_delta", "lines": 2}),
        ending(),
    )  # fmt: skip
    assert response.content == (
        Opaque(format="anthropic", data={"type": "compaction", "content": "sum"}),
        Opaque(format="anthropic", data={"type": "song", "text": "la la", "thinking": "hm", "lines": 2}),
    )


def test_a_block_that_is_never_closed_is_not_lost() -> None:
    opened = block(0, {"type": "tool_use", "id": "t", "name": "f", "input": {}})[:-1]
    assert streamed(start(), opened, ending("tool_use")).tool_calls == (ToolCall.parse("t", "f", "{}"),)


def test_the_model_that_takes_over_is_the_one_that_served() -> None:
    hop = {"type": "fallback", "from": {"model": "claude-x-1"}, "to": {"model": "claude-y-1"}}
    response = streamed(start(), block(0, hop), text_block(1, "a"), ending())
    assert (response.model, response.id) == ("claude-y-1", "msg_1")
    assert response.content == (Opaque(format="anthropic", data=hop), Text(text="a"))


def test_deltas_of_unknown_kinds_do_not_disturb_a_text() -> None:
    response = streamed(
        start(), block(0, {"type": "text", "text": "a"}, {"type": "mood_delta", "mood": 1}), ending()
    )
    assert response.content == (Text(text="a"),)


def test_closing_a_block_twice_changes_nothing() -> None:
    stop = {"type": "content_block_stop", "index": 0}
    assert streamed(start(), text_block(0, "a"), stop, ending()).text == "a"


def test_nothing_counts_after_the_end() -> None:
    found, done = pieces(
        wire(start(), text_block(0, "a"), ending()) + b"data: [DONE]\n\n" + wire(text_block(0, "b"))
    )
    assert done
    assert isinstance(found[-1], Finish)


def test_why_it_stopped_and_what_else_was_said_stands_in_the_response() -> None:
    response = streamed(
        start(),
        {
            "type": "message_delta",
            "delta": {"stop_reason": "refusal", "stop_details": {"category": "bio"}},
            "context_management": {"applied_edits": []},
        },
        {"type": "message_stop"},
    )
    assert response.finish_reason == "refused"
    assert response.extra == {
        "stop_details": {"category": "bio"},
        "context_management": {"applied_edits": []},
    }


def test_a_stream_without_message_delta_ends_for_an_unknown_reason() -> None:
    assert streamed(start(), {"type": "message_stop"}).finish_reason == "unknown"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (wire({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}), Overloaded),
        (
            wire({"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}, named=False),
            RateLimited,
        ),
        (b'event: error\ndata: {"error": {"message": "x"}}\n\n', Overloaded),
        (b"event: error\ndata: upstream connect error\n\n", Overloaded),
        (b'data: {"error": {"type": "api_error", "message": "x"}}\n\n', Overloaded),
    ],
)
def test_an_error_in_the_stream_is_raised_as_its_class(data: bytes, error: type[ModelError]) -> None:
    with pytest.raises(error) as caught:
        pieces(wire(start(), text_block(0, "a")) + data)
    assert caught.value.provider_message


@pytest.mark.parametrize(
    "data",
    [
        b"data: hello\n\n",
        b"data: [1]\n\n",
        b"event: content_block_delta\ndata: {\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
        wire({"type": "message_start"}),
        wire(start()),
        wire({"type": "content_block_start", "index": 0}),
        wire({"type": "content_block_start", "index": "0", "content_block": {"type": "text"}}),
        wire(block(0, {"type": "text", "text": ""})[0]),
        wire({"type": "content_block_delta", "index": 7, "delta": {"type": "text_delta", "text": "a"}}),
        wire({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta"}}),
        wire({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": 1}}),
        wire({"type": "content_block_delta", "index": 0, "delta": {"type": JSON, "partial_json": "{}"}}),
        wire({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "a"}}),
        wire({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "a"}}),
        wire({"type": "content_block_delta", "index": 0}),
        wire({"type": "content_block_stop"}),
        wire({"type": "content_block_stop", "index": [0]}),
        wire({"type": "message_delta", "delta": 1}),
        wire(block(1, {"type": "server_tool_use", "input": {}}, {"type": JSON, "partial_json": "{"})),
        wire(block(1, {"type": "song"}), {"type": "content_block_delta", "index": 1, "delta": {"type": "x"}}),
    ],
)  # fmt: skip
def test_a_broken_stream_is_a_bad_answer(data: bytes) -> None:
    with pytest.raises(BadAnswer):
        pieces(wire(start(), block(0, {"type": "text", "text": ""})) + data)


@pytest.mark.parametrize("first", [text_block(0, "a")[0], *ending()])
def test_a_stream_begins_with_its_message(first: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer):
        anthropic.stream_decoder().feed(event(first))


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["type", "index", "delta", "content_block", "message", "usage", "error"]),
            json_values | st.sampled_from(["message_start", "content_block_start", "text_delta"]),
        )
    )
)
def test_arbitrary_events_never_look_complete(events: list[dict[str, Any]]) -> None:
    decoder = anthropic.stream_decoder()
    try:
        for data in events:
            decoder.feed(Event(event({"type": "x", **data}).data))
    except ModelError:
        pass
    assert not decoder.done


STREAM = wire(
    start(), {"type": "ping"}, text_block(0, "Grüße ", "🙂"),
    block(1, {"type": "tool_use", "id": "t", "name": "f", "input": {}}, {"type": JSON, "partial_json": '{"a":1}'}),
    ending("tool_use"),
)  # fmt: skip


def test_a_stream_cut_anywhere_never_looks_complete() -> None:
    end = STREAM.rindex(b"message_stop") + len(b'message_stop"}\n')
    for cut in range(len(STREAM) + 1):
        parser, decoder = EventParser(), anthropic.stream_decoder()
        try:
            for one in [*parser.feed(STREAM[:cut]), *parser.close()]:
                decoder.feed(one)
        except BadAnswer:
            pass
        assert decoder.done == (cut >= end), cut
