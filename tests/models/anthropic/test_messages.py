"""Turns and their blocks in requests: the same ones back, foreign ones put into Anthropic's order."""

from __future__ import annotations

from typing import Any

import pytest

from tests.models.anthropic.samples import body
from tidyllm.errors import BadRequest, Unsupported
from tidyllm.models.anthropic import anthropic
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
from tidyllm.models.request import Request

RESULT: dict[str, Any] = {"type": "tool_result", "tool_use_id": "i"}
PNG = b"\x89PNG\r\n\x1a\n..."


def encoded(*messages: Message, system: str | None = None, lenient: bool = False) -> dict[str, Any]:
    return anthropic.encode_request(Request(messages, system=system), stream=False, lenient=lenient).body


def block_of(part: Part, role: Any = "user") -> dict[str, Any]:
    """The one block that a part becomes."""
    (message,) = encoded(Message(role, (part,)))["messages"]
    (block,) = message["content"]
    return block


@pytest.mark.parametrize(
    "block",
    [
        {"type": "text", "text": "hi"},
        {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral", "ttl": "1h"}, "citations": None},
        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}},
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}, "cache_control": None},
        {"type": "image", "source": {"type": "hologram", "id": 1}},
        {"type": "image", "source": {"type": "url", "url": "u", "fetch": "lazily"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Grüße"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/html", "data": "<p>"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}},
        {"type": "document", "source": {"type": "base64", "media_type": "text/plain", "data": "eA=="}},
        {"type": "document", "source": {"type": "url", "url": "https://x/y.pdf"}, "title": "T", "context": "C"},
        {"type": "document", "source": {"type": "file", "file_id": "f"}, "citations": {"enabled": True}},
        {"type": "document", "source": {"type": "content", "content": "raw"}, "title": None},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": [1]}, "caller": {"type": "direct"}},
        {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": False},
        {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": True, "content": "no"},
        {
            "type": "tool_result", "tool_use_id": "t", "is_error": False, "cache_control": {"type": "ephemeral"},
            "content": [
                {"type": "text", "text": "t"},
                {"type": "image", "source": {"type": "url", "url": "u"}},
                {"type": "document", "source": {"type": "url", "url": "u"}},
                {"type": "tool_reference", "tool_name": "g"},
                {"type": "tool_result", "tool_use_id": "inside", "content": "kept whole"},
            ],
        },
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
        {"type": "search_result", "source": "s", "title": "t", "content": []},
        {"type": "block_of_next_year"},
    ],
)  # fmt: skip
def test_a_block_comes_back_as_it_was(block: dict[str, Any]) -> None:
    for role in ("user", "assistant"):
        given = body({"role": role, "content": [block]})
        request, _ = anthropic.decode_request(given)
        assert anthropic.encode_request(request, stream=False).body == given


