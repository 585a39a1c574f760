"""Streams for a caller who speaks the chat format: pieces to events."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.models.openai_chat.samples import pieces_of, written
from tidyllm.errors import Overloaded, RateLimited
from tidyllm.models.fold import fold, unfold
from tidyllm.models.message import Opaque, Part, Text, Thinking, ToolCall
from tidyllm.models.openai_chat import openai_chat
from tidyllm.models.piece import (
    Finish,
    Piece,
    Start,
    TextPiece,
    ThinkingPiece,
    ToolCallPiece,
    UsagePiece,
    WholePart,
)
from tidyllm.models.request import Request
from tidyllm.models.response import Response, Usage

START = Start("claude", "msg_1")
STOP = Finish("stop", "end_turn")
PLAIN = Request("Why?", model="asked")
USAGE = UsagePiece(Usage(input_tokens=5, output_tokens=7))


def events(*pieces: Piece, request: Request = PLAIN) -> list[Any]:
    """The events of a stream, decoded, without the end marker."""
    lines = written(pieces, request).decode().split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [msgspec.json.decode(line.removeprefix("data: ")) for line in lines[:-2]]


def deltas(*pieces: Piece) -> list[dict[str, Any]]:
    """The deltas of the pieces after the start."""
    return [event["choices"][0]["delta"] for event in events(START, *pieces)[1:]]


def test_a_text_goes_out_as_openai_sends_it() -> None:
    first, text, last = events(START, TextPiece('Bé "quoted"'), STOP)
    head = {"id": "msg_1", "object": "chat.completion.chunk", "created": first["created"], "model": "claude"}
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    quoted = {"index": 0, "delta": {"content": 'Bé "quoted"'}, "logprobs": None, "finish_reason": None}
    assert text == {**head, "choices": [quoted]}
    assert last["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]


def test_usage_goes_out_only_to_a_caller_who_asked_for_it() -> None:
    assert all("usage" not in event for event in events(START, USAGE, STOP))
    asked = Request("Why?", extra={"stream_options": {"include_usage": True}})
    *others, last = events(START, UsagePiece(Usage(input_tokens=5)), STOP, USAGE, request=asked)
    assert [event["usage"] for event in others] == [None, None]
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    assert len(events(START, STOP, request=asked)) == 2  # nobody knows it


def test_a_stream_that_begins_without_a_start_gets_one() -> None:
    for piece in (TextPiece("a"), ThinkingPiece("a"), STOP):
        first = events(piece)[0]
        assert first["id"].startswith("chatcmpl-")
        assert first["model"] == "asked"
        assert first["choices"][0]["delta"]["role"] == "assistant"
    assert len(events(START, Start("again"))) == 1


def test_calls_are_numbered_and_named_once() -> None:
    first, more, second, late = deltas(
        ToolCallPiece(1, "a", "f", ""),
        ToolCallPiece(1, arguments="{}"),
        ToolCallPiece(2, "", "g", "{}"),
        ToolCallPiece(2),
        ToolCallPiece(2, name="late"),
    )
    function = {"name": "f", "arguments": ""}
    assert first["tool_calls"] == [{"index": 0, "id": "a", "type": "function", "function": function}]
    assert more["tool_calls"] == [{"index": 0, "function": {"arguments": "{}"}}]
    assert second["tool_calls"][0]["index"] == 1
    assert second["tool_calls"][0]["id"].startswith("call_")
    assert late["tool_calls"] == [{"index": 1, "function": {"name": "late"}}]


def test_a_call_without_arguments_ends_as_an_empty_object() -> None:
    _, filled, last = deltas(ToolCallPiece(0, "a", "f"), Finish("tool_calls"))
    assert filled == {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}
    assert last == {}


def test_a_custom_call_has_its_own_fields() -> None:
    mark = {"openai_chat": {"type": "custom"}}
    first, more, _ = deltas(ToolCallPiece(0, "a", "grep", "", mark), ToolCallPiece(0, arguments="a|b"), STOP)
    custom = {"name": "grep", "input": ""}
    assert first["tool_calls"] == [{"index": 0, "id": "a", "type": "custom", "custom": custom}]
    assert more["tool_calls"] == [{"index": 0, "custom": {"input": "a|b"}}]


def test_reasoning_goes_out_as_text_and_as_details_that_can_be_sent_back() -> None:
    found = deltas(
        ThinkingPiece("H", 0),
        ThinkingPiece("m.", 0),
        ThinkingPiece(signature="sig"),
        ThinkingPiece(index=1, encrypted="x", id="rs"),
        ThinkingPiece("Why", 2),
        ThinkingPiece(index=2, encrypted="y", id="rs_2"),
        ThinkingPiece("?", 2, id="rs_2"),
    )
    assert "".join(one.get("reasoning_content", "") for one in found) == "Hm.Why?"
    text = {"type": "reasoning.text", "index": 0}
    assert [one["reasoning_details"][0] for one in found] == [
        {**text, "text": "H", "id": "tidyllm:"},
        {**text, "text": "m."},
        {**text, "signature": "sig"},
        {"type": "reasoning.encrypted", "index": 1, "data": "x", "id": "tidyllm:rs"},
        {**text, "index": 2, "text": "Why", "id": "tidyllm:"},
        {"type": "reasoning.encrypted", "index": 2, "data": "y", "id": "rs_2"},
        {**text, "index": 2, "text": "?"},
    ]


def test_reasoning_that_came_as_plain_text_goes_out_as_such() -> None:
    mark = {"openai_chat": {"field": "reasoning"}}
    assert deltas(ThinkingPiece("H", 0, extra=mark), ThinkingPiece("m.", 0), ThinkingPiece(index=0)) == [
        {"reasoning_content": "H"},
        {"reasoning_content": "m."},
    ]


def test_sources_and_probabilities_of_a_text_go_with_it() -> None:
    notes = {"annotations": [{"type": "url_citation", "url": "https://a"}], "logprobs": [{"token": "a"}]}
    _, noted = events(START, TextPiece("a", 0, notes))
    choice = noted["choices"][0]
    assert choice["delta"]["annotations"] == [{"type": "url_citation", "url_citation": {"url": "https://a"}}]
    assert choice["logprobs"] == {"content": [{"token": "a"}], "refusal": None}


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (Text(text="a"), [{"content": "a"}]),
        (
            Thinking(text="Hm."),
            [
                {
                    "reasoning_content": "Hm.",
                    "reasoning_details": [
                        {"type": "reasoning.text", "index": 0, "text": "Hm.", "id": "tidyllm:"}
                    ],
                }
            ],
        ),
        (Opaque(format="openai_chat", data={"type": "refusal", "refusal": "No."}), [{"refusal": "No."}]),
        (Opaque(format="openai_responses", data={"type": "refusal", "refusal": "No."}), [{"refusal": "No."}]),
        (
            Opaque(format="openai_chat", data={"type": "audio", "audio": {"id": "a"}}),
            [{"audio": {"id": "a"}}],
        ),
        (Opaque(format="anthropic", data={"type": "server_tool_use"}), []),
        (Opaque(format="anthropic", data={"type": "refusal", "refusal": 7}), []),
    ],
)
def test_a_part_that_comes_whole(part: Part, expected: list[dict[str, Any]]) -> None:
    assert deltas(WholePart(part, 0)) == expected


def test_a_call_that_comes_whole() -> None:
    (found,) = deltas(WholePart(ToolCall(id="a", name="f", arguments={"x": 1}), 0))
    function = {"name": "f", "arguments": '{"x":1}'}
    assert found["tool_calls"] == [{"index": 0, "id": "a", "type": "function", "function": function}]


def test_fields_of_the_provider_that_this_format_has_too_are_in_every_event() -> None:
    for event in events(
        Start("m", "i", {"service_tier": "flex", "created": 7, "container": {}}), TextPiece("a")
    ):
        assert (event["service_tier"], event["created"]) == ("flex", 7)
        assert "container" not in event


@pytest.mark.parametrize("started", [True, False])
def test_an_error_is_an_event_that_clients_raise_and_no_end(*, started: bool) -> None:
    encoder = openai_chat.stream_encoder(PLAIN)
    if started:
        encoder.feed(START)
    event = encoder.error(Overloaded("gone", hint=""))
    assert event == b'data: {"error":{"message":"gone","type":"server_error","param":null,"code":null}}\n\n'
    assert b"rate_limit_exceeded" in encoder.error(RateLimited("busy"))


def test_what_was_written_is_read_as_the_same_answer() -> None:
    response = Response(
        content=(Thinking(text="Hm.", signature="s"), Text(text="a"), ToolCall.parse("c", "f", '{"x":1}')),
        finish_reason="tool_calls",
        finish_reason_raw="tool_calls",
        usage=Usage(input_tokens=5, output_tokens=7),
        model="m",
        id="i",
    )
    again = fold(pieces_of(written(unfold(response))))
    assert (again.text, again.reasoning, again.tool_calls) == (
        response.text,
        response.reasoning,
        response.tool_calls,
    )
    assert (again.model, again.id, again.finish_reason) == ("m", "i", "tool_calls")
    assert (again.usage.input_tokens, again.usage.output_tokens) == (5, 7)
