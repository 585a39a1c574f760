"""Streams that we write for callers: the official SDK joins the pieces of any format to the same answer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import APIError, OpenAI
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from tests.models.openai_responses.told import decoded, encoded_stream, told_by_sdk, told_by_us
from tests.replay import Replay
from tidyllm.errors import Overloaded
from tidyllm.models.fold import fold
from tidyllm.models.message import Image, Opaque, Text, Thinking, ToolCall
from tidyllm.models.openai_responses import openai_responses
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
from tidyllm.models.response import Usage
from tidyllm.models.sse import EventParser

HEADERS = {"content-type": "text/event-stream"}
END: list[Piece] = [UsagePiece(Usage(input_tokens=3, output_tokens=2)), Finish("stop", "end_turn")]


def events_of(body: bytes) -> list[dict[str, Any]]:
    return [msgspec.json.decode(event.data) for event in EventParser().feed(body)]


def joined_by_sdk(body: bytes) -> dict[str, Any]:
    with (
        Replay([{"status": 200, "headers": HEADERS, "body": body.decode()}]) as server,
        OpenAI(base_url=server.url(0, "/v1"), api_key="any", max_retries=0) as sdk,
        sdk.responses.stream(model="any", input="any") as events,
    ):
        return told_by_sdk(events.get_final_response())


def answer_of(pieces: list[Piece]) -> dict[str, Any]:
    """What the pieces tell, with the numbers that this format says where usage is half known."""
    told = told_by_us(fold(pieces))
    return {**told, "usage": told["usage"] and {**told["usage"], "cached": 0, "reasoning": 0}}


def test_the_whole_sequence_of_events() -> None:
    pieces: list[Piece] = [
        Start("claude", "msg_7"),
        ThinkingPiece("Hm", 0),
        ThinkingPiece(".", 0),
        ThinkingPiece("", 0, signature="sig"),
        TextPiece("Hel", 1),
        TextPiece("lo", 1),
        ToolCallPiece(2, "toolu_1", "f"),
        ToolCallPiece(2, arguments='{"a":'),
        ToolCallPiece(2, arguments=" 1}"),
        UsagePiece(Usage(input_tokens=3, output_tokens=2)),
        Finish("tool_calls", "tool_use"),
    ]
    body = encoded_stream(pieces)
    events = events_of(body)
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created", "in_progress",
        "output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta",
        "reasoning_summary_text.delta", "reasoning_summary_text.done", "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added", "content_part.added", "output_text.delta", "output_text.delta", "output_text.done",
        "content_part.done", "output_item.done",
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.delta",
        "function_call_arguments.done", "output_item.done",
        "completed",
    ]  # fmt: skip
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["response"]["output"] == [
        e["item"] for e in events if e["type"] == "response.output_item.done"
    ]
    assert events[8]["item"]["encrypted_content"] == 'tidyllm:{"signature":"sig"}'
    assert joined_by_sdk(body) == answer_of(pieces)


def test_every_event_is_valid_for_the_sdks_own_types() -> None:
    pieces: list[Piece] = [
        Start("m", "i"),
        ThinkingPiece("Hm", 0),
        TextPiece("Hello", 1),
        TextPiece("", 1, {"citations": [{"url": "u", "title": "t"}]}),
        ToolCallPiece(2, "c1", "f", "{}"),
        WholePart(Image(data=b"png"), 3),
        *END,
    ]
    check: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    for event in events_of(encoded_stream(pieces)):
        assert check.validate_python(event).type == event["type"]


def test_calls_told_at_the_same_time_stay_apart() -> None:
    pieces: list[Piece] = [
        Start("m", "i"),
        ToolCallPiece(0, "c1", "f", '{"a":'),
        ToolCallPiece(1, "c2", "g", '{"b":'),
        ToolCallPiece(0, arguments="1}"),
        ToolCallPiece(1, arguments="2}"),
        *END,
    ]
    assert joined_by_sdk(encoded_stream(pieces)) == answer_of(pieces)


def test_a_call_without_arguments_has_an_empty_object() -> None:
    told = joined_by_sdk(encoded_stream([Start("m", "i"), ToolCallPiece(0, "c1", "f"), *END]))
    assert told["calls"] == [("c1", "f", "{}")]


def test_texts_in_a_row_are_one_message_and_later_ones_are_another() -> None:
    pieces: list[Piece] = [
        Start("m", "i"), TextPiece("One. ", 0), TextPiece("Two. ", 1), ThinkingPiece("Hm", 2), TextPiece("Three. ", 3),
        TextPiece("Four.", 0), *END,
    ]  # fmt: skip
    body = encoded_stream(pieces)
    kinds = [
        (item["type"], len(item.get("content", []))) for item in events_of(body)[-1]["response"]["output"]
    ]
    assert kinds == [("message", 2), ("reasoning", 0), ("message", 2)]
    assert joined_by_sdk(body)["text"] == "One. Two. Three. Four."


def test_texts_of_two_messages_stay_in_two() -> None:
    def of(id: str) -> dict[str, Any]:
        return {"openai_responses": {"item": {"id": id}}}

    pieces: list[Piece] = [
        Start("m", "i"),
        TextPiece("One", 0, of("msg_1")),
        TextPiece("Two", 1, of("msg_2")),
        *END,
    ]
    output = events_of(encoded_stream(pieces))[-1]["response"]["output"]
    assert [item["id"] for item in output] == ["msg_1", "msg_2"]


def test_a_signature_that_comes_after_the_end_is_in_the_last_event() -> None:
    pieces: list[Piece] = [
        Start("m", "i"), ThinkingPiece("Hm", 0), TextPiece("Hello", 1), ThinkingPiece("", 0, "sig"),
        TextPiece("", 1), TextPiece(" you", 1), ThinkingPiece(" more", 0), TextPiece("", 1, {"new": 1}), *END,
    ]  # fmt: skip
    output = events_of(encoded_stream(pieces))[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["reasoning", "message", "reasoning"]
    assert output[0]["encrypted_content"] == 'tidyllm:{"signature":"sig"}'
    assert joined_by_sdk(encoded_stream(pieces))["reasoning"] == "Hm more"


def test_nothing_said_opens_nothing() -> None:
    pieces: list[Piece] = [TextPiece("", 0), ThinkingPiece("", 1), ToolCallPiece(2, "c1", "f", "{}"), *END]
    events = events_of(encoded_stream(pieces))
    assert events[0]["type"] == "response.created"
    assert [item["type"] for item in events[-1]["response"]["output"]] == ["function_call"]


def test_whole_parts_are_announced_and_ended() -> None:
    refusal = Opaque(
        format="openai_responses",
        data={"type": "refusal", "refusal": "No."},
        extra={"openai_responses": {"item": {}}},
    )
    future = Opaque(
        format="openai_responses", data={"type": "new"}, extra={"openai_responses": {"item": {"id": "msg_5"}}}
    )
    pieces: list[Piece] = [
        Start("m", "i"),
        WholePart(Thinking(text="Hm", signature="sig"), 0),
        WholePart(Text(text="Hello"), 1),
        WholePart(ToolCall(id="c1", name="f", arguments={"a": 1}), 2),
        WholePart(Opaque(format="openai_responses", data={"type": "web_search_call", "id": "ws_1"}), 3),
        WholePart(Opaque(format="anthropic", data={}), 4),
        WholePart(future, 5),
        WholePart(refusal, 6),
        Finish("refused"),
    ]
    body = encoded_stream(pieces)
    response = events_of(body)[-1]["response"]
    kinds = ["reasoning", "message", "function_call", "web_search_call", "message"]
    assert [item["type"] for item in response["output"]] == kinds
    assert response["output"][4]["content"] == [{"type": "new"}, {"type": "refusal", "refusal": "No."}]
    assert response["status"] == "completed"
    assert decoded(body).finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("finish", "event"),
    [
        (Finish("length"), "response.incomplete"),
        (Finish("error"), "response.failed"),
        (Finish("paused", "pause_turn"), "response.incomplete"),
        (Finish("stop"), "response.completed"),
    ],
)
def test_the_last_event_says_how_it_ended(finish: Finish, event: str) -> None:
    for open_part in (TextPiece("Hel", 0), ToolCallPiece(0, "c1", "f", "{")):
        last = events_of(encoded_stream([Start("m", "i"), open_part, finish]))[-1]
        assert last["type"] == event
        complete = "incomplete" if event == "response.incomplete" else "completed"
        assert last["response"]["output"][0]["status"] == complete


def test_an_error_in_the_stream_is_raised_by_the_sdk_and_nothing_follows() -> None:
    encoder = openai_responses.stream_encoder(Request(""))
    body = (
        encoder.feed(Start("m", "i")) + encoder.feed(TextPiece("Hel", 0)) + encoder.error(Overloaded("busy"))
    )
    error = events_of(body)[-1]
    assert (error["type"], error["error"]["type"]) == ("error", "server_error")
    assert error["message"].startswith("busy")
    with pytest.raises(APIError, match="busy"):
        joined_by_sdk(body)


PIECES = st.lists(
    st.one_of(
        st.builds(TextPiece, st.text(max_size=4), st.integers(0, 3)),
        st.builds(ThinkingPiece, st.text(max_size=4), st.integers(4, 5), st.none() | st.just("sig")),
        st.builds(ToolCallPiece, st.integers(6, 8), st.just("c1"), st.just("f"), st.text(max_size=4)),
    ),
    max_size=12,
)


@given(PIECES)
def test_any_order_of_pieces_makes_one_consistent_answer(pieces: list[Piece]) -> None:
    """The deltas of an item add up to its end, the ends to the last event, and no item is told before or after."""
    events = events_of(encoded_stream([Start("m", "i"), *pieces, Finish("stop")]))
    told: dict[str, str] = {}
    done: dict[str, dict[str, Any]] = {}
    for event in events[2:-1]:
        id_ = event.get("item_id") or event["item"]["id"]
        assert id_ not in done
        if event["type"] == "response.output_item.added":
            assert event["output_index"] == len(told)
            told[id_] = ""
        elif event["type"] == "response.output_item.done":
            done[id_] = event["item"]
        elif event["type"].endswith(".delta"):
            told[id_] += event["delta"]
    ends = {"message": "content", "reasoning": "summary"}
    for id_, item in done.items():
        texts = (
            [part["text"] for part in item[ends[item["type"]]]]
            if item["type"] in ends
            else [item["arguments"]]
        )
        assert "".join(texts) == told[id_]
    assert [item["id"] for item in events[-1]["response"]["output"]] == list(told)
    assert sum(len(piece.text) for piece in pieces) == len(
        decoded(encoded_stream([*pieces, Finish("stop")])).text
    )
