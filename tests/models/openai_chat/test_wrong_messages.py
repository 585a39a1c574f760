"""Messages that cannot be read or sent in the chat format: each is named."""

from __future__ import annotations

from typing import Any

import pytest

from tests.models.openai_chat.samples import ask
from tests.models.openai_chat.test_messages import CALL, assistant, sent, user
from tidyllm.errors import BadRequest, Unsupported
from tidyllm.models.message import (
    File,
    Image,
    Message,
    Opaque,
    Text,
    Thinking,
    ToolResult,
)
from tidyllm.models.openai_chat import openai_chat
from tidyllm.models.request import Request


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (Message.user(Image(file_id="file-1")), "messages[0].content[0].file_id"),
        (Message.user(File(url="https://a/b.pdf")), "messages[0].content[0].url"),
        (Message.user(Thinking(text="Hm.")), "messages[0].content[0]"),
        (Message.user(Opaque(format="anthropic", data={"type": "search_result"})), "messages[0].content[0]"),
        (Message.assistant(Opaque(format="ollama", data={})), "messages[0].content[0]"),
        (
            Message("tool", (ToolResult(call_id="a", content=(Opaque(format="anthropic", data={}),)),)),
            "messages[0].content[0].content[0]",
        ),
    ],
)
def test_a_part_without_a_place_is_refused_by_name_or_dropped_and_reported(
    message: Message, field: str
) -> None:
    request = Request((message, Message.user("Go on")))
    with pytest.raises(Unsupported) as caught:
        openai_chat.encode_request(request, stream=False)
    assert caught.value.field == field
    assert openai_chat.encode_request(request, stream=False, lenient=True).dropped == (field,)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (Message.user(Image()), "messages[0].content[0]"),
        (Message.user(File()), "messages[0].content[0]"),
        (Message.user(Image(data=b"??")), "messages[0].content[0].media_type"),
        (Message("tool", "Sunny"), "messages[0].content"),
        (Message("tool", (Text(text="Sunny"),)), "messages[0].content[0]"),
    ],
)
def test_a_part_that_cannot_be_sent_is_named(message: Message, field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        sent(message)
    assert caught.value.field == field


def test_no_messages_are_no_request() -> None:
    with pytest.raises(BadRequest) as caught:
        sent()
    assert caught.value.field == "messages"


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("hello", "messages[0]"),
        ({"content": "Why?"}, "messages[0].role"),
        ({"role": "robot", "content": "Why?"}, "messages[0].role"),
        ({"role": "user"}, "messages[0].content"),
        ({"role": "user", "content": None}, "messages[0].content"),
        (user("Why?"), "messages[0].content[0]"),
        (user({"text": "Why?"}), "messages[0].content[0].type"),
        (user({"type": "text"}), "messages[0].content[0].text"),
        (user({"type": "image_url"}), "messages[0].content[0].image_url"),
        (user({"type": "image_url", "image_url": {}}), "messages[0].content[0].image_url.url"),
        (user({"type": "image_url", "image_url": {"url": None}}), "messages[0].content[0].image_url.url"),
        (user({"type": "image_url", "image_url": {"url": 1}}), "messages[0].content[0].image_url.url"),
        (user({"type": "file", "file": {"filename": "a"}}), "messages[0].content[0].file.file_data"),
        (
            user({"type": "input_audio", "input_audio": {"data": "AAAA"}}),
            "messages[0].content[0].input_audio.format",
        ),
        (user({"type": "thinking"}), "messages[0].content[0].thinking"),
        (assistant(content=7), "messages[0].content"),
        (assistant(tool_calls=7), "messages[0].tool_calls"),
        (assistant(tool_calls=[{"type": "function"}]), "messages[0].tool_calls[0].function"),
        (assistant(tool_calls=[{**CALL, "id": ...}]), "messages[0].tool_calls[0].id"),
        (assistant(tool_calls=[{"id": "c", "function": {}}]), "messages[0].tool_calls[0].function.name"),
        (
            assistant(tool_calls=[{"id": "c", "function": {"name": "f", "arguments": 7}}]),
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"role": "tool", "content": "Sunny"}, "messages[0].tool_call_id"),
    ],
)
def test_a_wrong_message_is_named(message: Any, field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        openai_chat.decode_request(ask(message))
    assert caught.value.field == field
