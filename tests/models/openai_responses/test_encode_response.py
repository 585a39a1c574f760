"""Answers of any provider as a body of the Responses API, which the official SDK reads."""

from __future__ import annotations

from typing import Any

import pytest

from tests.models.openai_responses.test_response import CALL, MESSAGE, REFUSAL, USAGE, answer, strictly
from tests.models.openai_responses.told import told_by_sdk, told_by_us
from tidyllm.models.loans import returned
from tidyllm.models.message import File, Image, Opaque, Part, Text, Thinking, ToolCall
from tidyllm.models.openai_responses import openai_responses
from tidyllm.models.response import FinishReason, Response, Usage


def test_the_sdk_reads_an_answer_of_another_format() -> None:
    said: tuple[Part, ...] = (
        Thinking(text="Hm.", signature="sig"),
        Text(text="Hello. "),
        Text(text="You.", extra={"citations": [{"type": "web", "url": "u", "title": "t"}, {"type": "page"}]}),
        ToolCall.parse("toolu_1", "f", '{"a": 1}'),
    )
    usage = Usage(input_tokens=10, output_tokens=5, cache_write_1h_tokens=2, raw={"input_tokens": 8})
    written = openai_responses.encode_response(
        Response(
            said, "tool_calls", "tool_use", usage, model="claude", id="msg_1", extra={"stop_sequence": None}
        )
    )
    read = strictly(written)
    assert read.status == "completed"
    told = told_by_sdk(read)
    assert (told["text"], told["reasoning"], told["model"]) == ("Hello. You.", "Hm.", "claude")
    assert told["calls"] == [("toolu_1", "f", '{"a": 1}')]
    assert told["usage"] == {"input": 10, "output": 5, "cached": 0, "reasoning": 0}
    assert written["usage"]["input_tokens_details"]["cache_write_tokens"] == 2
    annotation = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 4}
    assert written["output"][1]["content"][1]["annotations"] == [annotation]