def test_messages_come_back_as_they_were() -> None:
    """Text stays text, turns of one role stay apart, fields of next year stay."""
    given = body(
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b", "field_of_next_year": 1},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": [{"type": "text", "text": "c"}]},
        {"role": "system", "content": "From now on: d."},
    )
    request, _ = anthropic.decode_request(given)
    assert anthropic.encode_request(request, stream=False).body == given


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        (
            {"type": "tool_result", "tool_use_id": "t", "content": []},
            {"type": "tool_result", "tool_use_id": "t", "is_error": False},
        ),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO\nRw=="}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}},
        ),
        ({"type": "thinking", "thinking": "hm"}, {"type": "thinking", "thinking": "hm", "signature": ""}),
    ],
)
def test_blocks_that_are_normalised(given: dict[str, Any], normal: dict[str, Any]) -> None:
    request, _ = anthropic.decode_request(body({"role": "user", "content": [given]}))
    assert anthropic.encode_request(request, stream=False).body["messages"][0]["content"] == [normal]


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"content": "x"}, "role"),
        ({"role": "robot", "content": "x"}, "role"),
        ({"role": "user"}, "content"),
        ({"role": "user", "content": None}, "content"),
        ({"role": "user", "content": ["x"]}, "content[0]"),
        ({"role": "user", "content": [{"text": "x"}]}, "content[0].type"),
        ({"role": "user", "content": [{"type": "text"}]}, "content[0].text"),
        ({"role": "user", "content": [{"type": "image"}]}, "content[0].source"),
        ({"role": "user", "content": [{"type": "image", "source": {"type": "url"}}]}, "content[0].source.url"),
        ({"role": "user", "content": [{"type": "image", "source": {"type": "base64", "media_type": "i", "data": "!"}}]},
         "content[0].source.data"),
        ({"role": "user", "content": [{"type": "document", "source": {"type": "text", "media_type": "text/plain",
          "data": "\ud800"}}]}, "content[0].source.data"),
        ({"role": "assistant", "content": [{"type": "tool_use", "id": "i", "name": "n", "input": "{}"}]},
         "content[0].input"),
        ({"role": "assistant", "content": [{"type": "tool_use", "id": "i", "name": "n", "input": {"a": "\ud800"}}]},
         "content[0].input"),
        ({"role": "user", "content": [{**RESULT, "content": 1}]}, "content[0].content"),
        ({"role": "user", "content": [{**RESULT, "is_error": 1}]}, "content[0].is_error"),
        ({"role": "user", "content": [{**RESULT, "content": [{"type": "text"}]}]}, "content[0].content[0].text"),
    ],
)  # fmt: skip
def test_a_wrong_block_is_named(message: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        anthropic.decode_request(body({"role": "user", "content": "first"}, message))
    assert caught.value.field == f"messages[1].{field}"


def test_results_of_tools_and_the_words_after_them_become_one_turn_of_the_user() -> None:
    messages = encoded(
        Message.user("weather?"),
        Message.assistant(ToolCall.parse("a", "f", "{}"), ToolCall.parse("b", "f", '{"x": 1}')),
        Message.tool("a", "sunny"),
        Message.tool("b", (Text(text="rain"),), is_error=True),
        Message.user("and now?"),
        Message.user("well?"),
    )["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user", "user"]
    assert messages[1]["content"][1] == {"type": "tool_use", "id": "b", "name": "f", "input": {"x": 1}}
    assert messages[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "is_error": False, "content": "sunny"},
        {"type": "tool_result", "tool_use_id": "b", "is_error": True, "content": [{"type": "text", "text": "rain"}]},
        {"type": "text", "text": "and now?"},
    ]  # fmt: skip
    assert messages[3] == {"role": "user", "content": "well?"}


def test_an_empty_word_of_the_user_after_a_tool_adds_nothing() -> None:
    messages = encoded(Message.tool("a", "x"), Message.user(""), Message("assistant", "ok"))["messages"]
    assert len(messages[0]["content"]) == 1
    assert messages[1]["role"] == "assistant"


def test_instructions_in_front_become_the_system_text() -> None:
    assert encoded(Message("system", "S"), Message.user("q"))["system"] == "S"
    both = encoded(
        Message("system", (Text(text="a", extra={"cache_control": {"type": "ephemeral"}}),)),
        Message("developer", "b"),
        Message("system", ""),
        Message.user("q"),
        Message("developer", "later"),
        system="first",
    )
    assert both["system"] == [
        {"type": "text", "text": "first"},
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "b"},
    ]
    assert both["messages"][-1] == {"role": "system", "content": "later"}


def test_an_empty_instruction_says_nothing() -> None:
    assert "system" not in encoded(Message("system", ""), Message.user("q"))


def test_instructions_alone_are_no_question() -> None:
    with pytest.raises(BadRequest, match="turn of a user") as caught:
        encoded(Message("system", "S"))
    assert caught.value.field == "messages"


def test_a_message_of_a_tool_must_hold_results() -> None:
    with pytest.raises(BadRequest, match="ToolResult") as caught:
        encoded(Message.user("q"), Message("tool", "sunny"))
    assert caught.value.field == "messages[1].content"


def test_empty_text_beside_tool_calls_is_left_out() -> None:
    messages = encoded(Message.user("q"), Message.assistant("", ToolCall.parse("a", "f", "")))["messages"]
    assert messages[1]["content"] == [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]


def test_foreign_ids_of_tool_calls_are_written_in_allowed_letters_on_both_sides() -> None:
    call, result = ToolCall.parse("functions.f:0", "f", "{}"), Message.tool("functions.f:0", "x")
    messages = encoded(Message.user("q"), Message.assistant(call), result)["messages"]
    assert messages[1]["content"][0]["id"] == messages[2]["content"][0]["tool_use_id"] == "functions_f_0"


def test_a_call_made_by_hand_may_give_its_arguments_as_text() -> None:
    assert block_of(ToolCall(id="a", name="f", raw_arguments='{"x": 1}'), "assistant")["input"] == {"x": 1}


