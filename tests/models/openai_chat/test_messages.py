"""Messages in the chat format: content, tool calls and their results, reasoning; both ways."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.models.openai_chat.samples import ask, there_and_back
from tidyllm.models.message import (
    Audio,
    File,
    Image,
    Message,
    Opaque,
    Part,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from tidyllm.models.openai_chat import openai_chat
from tidyllm.models.request import Request

PNG = b"\x89PNG\r\n\x1a\n\x00\x01"
PNG_URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
PDF = b"%PDF-1.4 ..."
PDF_URL = f"data:application/pdf;base64,{base64.b64encode(PDF).decode()}"
SOUND = base64.b64encode(b"RIFF").decode()
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
DETAIL = {
    "type": "reasoning.text",
    "text": "Hm.",
    "signature": "sig",
    "format": "anthropic-claude-v1",
    "index": 0,
}


def decoded(message: dict[str, Any]) -> Message:
    request, _ = openai_chat.decode_request(ask(message))
    return request.turns[0]


def sent(*messages: Message, system: Any = None) -> list[dict[str, Any]]:
    return openai_chat.encode_request(Request(messages, system=system), stream=False).body["messages"]


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def assistant(**fields: Any) -> dict[str, Any]:
    return {"role": "assistant", **fields}


@pytest.mark.parametrize(
    "message",
    [
        {"role": "system", "content": "Be brief.", "name": None, "tool_calls": None},
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": "Why?", "name": "ann"},
        user(),
        user({"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}, "image_url": None}),
        user({"type": "image_url", "image_url": {"url": "https://a.example/b.png", "detail": "low"}}),
        user({"type": "image_url", "image_url": {"url": PNG_URL, "detail": None}, "text": None}),
        user({"type": "image_url", "image_url": "https://a.example/b.png"}),
        user({"type": "image_url", "image_url": {"url": "https://a.example/b.png", "min_pixels": 9}}),
        user({"type": "image_url", "image_url": {"url": "data:image/png;charset=x;base64,AAAA"}}),
        user({"type": "file", "file": {"file_data": PDF_URL, "filename": "a.pdf"}}),
        user({"type": "file", "file": {"file_data": PDF_URL}}),
        user({"type": "file", "file": {"file_data": base64.b64encode(PDF).decode(), "filename": "a.pdf"}}),
        user({"type": "file", "file": {"file_data": "no base64", "filename": "a.pdf"}}),
        user({"type": "file", "file": {"file_data": "https://a.example/a.pdf", "filename": "a.pdf"}}),
        user({"type": "file", "file": {"file_id": "file-1", "filename": None}}),
        user({"type": "file", "file": {"file_id": "file-1", "beta": True}}),
        user({"type": "input_audio", "input_audio": {"data": SOUND, "format": "wav"}, "beta": 1}),
        user({"type": "input_audio", "input_audio": {"data": "AB", "format": "wav"}}),
        user({"type": "document_url", "document_url": "https://a.example/a.pdf"}),
        assistant(content="Because."),
        assistant(content=""),
        assistant(content=None),
        assistant(),
        assistant(content=[]),
        assistant(content=[{"type": "text", "text": "Because."}]),
        assistant(content="Because.", refusal=None, audio={"id": "audio_1"}, prefix=True),
        assistant(content=[{"type": "refusal", "refusal": "No."}]),
        assistant(content=None, tool_calls=[CALL]),
        assistant(tool_calls=[CALL]),
        assistant(content="", tool_calls=[CALL]),
        assistant(content=[], tool_calls=[CALL]),
        assistant(content="Let me see.", tool_calls=[CALL, {**CALL, "id": "call_2", "index": 1}]),
        assistant(content="Because.", tool_calls=[]),
        assistant(tool_calls=[{"id": "c", "function": {"name": "f", "arguments": ""}}]),
        assistant(tool_calls=[{"id": "c", "type": "function", "function": {"name": "f"}}]),
        assistant(tool_calls=[{"id": "c", "type": "function", "function": {"name": "f", "arguments": None}}]),
        assistant(
            tool_calls=[{"id": "c", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}]
        ),
        assistant(tool_calls=[{"id": "c", "type": "custom", "custom": {"name": "grep", "input": "a|b"}}]),
        assistant(
            tool_calls=[{**CALL, "extra_content": {"google": {"thought_signature": "s"}}, "beta": None}]
        ),
        assistant(content="Because.", reasoning_content="Hm."),
        assistant(content="Because.", reasoning="Hm."),
        assistant(content="Because.", reasoning=None, reasoning_content="", reasoning_details=[]),
        assistant(content="Because.", reasoning_details=[DETAIL]),
        assistant(content="Because.", reasoning_details=[DETAIL], reasoning="Hm."),
        assistant(
            content="", reasoning_details=[DETAIL, {"type": "reasoning.encrypted", "data": "x", "id": "rs"}]
        ),
        assistant(
            content=None, reasoning_details=[{"type": "reasoning.summary", "summary": "Hm.", "id": None}]
        ),
        assistant(
            content="a", reasoning="Hm.", reasoning_details=[{"type": "reasoning.encrypted", "data": "x"}]
        ),
        assistant(content="a", reasoning_details=[{"text": "no type"}], reasoning={"effort": "odd"}),
        assistant(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]),
        assistant(
            content=[{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}], "closed": True}]
        ),
        assistant(content=[{"type": "thinking", "thinking": [{"type": "reference", "ids": [1]}]}]),
        {"role": "tool", "tool_call_id": "call_1", "content": "Sunny", "name": "weather"},
        {
            "role": "tool",
            "tool_call_id": "call_1",
            "content": [{"type": "text", "text": "Sunny"}],
            "name": None,
        },
        {"role": "function", "name": "weather", "content": "Sunny"},
    ],
)
def test_a_message_comes_back_whole(message: dict[str, Any]) -> None:
    assert there_and_back(ask(message))["messages"] == [message]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ({"type": "text", "text": "a"}, Text(text="a")),
        ({"type": "image_url", "image_url": {"url": PNG_URL}}, Image(data=PNG, media_type="image/png")),
        (
            {"type": "image_url", "image_url": {"url": "https://a/b", "detail": "low"}},
            Image(url="https://a/b", detail="low"),
        ),
        (
            {"type": "file", "file": {"file_data": PDF_URL, "filename": "a.pdf"}},
            File(data=PDF, media_type="application/pdf", name="a.pdf"),
        ),
        (
            {"type": "input_audio", "input_audio": {"data": SOUND, "format": "mp3"}},
            Audio(data=b"RIFF", format="mp3"),
        ),
        (
            {"type": "video_url", "url": "v"},
            Opaque(format="openai_chat", data={"type": "video_url", "url": "v"}),
        ),
    ],
)
def test_content_becomes_parts_that_all_providers_have(content: dict[str, Any], part: Part) -> None:
    assert decoded(user(content)).content == (part,)


def test_reasoning_text_and_calls_of_an_assistant_become_parts_in_this_order() -> None:
    message = decoded(assistant(content="Let me see.", tool_calls=[CALL], reasoning_content="Hm."))
    thought, words, call = message.content
    assert isinstance(thought, Thinking)
    assert thought.text == "Hm."
    assert words == Text(text="Let me see.")
    assert isinstance(call, ToolCall)
    assert (call.id, call.name, call.arguments) == ("call_1", "weather", {"city": "Paris"})


def test_a_signature_or_encrypted_text_in_the_details_is_where_other_formats_find_it() -> None:
    details = [DETAIL, {"type": "reasoning.encrypted", "data": "x", "id": "rs_1"}]
    signed, encrypted = decoded(assistant(content=None, reasoning_details=details)).content
    assert isinstance(signed, Thinking)
    assert (signed.text, signed.signature) == ("Hm.", "sig")
    assert isinstance(encrypted, Thinking)
    assert (encrypted.encrypted, encrypted.id) == ("x", "rs_1")


def test_instructions_in_several_texts_are_one_text_unless_a_text_says_more() -> None:
    texts = (Text(text="Be brief."), Text(text="Be kind."))
    assert sent(Message.user("q"), system=texts)[0]["content"] == "Be brief.\n\nBe kind."
    cached = (Text(text="Be brief.", extra={"cache_control": {"type": "ephemeral"}}),)
    assert sent(Message.user("q"), system=cached)[0]["content"] == [
        {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}
    ]


def test_results_told_in_one_message_are_sent_one_by_one_and_text_after_them() -> None:
    results = (ToolResult(call_id="a", content="1"), ToolResult(call_id="b", content=(Text(text="2"),)))
    assert sent(Message("user", (*results, Text(text="Go on")))) == [
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
        {"role": "user", "content": [{"type": "text", "text": "Go on"}]},
    ]


def test_an_image_in_a_result_follows_in_a_message_of_the_user_once_all_results_are_told() -> None:
    shot = ToolResult(call_id="a", content=(Text(text="Done"), Image(data=PNG)))
    only = ToolResult(call_id="b", content=(Image(url="https://a/b"),))
    messages = sent(Message("tool", (shot,)), Message("tool", (only,)), Message.assistant("I see."))
    assert [message["role"] for message in messages] == ["tool", "tool", "user", "assistant"]
    assert messages[0]["content"] == "Done"
    assert messages[1]["content"] == "The result is attached to the next message of the user."
    assert messages[2]["content"] == [
        {"type": "text", "text": "Attached to the result of a:"},
        {"type": "image_url", "image_url": {"url": PNG_URL}},
        {"type": "text", "text": "Attached to the result of b:"},
        {"type": "image_url", "image_url": {"url": "https://a/b"}},
    ]


def test_several_texts_of_a_result_and_an_empty_one() -> None:
    two = ToolResult(call_id="a", content=(Text(text="1"), Text(text="2")))
    assert sent(Message("tool", (two,)))[0]["content"] == [
        {"type": "text", "text": "1"},
        {"type": "text", "text": "2"},
    ]
    assert sent(Message("tool", (ToolResult(call_id="a", content=()),)))[0]["content"] == ""


def test_that_a_result_is_an_error_is_reported_as_left_out_for_its_text_says_so() -> None:
    request = Request((Message.tool("a", "No such city", is_error=True),))
    encoded = openai_chat.encode_request(request, stream=False)
    assert encoded.dropped == ("messages[0].content[0].is_error",)
    assert encoded.body["messages"] == [{"role": "tool", "tool_call_id": "a", "content": "No such city"}]


def test_a_call_made_by_hand_gets_its_arguments_as_text() -> None:
    message = sent(Message.assistant(ToolCall(id="a", name="weather", arguments={"city": "Oslo"})))[0]
    assert message["content"] is None
    assert message["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city":"Oslo"}'}


def test_reasoning_of_another_provider_is_left_out_and_reported() -> None:
    request = Request((Message.assistant(Thinking(text="Hm.", signature="s"), Text(text="Because.")),))
    encoded = openai_chat.encode_request(request, stream=False)
    assert encoded.dropped == ("messages[0].content[0]",)
    assert encoded.body["messages"] == [{"role": "assistant", "content": "Because."}]


def test_an_answer_goes_back_with_its_reasoning_and_without_the_providers_notes() -> None:
    told = {"role": "assistant", "content": "Because.", "reasoning": "Hm.", "annotations": [{"type": "file"}]}
    body: dict[str, Any] = {"choices": [{"index": 0, "message": told, "finish_reason": "stop"}]}
    answer = openai_chat.decode_response(body)
    assert sent(answer.message) == [{"role": "assistant", "content": "Because.", "reasoning": "Hm."}]


def test_a_spoken_answer_and_a_refusal_go_back_as_the_format_wants_them() -> None:
    spoken = Opaque(format="openai_chat", data={"type": "audio", "audio": {"id": "audio_1", "data": "AAAA"}})
    refusal = Opaque(format="openai_chat", data={"type": "refusal", "refusal": "No."})
    assert sent(Message.assistant(spoken), Message.assistant(refusal)) == [
        {"role": "assistant", "content": "", "audio": {"id": "audio_1"}},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    ]


def test_a_file_without_a_name_gets_one_and_bytes_their_type() -> None:
    (message,) = sent(
        Message.user(File(data=PDF), File(data=b"a", media_type="text/csv"), Image(data=b"GIF89a"))
    )
    first, second, image = message["content"]
    assert first["file"] == {"file_data": PDF_URL, "filename": "document.pdf"}
    assert second["file"] == {"file_data": "data:text/csv;base64,YQ==", "filename": "document"}
    assert image["image_url"]["url"].startswith("data:image/gif;base64,")