def test_chats_annotations_become_flat() -> None:
    nested = {
        "type": "url_citation",
        "url_citation": {"url": "u", "title": "t", "start_index": 0, "end_index": 2},
    }
    body = openai_responses.encode_response(
        Response((Text(text="Hi", extra={"annotations": [nested]}),), "stop")
    )
    found = body["output"][0]["content"][0]["annotations"]
    assert found == [{"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 2}]


@pytest.mark.parametrize(
    "part",
    [
        Thinking(text="Hm.", signature="sig"),
        Thinking(text="Hm.", signature=""),
        Thinking(encrypted="hidden"),
        Thinking(
            text="Hm.", id="r1", encrypted="hidden", extra={"openai_chat": {"field": "reasoning_details"}}
        ),
        Thinking(text="Hm.", extra={"openai_chat": {"field": "reasoning_content"}}),
    ],
)
def test_reasoning_of_another_provider_comes_back_as_it_was(part: Thinking) -> None:
    item = openai_responses.encode_response(Response((part,), "stop"))["output"][0]
    request, _ = openai_responses.decode_request({"model": "m", "input": [item]})
    back = request.turns[0].parts[0]
    assert isinstance(back, Thinking)
    assert returned(back) == part
    encoded = openai_responses.encode_request(request, stream=False)
    assert encoded.body["input"] == [item]


def test_reasoning_of_another_provider_is_never_taken_for_openais_own() -> None:
    """Even where nobody wants anything back, so that it can be taken out of a body."""
    item = openai_responses.encode_response(Response((Thinking(text="Hm."),), "stop"))["output"][0]
    assert item == {
        "type": "reasoning",
        "id": item["id"],
        "summary": [{"type": "summary_text", "text": "Hm."}],
        "encrypted_content": "tidyllm:{}",
    }


def test_a_refusal_of_the_chat_format_is_a_refusal_here() -> None:
    said = Opaque(format="openai_chat", data={"type": "refusal", "refusal": "No."})
    body = openai_responses.encode_response(Response((said,), "refused"))
    assert (body["status"], body["output"][0]["content"]) == ("completed", [said.data])


def test_an_answer_of_this_format_is_written_back_as_it_came() -> None:
    output: list[dict[str, Any]] = [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [],
            "encrypted_content": "secret",
            "status": "completed",
        },
        MESSAGE,
        {**MESSAGE, "id": "msg_9", "phase": "final_answer"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        CALL,
    ]
    body = openai_responses.encode_response(
        answer(*output, usage=USAGE, store=True, previous_response_id="resp_0")
    )
    assert body["output"][0] == output[0]
    assert body["output"][3:] == output[3:]
    assert [item["id"] for item in body["output"]] == ["rs_1", "msg_1", "msg_9", "ws_1", "fc_1"]
    assert body["output"][2]["phase"] == "final_answer"
    assert (body["usage"], body["store"], body["previous_response_id"]) == (USAGE, True, "resp_0")


@pytest.mark.parametrize(
    ("finish", "raw", "status", "reason"),
    [
        ("stop", "end_turn", "completed", None),
        ("length", "max_tokens", "incomplete", "max_output_tokens"),
        ("length", "max_messages", "incomplete", "max_messages"),
        ("refused", "content_filter", "incomplete", "content_filter"),
        ("paused", "queued", "queued", None),
        ("paused", "steered", "incomplete", "steered"),
        ("paused", "pause_turn", "incomplete", "paused"),
        ("paused", "completed", "completed", None),
        ("error", "error", "failed", None),
        ("error", "cancelled", "cancelled", None),
        ("unknown", "eos", "completed", None),
    ],
)
def test_the_end_of_an_answer_for_callers(
    finish: FinishReason, raw: str, status: str, reason: str | None
) -> None:
    body = openai_responses.encode_response(Response((Text(text="x"),), finish, raw))
    assert body["status"] == status
    assert body["incomplete_details"] == (reason and {"reason": reason})
    assert bool(body["error"]) == (status == "failed")
    assert body["output"][0]["status"] == ("incomplete" if status == "incomplete" else "completed")


def test_a_refusal_in_words_is_a_whole_answer() -> None:
    body = openai_responses.encode_response(answer(REFUSAL))
    assert (body["status"], body["output"][0]["content"]) == ("completed", REFUSAL["content"])


def test_pictures_become_items_and_what_has_no_item_is_left_out() -> None:
    parts = (Image(data=b"png"), File(url="u"), Opaque(format="anthropic", data={}), Image(url="u"))
    output = openai_responses.encode_response(Response(parts, "stop"))["output"]
    assert [(item["type"], item["result"]) for item in output] == [("image_generation_call", "cG5n")]


def test_unknown_usage_is_null_and_half_known_usage_has_numbers() -> None:
    assert openai_responses.encode_response(Response())["usage"] is None
    half = openai_responses.encode_response(Response(usage=Usage(output_tokens=3, audio_output_tokens=2)))[
        "usage"
    ]
    assert (half["input_tokens"], half["output_tokens"], half["output_tokens_details"]["audio_tokens"]) == (
        0,
        3,
        2,
    )


def test_ids_are_made_up_where_a_part_has_none() -> None:
    body = openai_responses.encode_response(Response((ToolCall(name="f", arguments={"a": 1}),), "tool_calls"))
    item = body["output"][0]
    assert body["id"].startswith("resp_")
    assert item["id"].startswith("fc_")
    assert item["call_id"].startswith("call_")
    assert len(item["call_id"]) <= 40
    assert item["arguments"] == '{"a":1}'
    assert told_by_us(openai_responses.decode_response(body))["calls"][0][1] == "f"


def test_reasoning_whose_text_was_changed_is_written_with_the_new_text() -> None:
    thought = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "old"}],
        "status": "completed",
    }
    part = answer(thought).content[0]
    assert isinstance(part, Thinking)
    changed = Thinking(text="new", id=part.id, extra=part.extra)
    item = openai_responses.encode_response(Response((changed,), "stop"))["output"][0]
    assert item == {**thought, "summary": [{"type": "summary_text", "text": "new"}]}
