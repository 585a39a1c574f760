"""Streams in the chat format: events to pieces, whatever the server makes of the format."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.models.openai_chat.samples import DONE, answer, chunk, decoded, delta
from tidyllm.errors import BadAnswer, BadRequest, ModelError, Overloaded, RateLimited
from tidyllm.models.message import Opaque, Text, Thinking
from tidyllm.models.openai_chat import openai_chat
from tidyllm.models.piece import Finish, Start, TextPiece, UsagePiece
from tidyllm.models.request import Request
from tidyllm.models.sse import Event

USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}


def call(
    index: int | None = 0, id: str | None = None, name: str | None = None, arguments: Any = None
) -> dict[str, Any]:
    """One entry of `tool_calls` in a delta; what is None is absent."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    entry = {"index": index, "id": id, "function": function}
    return {key: value for key, value in entry.items() if value is not None}


def calls_of(*entries: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The calls that these entries, one a chunk, make up."""
    response = decoded(*(delta(tool_calls=[entry]) for entry in entries), delta("tool_calls"))
    return [(call.id, call.name, call.raw_arguments) for call in response.tool_calls]


def test_text_comes_piece_by_piece_and_the_end_with_the_marker() -> None:
    decoder = openai_chat.stream_decoder()
    start = Start("gpt-4o-2024", "chatcmpl-1", format="openai_chat")
    assert decoder.feed(delta(role="assistant", content="")) == [start]
    assert decoder.feed(delta(content="Be")) == [TextPiece("Be")]
    assert decoder.feed(delta(content="cause")) == [TextPiece("cause")]
    assert decoder.feed(delta("stop")) == []
    (usage,) = decoder.feed(chunk(usage=USAGE))
    assert isinstance(usage, UsagePiece)
    assert (usage.usage.input_tokens, usage.usage.output_tokens) == (5, 7)
    assert not decoder.done
    assert decoder.feed(DONE) == [Finish("stop", "stop")]
    assert decoder.done
    assert decoder.feed(delta(content="late")) == []


def test_what_an_event_before_the_first_choice_says_is_told_at_the_start() -> None:
    decoder = openai_chat.stream_decoder()
    assert decoder.feed(chunk(prompt_filter_results=[{"prompt_index": 0}], id="", model="")) == []
    (start,) = decoder.feed(delta(role="assistant"))
    told = {"prompt_filter_results": [{"prompt_index": 0}]}
    assert start == Start("gpt-4o-2024", "chatcmpl-1", told, format="openai_chat")


def test_an_answer_without_a_finish_reason_ends_with_the_marker_all_the_same() -> None:
    response = decoded(delta(content="4", role="assistant"), delta(content=""))
    assert (response.text, response.finish_reason, response.finish_reason_raw) == ("4", "unknown", None)


def test_the_last_of_several_finish_reasons_counts() -> None:
    assert decoded(delta("stop", content="a"), delta("length")).finish_reason == "length"


def test_a_server_without_an_end_marker_may_be_closed_once_it_gave_a_finish_reason() -> None:
    decoder = openai_chat.stream_decoder()
    decoder.feed(delta(content="a"))
    assert decoder.close() == []
    assert not decoder.done
    decoder.feed(delta("stop"))
    assert decoder.close() == [Finish("stop", "stop")]
    assert decoder.done
    assert decoder.close() == []


def test_an_end_marker_before_any_answer_is_an_error() -> None:
    decoder = openai_chat.stream_decoder()
    decoder.feed(chunk())
    with pytest.raises(BadAnswer, match="without an answer"):
        decoder.feed(DONE)
    assert not decoder.done


def test_calls_grow_by_their_index() -> None:
    assert calls_of(
        call(0, "a", "f", ""), call(0, arguments='{"x"'), call(1, "b", "g", "{}"), call(0, arguments=":1}")
    ) == [("a", "f", '{"x":1}'), ("b", "g", "{}")]


def test_calls_without_an_index_are_told_apart_by_their_id() -> None:
    first, second = call(None, "a", "f", "{}"), call(None, "b", "g", "{")
    assert calls_of(first, second, call(None, arguments="}")) == [("a", "f", "{}"), ("b", "g", "{}")]


def test_calls_that_all_have_index_0_are_told_apart_by_their_id() -> None:
    assert calls_of(call(0, "a", "f", "{}"), call(0, "b", "g", "{}")) == [("a", "f", "{}"), ("b", "g", "{}")]


def test_an_id_or_name_that_is_repeated_or_comes_late_counts_once() -> None:
    assert calls_of(call(0, "", "f", "{"), call(0, "a", "f", "}"), call(0, "a", "f")) == [("a", "f", "{}")]
    assert calls_of(call(0, "a"), call(0, name="f"), call(0, arguments={"x": 1})) == [("a", "f", '{"x":1}')]


def test_a_call_that_never_got_a_name_is_an_error() -> None:
    with pytest.raises(BadAnswer, match="'a' has no name"):
        calls_of(call(0, "a", arguments="{}"))


def test_custom_and_old_calls_and_fields_of_their_own_are_kept() -> None:
    custom = {"index": 0, "id": "a", "type": "custom", "custom": {"name": "grep", "input": "a|"}}
    more = {"index": 0, "type": "custom", "custom": {"input": "b"}}
    signed = {
        **call(1, "b", "f", "{}"),
        "extra_content": {"google": {"thought_signature": "s"}},
        "beta": None,
    }
    response = decoded(delta(tool_calls=[custom, signed]), delta(tool_calls=[more]))
    first, second = response.tool_calls
    assert (first.name, first.raw_arguments) == ("grep", "a|b")
    assert second.extra == {"extra_content": {"google": {"thought_signature": "s"}}}
    old = decoded(
        delta(function_call={"name": "f", "arguments": ""}), delta(function_call={"arguments": "{}"})
    )
    assert [(call.name, call.raw_arguments) for call in old.tool_calls] == [("f", "{}")]
    assert not decoded(delta(content="a", function_call={"name": "", "arguments": ""})).tool_calls


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_in_plain_text(field: str) -> None:
    response = decoded(delta(**{field: "H", "content": None}), delta(**{field: "m."}), delta(content="a"))
    thought, words = response.content
    assert thought == Thinking(text="Hm.", extra={"openai_chat": {"field": field}})
    assert words == Text(text="a")


def test_reasoning_in_details_counts_once_and_keeps_its_signature() -> None:
    def piece(**fields: Any) -> dict[str, Any]:
        return {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0, **fields}

    response = decoded(
        delta(reasoning="H", reasoning_details=[piece(text="H", signature="")]),
        delta(reasoning="m.", reasoning_details=[piece(text="m.")]),
        delta(reasoning=None, reasoning_details=[piece(signature="sig")]),
        delta(
            reasoning="",
            reasoning_details=[{"type": "reasoning.encrypted", "data": "x", "id": "rs", "index": 1}],
        ),
        delta(content="a"),
    )
    signed, encrypted = (part for part in response.content if isinstance(part, Thinking))
    assert (signed.text, signed.signature) == ("Hm.", "sig")
    assert (encrypted.encrypted, encrypted.id) == ("x", "rs")
    body = openai_chat.encode_request(Request((response.message,)), stream=False).body
    assert body["messages"][0]["reasoning_details"] == [
        piece(text="Hm.", signature="sig"),
        {"type": "reasoning.encrypted", "data": "x", "id": "rs", "index": 1},
    ]


def test_content_in_parts_as_mistral_sends_it() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    odd = {"type": "thinking", "thinking": [{"type": "reference", "ids": [1]}]}
    response = decoded(
        delta(content=[thinking]),
        delta(
            content=[odd, {"type": "text", "text": "a"}, {"type": "text", "text": ""}, {"type": "reference"}]
        ),
        delta(content="b"),
    )
    assert (response.reasoning, response.text) == ("Hm.", "ab")
    assert [part.data for part in response.content if isinstance(part, Opaque)] == [
        odd,
        {"type": "reference"},
    ]


def test_a_refusal_and_a_spoken_answer_come_whole_at_the_end() -> None:
    refused = decoded(delta(refusal="I can"), delta("stop", refusal="not."))
    assert refused.content == (
        Opaque(format="openai_chat", data={"type": "refusal", "refusal": "I cannot."}),
    )
    assert refused.finish_reason == "refused"
    spoken = decoded(
        delta(audio={"id": "audio_1", "transcript": "Be"}),
        delta(audio={"data": "AA", "transcript": "cause"}),
        delta("stop", audio={"data": "AA", "expires_at": 7, "id": None}),
    )
    (part,) = spoken.content
    assert isinstance(part, Opaque)
    assert part.data["audio"] == {"id": "audio_1", "data": "AAAA", "transcript": "Because", "expires_at": 7}


def test_sources_and_probabilities_are_notes_of_the_text() -> None:
    first, second = ({"token": token, "logprob": -0.1} for token in "ab")
    response = decoded(
        chunk({"index": 0, "delta": {"content": "a"}, "logprobs": {"content": [first]}}),
        chunk({"index": 0, "delta": {"content": "b"}, "logprobs": {"content": [second], "refusal": None}}),
        chunk(
            {"index": 0, "delta": {"annotations": [{"type": "url_citation"}]}, "logprobs": {"content": None}}
        ),
    )
    (part,) = response.content
    assert part.extra == {"logprobs": [first, second], "annotations": [{"type": "url_citation"}]}


def test_fields_without_a_place_of_ours_are_kept_in_extra() -> None:
    response = decoded(
        delta(role="assistant", content="a", executed_tools=[1], channel="analysis", empty={}),
        delta(executed_tools=[2]),
        chunk({"index": 0, "delta": {}, "finish_reason": "stop", "native_finish_reason": "end_turn"}),
        chunk(usage=USAGE, service_tier="flex", created=9),
        chunk(moderation={"input": {"flagged": True}}, obfuscation="x"),
    )
    assert response.extra == {
        "choice": {"native_finish_reason": "end_turn"},
        "message": {"executed_tools": [1, 2], "channel": "analysis"},
        "moderation": {"input": {"flagged": True}},
        "service_tier": "flex",
    }


def test_usage_comes_alone_with_the_last_delta_or_in_an_object_of_groq() -> None:
    with_delta = chunk({"index": 0, "delta": {}, "finish_reason": "stop"}, usage=USAGE)
    assert decoded(delta(content="a"), with_delta).usage.output_tokens == 7
    groq = chunk({"index": 0, "delta": {}, "finish_reason": "stop"}, x_groq={"id": "r", "usage": USAGE})
    assert decoded(delta(content="a"), groq).usage.output_tokens == 7
    assert decoded(delta(content="a"), chunk(x_groq={"id": "r"})).usage.output_tokens is None
    alone = Event(msgspec.json.encode({"usage": USAGE}).decode())
    assert decoded(delta(content="a"), alone).usage.output_tokens == 7


def test_other_choices_than_the_first_are_passed_over() -> None:
    other = chunk({"index": 1, "delta": {"content": "no"}, "finish_reason": "length"})
    assert decoded(delta(content="a"), other, delta("stop")).text == "a"


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (Event('{"error":{"message":"No call","code":"tool_use_failed","status_code":400}}'), BadRequest),
        (Event('{"error":{"message":"Slow down","type":"rate_limit_error"}}', "error"), RateLimited),
        (Event('{"message":"Broken"}', "error"), Overloaded),
        (chunk({"index": 0, "delta": {}}, error={"code": 502, "message": "gone"}), Overloaded),
        (chunk({"index": 0, "delta": {}, "error": {"code": 429, "message": "busy"}}), RateLimited),
    ],
)
def test_an_error_in_the_stream_is_of_its_class(event: Event, kind: type[ModelError]) -> None:
    decoder = openai_chat.stream_decoder()
    decoder.feed(delta(content="a"))
    with pytest.raises(kind):
        decoder.feed(event)
    assert not decoder.done


@pytest.mark.parametrize(
    "data",
    [
        "",
        "hello",
        "[]",
        "7",
        "{}",
        '{"choices":7}',
        '{"choices":[7]}',
        '{"choices":[{"delta":7}]}',
        '{"choices":[{"delta":{"content":7}}]}',
        '{"choices":[{"delta":{"content":[7]}}]}',
        '{"choices":[{"delta":{"content":[{"type":"text"}]}}]}',
        '{"choices":[{"delta":{"refusal":7}}]}',
        '{"choices":[{"delta":{"audio":7}}]}',
        '{"choices":[{"delta":{"function_call":7}}]}',
        '{"choices":[{"delta":{"tool_calls":7}}]}',
        '{"choices":[{"delta":{"tool_calls":[7]}}]}',
        '{"choices":[{"delta":{"tool_calls":[{"function":7}]}}]}',
        '{"choices":[{"delta":{"tool_calls":[{"id":7}]}}]}',
        '{"choices":[{"delta":{"tool_calls":[{"function":{"name":7}}]}}]}',
        '{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":7}}]}}]}',
        '{"choices":[{"delta":{},"finish_reason":7}]}',
        '{"choices":[' + "[" * 20_000,
    ],
    ids=lambda data: str(data)[:60],
)
def test_garbage_is_an_error_and_no_end(data: str) -> None:
    decoder = openai_chat.stream_decoder()
    with pytest.raises(BadAnswer):
        decoder.feed(Event(data))
    assert not decoder.done


def test_null_in_place_of_anything_says_nothing() -> None:
    nothing = chunk(
        {"index": None, "delta": None, "finish_reason": None, "logprobs": None}, usage=None, error=None
    )
    assert decoded(delta(content="a"), nothing, Event('{"choices":null}')).text == "a"


def test_a_stream_makes_the_same_answer_as_the_whole_body() -> None:
    message = {
        "content": "a",
        "reasoning": "Hm.",
        "tool_calls": [{"type": "function", **call(0, "a", "f", "{}")}],
    }
    whole = openai_chat.decode_response(answer(message, finish="tool_calls", usage=USAGE))
    joined = decoded(
        delta(reasoning="Hm."),
        delta(content="a"),
        delta(tool_calls=[call(0, "a", "f", "{}")]),
        delta("tool_calls"),
        chunk(usage=USAGE),
    )
    assert msgspec.structs.replace(whole, raw=None) == joined