@pytest.mark.parametrize(
    ("part", "source"),
    [
        (Image(data=PNG), {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgouLi4="}),
        (Image(data=b"\xff\xd8\xff"), {"type": "base64", "media_type": "image/jpeg", "data": "/9j/"}),
        (Image(data=b"GIF89a"), {"type": "base64", "media_type": "image/gif", "data": "R0lGODlh"}),
        (Image(data=b"RIFF....WEBP"), {"type": "base64", "media_type": "image/webp", "data": "UklGRi4uLi5XRUJQ"}),
        (Image(data=b"x", media_type="image/png"), {"type": "base64", "media_type": "image/png", "data": "eA=="}),
        (Image(url="data:image/png;base64,eA==", detail="auto"),
         {"type": "base64", "media_type": "image/png", "data": "eA=="}),
        (Image(file_id="f"), {"type": "file", "file_id": "f"}),
        (File(data=b"%PDF-1.4"), {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQ="}),
        (File(data=b"# T", media_type="text/markdown"), {"type": "text", "media_type": "text/plain", "data": "# T"}),
        (File(url="data:text/plain,a%20b"), {"type": "text", "media_type": "text/plain", "data": "a b"}),
        (File(url="https://x/y.pdf"), {"type": "url", "url": "https://x/y.pdf"}),
        (File(file_id="f"), {"type": "file", "file_id": "f"}),
    ],
)  # fmt: skip
def test_pictures_and_documents_of_every_make(part: Part, source: dict[str, Any]) -> None:
    assert block_of(part)["source"] == source


@pytest.mark.parametrize(
    "part",
    [
        Image(), File(), Image(data=b"BM..."), Image(url="data:image/png"), Image(url="data:image/png;base64,!!"),
    ],
)  # fmt: skip
def test_a_picture_or_document_without_content_is_refused(part: Part) -> None:
    with pytest.raises(BadRequest) as caught:
        block_of(part)
    assert str(caught.value.field).startswith("messages[0].content[0]")


@pytest.mark.parametrize(
    ("part", "field"),
    [
        (Audio(data=b"x"), ""),
        (Opaque(format="openai_responses", data={"type": "computer_call"}), ""),
        (Thinking(text="hm"), ""),
        (Thinking(text="hm", encrypted="e", id="rs_1"), ""),
        (File(data=b"x", media_type="application/zip"), ""),
        (File(data=b"x"), ""),
        (File(data=b"\xff", media_type="text/plain"), ""),
        (Image(file_id="f", detail="high"), ".detail"),
        (ToolCall.parse("a", "f", "not json"), ".arguments"),
        (Text(text="t", extra={"refusal": "no"}), ".refusal"),
    ],
)
def test_a_part_without_a_place_is_refused_or_reported(part: Part, field: str) -> None:
    request = Request((Message.user("q"), Message("assistant", (part, Text(text="rest")))))
    with pytest.raises(Unsupported) as caught:
        anthropic.encode_request(request, stream=False)
    assert caught.value.field == f"messages[1].content[0]{field}"
    left = anthropic.encode_request(request, stream=False, lenient=True)
    assert left.dropped == (f"messages[1].content[0]{field}",)
    assert left.body["messages"][1]["content"][-1] == {"type": "text", "text": "rest"}


def test_a_message_whose_every_part_was_dropped_is_left_out() -> None:
    messages = encoded(
        Message.user("q"), Message.assistant(Thinking(text="hm")), Message.user("r"), lenient=True
    )
    assert [message["content"] for message in messages["messages"]] == ["q", "r"]


def test_comments_of_other_formats_on_an_answer_are_left_out() -> None:
    noted = Text(
        text="t", extra={"annotations": [1], "logprobs": [2], "openai_chat": {"x": 1}, "refusal": None}
    )
    assert block_of(noted, "assistant") == {"type": "text", "text": "t"}


def test_the_name_of_a_speaker_has_no_place() -> None:
    with pytest.raises(Unsupported) as caught:
        encoded(Message("user", "q", {"name": "Ann"}))
    assert caught.value.field == "messages[0].name"
    with pytest.raises(Unsupported) as caught:
        encoded(Message("system", "s", {"other": 1}), Message.user("q"))
    assert caught.value.field == "messages[0].other"


def test_a_conversation_goes_on_with_the_answer_of_a_tool() -> None:
    """A user's message that holds results, as Anthropic's callers send it, stays whole."""
    request, _ = anthropic.decode_request(
        body({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]})
    )
    assert request.turns[0] == Message("user", (ToolResult(call_id="t", content="x"),))
