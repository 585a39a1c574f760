"""Whole answers in the chat format, from the shapes of its many servers to ours, and to a caller again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.models.openai_chat.samples import answer
from tidyllm.errors import BadAnswer, ModelError, Overloaded, RateLimited
from tidyllm.models.loans import returned
from tidyllm.models.message import Opaque, Part, Text, Thinking, ToolCall
from tidyllm.models.openai_chat import openai_chat
from tidyllm.models.response import FinishReason, Response

CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
SECRET = {"type": "reasoning.encrypted", "data": "x"}
THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}


def read(message: dict[str, Any], **fields: Any) -> Response:
    return openai_chat.decode_response(answer(message, **fields))


def told(*content: Part, **fields: Any) -> dict[str, Any]:
    """The message for a caller."""
    return openai_chat.encode_response(Response(content=content, **fields))["choices"][0]["message"]


def test_an_answer_has_text_id_model_and_the_body_itself() -> None:
    body = answer({"content": "Because."}, system_fingerprint="fp", service_tier=None, created=7)
    response = openai_chat.decode_response(body)
    assert (response.text, response.id, response.model) == ("Because.", "chatcmpl-1", "gpt-4o-2024")
    assert (response.finish_reason, response.finish_reason_raw) == ("stop", "stop")
    assert response.raw is body
    assert response.extra == {"system_fingerprint": "fp", "created": 7}


def test_an_empty_text_is_no_part_and_calls_keep_their_raw_arguments() -> None:
    response = read({"content": "", "tool_calls": [CALL]}, finish="tool_calls")
    (call,) = response.content
    assert isinstance(call, ToolCall)
    assert (call.arguments, call.raw_arguments) == ({"city": "Oslo"}, '{"city":"Oslo"}')


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ({"function": {"name": "f", "arguments": "{}"}}, ("", "f", "{}")),
        ({"id": None, "function": {"name": "f", "arguments": None}}, ("", "f", "")),
        ({"id": "a", "index": 0, "function": {"name": "f"}}, ("a", "f", "")),
        ({"id": "a", "function": {"name": "f", "arguments": {"b": 1}}}, ("a", "f", '{"b":1}')),
        ({"id": "a", "type": "custom", "custom": {"name": "grep", "input": "a|b"}}, ("a", "grep", "a|b")),
        (
            {"id": "a", "custom": {"name": "", "input": ""}, "function": {"name": "f", "arguments": "{}"}},
            ("a", "f", "{}"),
        ),
    ],
)
def test_calls_come_in_several_shapes(call: dict[str, Any], expected: tuple[str, str, str]) -> None:
    (found,) = read({"content": None, "tool_calls": [call]}).tool_calls
    assert (found.id, found.name, found.raw_arguments) == expected
    assert set(found.extra) <= {"openai_chat"}


def test_the_forerunner_of_tool_calls_is_one_without_an_id() -> None:
    response = read(
        {"content": None, "function_call": {"name": "f", "arguments": "{}"}}, finish="function_call"
    )
    assert [(call.id, call.name) for call in response.tool_calls] == [("", "f")]
    assert response.finish_reason == "tool_calls"
    assert not read({"content": "a", "function_call": {"name": "", "arguments": ""}}).tool_calls


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"reasoning_content": "Hm."}, ["Hm."]),
        ({"reasoning": "Hm."}, ["Hm."]),
        ({"reasoning": "Hm.", "reasoning_content": "Hm."}, ["Hm."]),
        ({"reasoning": "Hm.", "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]}, ["Hm."]),
        ({"reasoning_details": [{"type": "reasoning.summary", "summary": "Hm."}, SECRET]}, ["Hm.", ""]),
        ({"reasoning": "Hm.", "reasoning_details": [SECRET]}, ["Hm.", ""]),
        ({"content": [THINKING, {"type": "text", "text": "a"}]}, ["Hm."]),
        ({"reasoning": None, "reasoning_details": []}, []),
    ],
)
def test_reasoning_comes_in_several_fields_and_counts_once(
    message: dict[str, Any], expected: list[str]
) -> None:
    response = read({"content": "a", **message})
    assert [part.text for part in response.content if isinstance(part, Thinking)] == expected
    assert response.text == "a"


def test_a_refusal_is_no_text() -> None:
    response = read({"content": None, "refusal": "I cannot help."})
    assert (response.text, response.finish_reason, response.finish_reason_raw) == ("", "refused", "stop")
    assert openai_chat.encode_response(response)["choices"][0] == {
        "index": 0,
        "message": {"role": "assistant", "content": None, "refusal": "I cannot help."},
        "logprobs": None,
        "finish_reason": "stop",
    }


def test_a_spoken_answer_is_kept_whole() -> None:
    audio = {"id": "audio_1", "data": "AAAA", "transcript": "Because."}
    response = read({"content": None, "audio": audio})
    assert response.content == (Opaque(format="openai_chat", data={"type": "audio", "audio": audio}),)
    assert told(*response.content)["audio"] == audio
    assert not read({"content": "", "audio": {"id": "", "data": "", "expires_at": 0}}).content


def test_sources_and_probabilities_are_notes_of_the_text() -> None:
    source = {"type": "url_citation", "url_citation": {"url": "https://a", "title": "A"}}
    token = {"token": "a", "logprob": -0.1, "bytes": None}
    choice = {"logprobs": {"content": [token], "refusal": None}}
    response = read({"content": "a", "annotations": [source]}, choice=choice)
    assert response.content == (Text(text="a", extra={"annotations": [source], "logprobs": [token]}),)
    again = openai_chat.encode_response(response)["choices"][0]
    assert again["message"]["annotations"] == [source]
    assert again["logprobs"]["content"] == [token]


def test_sources_in_the_shape_of_openais_other_format_are_put_into_this_one() -> None:
    flat = {"type": "url_citation", "url": "https://a", "title": "A"}
    text = Text(text="a", extra={"annotations": [flat, "odd", {"type": "file"}]})
    assert told(text)["annotations"] == [
        {"type": "url_citation", "url_citation": {"url": "https://a", "title": "A"}},
        {"type": "file"},
    ]


def test_fields_without_a_place_of_ours_are_kept_in_extra() -> None:
    body = answer(
        {"content": "a", "executed_tools": [{"type": "search"}], "channel": ""},
        choice={"native_finish_reason": "end_turn", "seed": None},
        x_groq={"id": "req_1"},
    )
    body["choices"].append(
        {"index": 1, "message": {"role": "assistant", "content": "b"}, "finish_reason": "stop"}
    )
    response = openai_chat.decode_response(body)
    assert response.text == "a"
    assert response.extra == {
        "x_groq": {"id": "req_1"},
        "choice": {"native_finish_reason": "end_turn"},
        "message": {"executed_tools": [{"type": "search"}]},
        "choices": body["choices"][1:],
    }
    assert openai_chat.encode_response(response)["choices"][1] == body["choices"][1]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("content_filter", "refused"),
        ("model_length", "length"),
        ("MAX_TOKENS", "length"),
        ("eos", "stop"),
        ("sensitive", "refused"),
        ("insufficient_system_resource", "error"),
        ("", "unknown"),
        (None, "unknown"),
        ("tired", "unknown"),
        (7, "unknown"),
    ],
)
def test_why_it_ended_is_one_of_few_words_and_the_providers_own(raw: Any, expected: FinishReason) -> None:
    response = read({"content": "a"}, finish=raw)
    assert response.finish_reason == expected
    assert response.finish_reason_raw == (raw if isinstance(raw, str) else None)


@pytest.mark.parametrize(
    ("finish", "raw", "word"),
    [
        ("stop", "end_turn", "stop"),
        ("tool_calls", "function_call", "function_call"),
        ("length", "max_tokens", "length"),
        ("refused", "refusal", "content_filter"),
        ("paused", "pause_turn", "length"),
        ("error", None, "error"),
        ("unknown", "", "stop"),
        ("stop", "length", "stop"),
    ],
)
def test_a_caller_is_told_in_openais_words(finish: FinishReason, raw: str | None, word: str) -> None:
    body = openai_chat.encode_response(Response(finish_reason=finish, finish_reason_raw=raw))
    assert body["choices"][0]["finish_reason"] == word


def test_an_answer_that_does_not_say_why_it_ended_waits_for_its_tools() -> None:
    body = openai_chat.encode_response(Response((ToolCall(id="a", name="f"),)))
    assert body["choices"][0]["finish_reason"] == "tool_calls"


def test_an_answer_of_another_provider_gets_what_a_caller_needs() -> None:
    response = Response(
        content=(
            Thinking(text="Hm.", signature="sig"),
            Thinking(encrypted="x"),
            Text(text="Let me see."),
            Opaque(format="anthropic", data={"type": "server_tool_use"}),
            ToolCall(name="f", arguments={"a": 1}),
        ),
        finish_reason="tool_calls",
        finish_reason_raw="tool_use",
        model="claude",
        extra={"stop_sequence": None, "container": {"id": "c"}},
    )
    body = openai_chat.encode_response(response)
    assert body["id"].startswith("chatcmpl-")
    assert body.keys() == {"id", "object", "created", "model", "choices"}
    message = body["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("Let me see.", "Hm.")
    assert message["reasoning_details"] == [
        {"type": "reasoning.text", "index": 0, "text": "Hm.", "signature": "sig", "id": "tidyllm:"},
        {"type": "reasoning.encrypted", "index": 1, "data": "x", "id": "tidyllm:"},
    ]
    (call,) = message["tool_calls"]
    assert call["id"].startswith("call_")
    assert call["function"] == {"name": "f", "arguments": '{"a":1}'}


def test_signed_reasoning_survives_the_way_to_a_caller_and_back() -> None:
    signed = Thinking(text="Hm.", signature="sig")
    message = told(signed, Text(text="Because."))
    request, _ = openai_chat.decode_request({"model": "m", "messages": [message]})
    part = request.turns[0].content[0]
    assert isinstance(part, Thinking)
    assert returned(part) == signed


def test_details_that_came_in_this_format_go_out_as_they_came() -> None:
    detail = {
        "type": "reasoning.text",
        "text": "Hm.",
        "signature": "s",
        "format": "anthropic-claude-v1",
        "index": 0,
    }
    response = read({"content": "a", "reasoning_details": [detail]})
    assert told(*response.content)["reasoning_details"] == [detail]


def test_a_custom_call_and_the_providers_own_fields_reach_the_caller() -> None:
    call = {"id": "a", "type": "custom", "custom": {"name": "grep", "input": "a|b"}}
    own: dict[str, Any] = {"service_tier": "flex", "created": 7, "moderation": {"input": {"a": 1}}}
    body = answer({"content": None, "tool_calls": [call]}, **own)
    again = openai_chat.encode_response(openai_chat.decode_response(body))
    assert again["choices"][0]["message"]["tool_calls"] == [call]
    assert again.items() >= own.items()


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "choices"),
        ({"choices": []}, "choices"),
        ({"choices": {}}, "choices"),
        ({"choices": [7]}, "choices[0]"),
        ({"choices": [{"index": 0, "text": "a"}]}, "choices[0].message"),
        (answer({"content": 7}), "choices[0].message.content"),
        (answer({"content": ["a"]}), "choices[0].message.content[0]"),
        (answer({"content": "a", "refusal": 7}), "choices[0].message.refusal"),
        (answer({"content": "a", "audio": 7}), "choices[0].message.audio"),
        (answer({"tool_calls": {"a": 1}}), "choices[0].message.tool_calls"),
        (
            answer({"tool_calls": [{"id": "a", "function": {}}]}),
            "choices[0].message.tool_calls[0].function.name",
        ),
        (answer({"tool_calls": [{"id": "a"}]}), "choices[0].message.tool_calls[0].function"),
        (answer({"function_call": 7}), "choices[0].message.function_call.function"),
    ],
)
def test_a_body_that_is_no_answer_says_where(body: dict[str, Any], where: str) -> None:
    with pytest.raises(BadAnswer) as caught:
        openai_chat.decode_response(body)
    assert f"format: {where} is " in str(caught.value)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"message": "Slow down", "code": 429}}, RateLimited),
        ({"error": {"message": "Broken", "code": "502"}}, Overloaded),
        ({"error": "out of memory"}, Overloaded),
        (answer({"content": ""}, choice={"error": {"message": "Provider gone", "code": 503}}), Overloaded),
    ],
)
def test_an_error_with_status_200_is_an_error(body: dict[str, Any], kind: type[ModelError]) -> None:
    with pytest.raises(kind):
        openai_chat.decode_response(body)
