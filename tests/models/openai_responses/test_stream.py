"""Streams in the Responses format: what we read in the events, also of servers that leave some out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tidyllm.errors import BadAnswer, ContentRefused, ContextTooLong, ModelError, Overloaded, RateLimited
from tidyllm.models.fold import fold
from tidyllm.models.message import Opaque, Text, Thinking, ToolCall
from tidyllm.models.openai_responses import openai_responses
from tidyllm.models.piece import Finish, Piece, Start, TextPiece, UsagePiece
from tidyllm.models.response import Response
from tidyllm.models.sse import Event

CREATED: dict[str, Any] = {
    "type": "response.created",
    "response": {"id": "resp_1", "model": "gpt", "status": "in_progress", "output": []},
}
ADDED = {"type": "response.output_item.added", "output_index": 0}
DONE = {"type": "response.output_item.done", "output_index": 0}
DELTA = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0}
ARGUMENTS = {"type": "response.function_call_arguments.delta", "output_index": 0}
SUMMARY = {"type": "response.reasoning_summary_text.delta", "output_index": 0}
CONTENT = {"type": "response.reasoning_text.delta", "output_index": 0}


def message(text: str = "Hello", **fields: Any) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "output_text", "text": text, "annotations": []}]
    return {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": content,
        **fields,
    }


def call(arguments: str = '{"a": 1}') -> dict[str, Any]:
    return {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": arguments}


def completed(*output: Any, kind: str = "completed", **fields: Any) -> dict[str, Any]:
    body = {"id": "resp_1", "model": "gpt", "status": kind, "output": list(output), **fields}
    return {"type": f"response.{kind}", "response": body}


def feed(*events: Any) -> tuple[list[Piece], bool]:
    decoder = openai_responses.stream_decoder()
    told = [event if isinstance(event, str) else msgspec.json.encode(event).decode() for event in events]
    return [piece for data in told for piece in decoder.feed(Event(data))], decoder.done


def read(*events: Any) -> Response:
    pieces, done = feed(*events)
    assert done
    return fold(pieces)


def test_text_comes_piece_by_piece_and_the_item_that_ends_it_adds_the_rest() -> None:
    events: list[dict[str, Any]] = [
        CREATED,
        {**ADDED, "item": message("")},
        {**DELTA, "delta": "Hel"},
        {**DELTA, "delta": "lo"},
    ]
    pieces, done = feed(*events)
    assert pieces[0] == Start("gpt", "resp_1", format="openai_responses")
    assert [piece.text for piece in pieces] == ["", "Hel", "lo"]
    assert not done
    answer = read(*events, {**DONE, "item": message()}, completed(message()))
    whole = openai_responses.decode_response(completed(message())["response"])
    assert (answer.content, answer.finish_reason, answer.finish_reason_raw) == (
        whole.content,
        "stop",
        "completed",
    )


def test_an_answer_ends_with_usage_and_finish() -> None:
    usage = {"input_tokens": 3, "output_tokens": 2}
    pieces, _ = feed(CREATED, completed(message(), usage=usage, service_tier="flex"))
    assert isinstance(pieces[-2], UsagePiece)
    assert pieces[-1] == Finish("stop", "completed", {"service_tier": "flex"})
    assert fold(pieces).usage.total_tokens == 5


def test_a_function_call_tells_its_name_first() -> None:
    events: list[dict[str, Any]] = [
        CREATED,
        {**ADDED, "item": call("")},
        {**ARGUMENTS, "delta": '{"a"'},
        {**ARGUMENTS, "delta": ": 1}"},
    ]
    done = {"type": "response.function_call_arguments.done", "output_index": 0, "arguments": '{"a": 1}'}
    answer = read(*events, done, {**DONE, "item": call()}, completed(call()))
    assert answer.tool_calls == (ToolCall.parse("c1", "f", '{"a": 1}', answer.tool_calls[0].extra),)
    assert answer.finish_reason == "tool_calls"


def test_reasoning_of_several_summaries_is_set_apart_and_ends_with_its_encrypted_text() -> None:
    item = {
        "type": "reasoning", "id": "rs_1", "encrypted_content": "secret",
        "summary": [{"type": "summary_text", "text": "One."}, {"type": "summary_text", "text": "Two."}],
    }  # fmt: skip
    events: list[dict[str, Any]] = [
        CREATED,
        {**ADDED, "item": {"type": "reasoning", "id": "rs_1", "summary": []}},
        {**SUMMARY, "summary_index": 0, "delta": "On"},
        {**SUMMARY, "summary_index": 0, "delta": "e."},
        {**SUMMARY, "summary_index": 1, "delta": "Two."},
    ]
    answer = read(*events, {**DONE, "item": item}, completed(item))
    assert answer.content == openai_responses.decode_response(completed(item)["response"]).content
    assert answer.reasoning == "One.\n\nTwo."


def test_reasoning_told_as_content_and_as_summary_is_told_once() -> None:
    item = {
        "type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Short."}],
        "content": [{"type": "reasoning_text", "text": "Long and wide."}],
    }  # fmt: skip
    told = [{**SUMMARY, "delta": "Sho"}, {**CONTENT, "delta": "Long"}, {**SUMMARY, "delta": "rt."}]
    assert read(CREATED, *told, {**DONE, "item": item}, completed(item)).reasoning == "Short."


def test_items_of_the_provider_come_whole_and_in_their_place() -> None:
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    events: list[dict[str, Any]] = [
        CREATED,
        {**ADDED, "item": {**search, "status": "in_progress"}},
        {"type": "response.web_search_call.searching", "output_index": 0},
        {**DONE, "item": search},
        {**DELTA, "output_index": 1, "delta": "Hello"},
    ]
    answer = read(*events, completed(search, message()))
    assert answer.content[0] == Opaque(format="openai_responses", data=search)
    assert answer.text == "Hello"


def test_a_refusal_comes_whole() -> None:
    refusal = message(content=[{"type": "refusal", "refusal": "No."}])
    told = [{"type": "response.refusal.delta", "output_index": 0, "content_index": 0, "delta": "No."}]
    answer = read(CREATED, *told, {**DONE, "item": refusal}, completed(refusal))
    assert answer.finish_reason == "refused"
    assert isinstance(answer.content[0], Opaque)


@pytest.mark.parametrize(
    "events",
    [
        [{**DELTA, "delta": "Hel"}],  # no announcement, no end of the item
        [
            {**ADDED, "item": None},
            {"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "Hello"},
        ],
        [{**DELTA, "delta": "Hello"}, {**DONE, "item": message("Hello")}, {**DONE, "item": message("Hello")}],
        [
            {"type": "response.output_item.added", "item": message("")},
            {**DELTA, "output_index": None, "item_id": "msg_1", "delta": "Hel"},
        ],
        [{**ADDED, "item": message("")}, {**ADDED, "item": message("")}],
        [{"type": "response.keepalive"}, {"type": "codex.rate_limits"}],
        [{**DELTA, "delta": "Hello"}, {**DONE, "item": message("Hell")}],  # trimmed afterwards
        [],
    ],
)
def test_a_server_may_leave_events_out(events: list[Any]) -> None:
    answer = read(CREATED, *events, completed(message()))
    assert answer.text == "Hello"
    assert len(answer.content) == 1


def test_an_answer_whose_last_event_repeats_nothing_is_what_was_streamed() -> None:
    told = [{**DELTA, "delta": "Hello"}, {**DONE, "item": message()}]
    assert read(CREATED, *told, completed()).text == "Hello"
    assert read(CREATED, *told, completed(output=None)).text == "Hello"


def test_arguments_that_come_before_their_call_wait_for_it() -> None:
    events: list[dict[str, Any]] = [{**ARGUMENTS, "delta": '{"a": 1}'}, {**DONE, "item": call()}]
    answer = read(CREATED, *events, completed(call()))
    assert (answer.tool_calls[0].name, answer.tool_calls[0].raw_arguments) == ("f", '{"a": 1}')


def test_a_server_that_numbers_every_item_0_is_understood() -> None:
    second = message("World", id="msg_2")
    events: list[dict[str, Any]] = [
        {**ADDED, "item": message("")}, {**DELTA, "delta": "Hello"}, {**DONE, "item": message()},
        {**ADDED, "item": {**second, "content": []}}, {**DELTA, "delta": "World"}, {**DONE, "item": second},
    ]  # fmt: skip
    answer = read(CREATED, *events, completed(message(), second))
    assert [part.text for part in answer.content if isinstance(part, Text)] == ["Hello", "World"]


def test_an_incomplete_answer_is_complete_as_a_stream() -> None:
    cut = completed(message("Hel"), kind="incomplete", incomplete_details={"reason": "max_output_tokens"})
    assert read(CREATED, {**DELTA, "delta": "Hel"}, cut).finish_reason == "length"
    assert read(CREATED, completed(kind="cancelled")).finish_reason == "error"


def test_the_end_marker_of_the_other_format_ends_nothing() -> None:
    pieces, done = feed(CREATED, {**DELTA, "delta": "Hel"}, "[DONE]")
    assert (fold(pieces).text, done) == ("Hel", False)
    assert feed(CREATED, completed(message()), "[DONE]", {**DELTA, "delta": "more"})[1]


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"type": "error", "code": "server_error", "message": "Sorry", "param": None}, Overloaded),
        (
            {"type": "error", "error": {"type": "invalid_request_error", "code": "context_length_exceeded"}},
            ContextTooLong,
        ),
        ({"error": {"message": "slow down", "code": 429}}, RateLimited),
        (
            {"type": "response.failed", "response": {"status": "failed", "error": {"code": "server_error"}}},
            Overloaded,
        ),
        (
            {"type": "response.completed", "response": {"status": "failed", "error": {"code": "bio_policy"}}},
            ContentRefused,
        ),
    ],
)
def test_an_error_in_the_stream_is_raised_as_what_it_is(
    event: dict[str, Any], kind: type[ModelError]
) -> None:
    with pytest.raises(kind):
        feed(CREATED, {**DELTA, "delta": "Hel"}, event)


def test_an_error_may_be_named_by_the_event_alone() -> None:
    with pytest.raises(Overloaded, match="Sorry"):
        openai_responses.stream_decoder().feed(Event('{"message": "Sorry"}', "error"))


def test_after_a_failure_the_stream_is_over() -> None:
    decoder = openai_responses.stream_decoder()
    failed = {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "Sorry"}}}
    with pytest.raises(Overloaded):
        decoder.feed(Event(msgspec.json.encode(failed).decode()))
    assert decoder.done


@pytest.mark.parametrize(
    ("events", "words"),
    [
        (["{"], "cannot be read"),
        (["[1]"], "cannot be read"),
        (['"\ud800"'], "cannot be read"),
        ([{"output_index": 0}], "no type"),
        ([{**DELTA, "output_index": "0"}], "cannot be read"),
        ([{**DELTA, "delta": 5}], "no text in its delta"),
        ([{**ARGUMENTS, "delta": None}], "delta is null"),
        ([{"type": "response.completed"}], "response is missing"),
        ([{**DONE, "item": None}], "item is missing"),
        ([{**DONE, "item": message(content=5)}], "item.content is an integer"),
        ([{**ADDED, "item": call("")}, {**DELTA, "delta": "x"}], "began as function_call"),
        ([{**ADDED, "item": call("")}, {**DONE, "item": message()}], "began as function_call"),
        ([{**DELTA, "delta": "Hal"}, {**DONE, "item": message("Hello")}], "lost text"),
        ([{"type": "response.completed", "response": {"output": "x"}}], "response.output is a string"),
    ],
)
def test_what_breaks_the_format_is_a_bad_answer(events: list[Any], words: str) -> None:
    with pytest.raises(BadAnswer, match=words):
        feed(CREATED, *events)


def test_thinking_keeps_its_place_when_it_ends_last() -> None:
    thought = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "Hm."}],
    }
    events: list[dict[str, Any]] = [
        {**CONTENT, "delta": "Hm."},
        {**DELTA, "output_index": 1, "delta": "Hello"},
        {**DONE, "output_index": 1, "item": message()},
        {**DONE, "item": thought},
    ]
    answer = read(CREATED, *events, completed(thought, message()))
    assert [type(part) for part in answer.content] == [Thinking, Text]


def test_a_hot_delta_gives_one_piece_and_nothing_else() -> None:
    pieces, _ = feed({**DELTA, "delta": "a", "item_id": "msg_1"}, {**DELTA, "delta": "b"})
    mark = {"openai_responses": {"item": {"id": "msg_1"}}}
    assert pieces == [TextPiece("a", 0, mark), TextPiece("b", 0)]
