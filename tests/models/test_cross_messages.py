"""Messages and their parts that go on in another format: what crosses, what is left out, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.models.test_cross import ANTHROPIC, CHAT, OLLAMA, RESPONSES, cross, part
from tidyllm.errors import Unsupported
from tidyllm.models.formats import wire_format
from tidyllm.models.message import File, Image, Message, Opaque, Text, ToolResult
from tidyllm.models.request import Request


def test_notes_and_marks_on_parts_and_messages_are_left_out() -> None:
    noted = Text(
        text="x", extra={"annotations": [], "logprobs": [], "openai_responses": {"item": {"id": "msg_1"}}}
    )
    assert part(noted, RESPONSES, ANTHROPIC) == (Text(text="x"), [])
    cached = Text(text="x", extra={"cache_control": {"type": "ephemeral"}})
    assert part(cached, ANTHROPIC, CHAT) == (Text(text="x"), ["messages[0].content[0].cache_control"])
    inside = ToolResult(call_id="c", content=(cached,))
    where = "messages[0].content[0].content[0].cache_control"
    assert part(inside, ANTHROPIC, CHAT, "user") == (
        ToolResult(call_id="c", content=(Text(text="x"),)),
        [where],
    )
    message = Message(
        "user", "x", extra={"phase": "final_answer", "openai_responses": {"item": {"type": "message"}}}
    )
    assert cross(Request((message,)), RESPONSES, CHAT)[0].turns == (Message("user", "x"),)
    system = cross(Request("hi", system=(cached,)), ANTHROPIC, RESPONSES)[0].system
    assert system == (Text(text="x"),)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (Message("user", "x", extra={"name": "bob"}), "messages[0].name"),
        (Message.user("a", Text(text="x", extra={"new": 1})), "messages[0].content[1].new"),
        (Message("user", "x", extra={"openai_responses": {"item": {"new": 1}}}), "messages[0].new"),
    ],
)
def test_other_fields_of_parts_and_messages_are_refused(message: Message, field: str) -> None:
    with pytest.raises(Unsupported) as raised:
        cross(Request((message,)), RESPONSES, CHAT)
    assert raised.value.field == field


def test_a_refusal_in_words_is_what_was_said() -> None:
    data = {"type": "refusal", "refusal": "No."}
    ours = Opaque(format=RESPONSES, data=data, extra={"openai_responses": {"item": {"id": "msg_1"}}})
    assert part(ours, RESPONSES, CHAT)[0] == Opaque(format=CHAT, data=data)
    assert part(ours, RESPONSES, ANTHROPIC)[0] == Text(text="No.")
    chats = Opaque(format=CHAT, data=data)
    there = part(chats, CHAT, RESPONSES)[0]
    assert there == Opaque(format=RESPONSES, data=data, extra={"openai_responses": {"item": {}}})


def test_files_get_the_name_that_openai_wants() -> None:
    named = part(File(data=b"%PDF", media_type="application/pdf"), ANTHROPIC, RESPONSES, "user")[0]
    assert named == File(data=b"%PDF", media_type="application/pdf", name="file.pdf")
    assert part(File(data=b"x", name="a.txt"), ANTHROPIC, RESPONSES, "user")[0] == File(
        data=b"x", name="a.txt"
    )


def test_texts_given_as_files_are_texts_where_files_are_not_read() -> None:
    file = File(
        data=b"colour: red", media_type="text/css", name="a.css", extra={"citations": {"enabled": True}}
    )
    where = ["messages[0].content[0].citations"]
    for target in (CHAT, OLLAMA):
        assert part(file, ANTHROPIC, target, "user") == (Text(text="a.css:\ncolour: red"), where)
    kept, _ = part(file, ANTHROPIC, RESPONSES, "user")
    assert kept == File(data=b"colour: red", media_type="text/css", name="a.css")
    broken = File(data=b"\xff", media_type="text/css", name="a.css")
    assert part(broken, ANTHROPIC, OLLAMA, "user")[0] == broken


def test_how_closely_to_look_at_a_picture_is_left_out_where_nobody_can_say() -> None:
    near = Image(url="https://a/b.png", detail="high")
    where = ["messages[0].content[0].detail"]
    for target in (ANTHROPIC, OLLAMA):
        assert part(near, CHAT, target, "user") == (Image(url="https://a/b.png"), where)
    assert part(near, CHAT, RESPONSES, "user") == (near, [])
    assert part(near, None, ANTHROPIC, "user") == (near, [])


def test_tools_that_a_search_found_are_named() -> None:
    found = Opaque(format=ANTHROPIC, data={"type": "tool_reference", "tool_name": "weather"})
    inside = ToolResult(call_id="c", content=(found,))
    crossed, left_out = part(inside, ANTHROPIC, CHAT, "user")
    assert crossed == ToolResult(call_id="c", content=(Text(text="Found the tool weather."),))
    assert left_out == ["messages[0].content[0].content[0]"]
    odd = ToolResult(call_id="c", content=(Opaque(format=ANTHROPIC, data={"type": "tool_reference"}),))
    assert part(odd, ANTHROPIC, CHAT, "user") == (odd, [])


def test_a_refusal_that_a_client_sent_back_with_its_message_is_what_was_said() -> None:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None,
        "refusal": "No.",
        "annotations": [],
        "audio": None,
    }
    request, _ = wire_format(CHAT).decode_request({"model": "m", "messages": [message]})
    assert cross(request, CHAT, ANTHROPIC)[0].turns == (Message("assistant", (Text(text="No."),)),)
    there = cross(request, CHAT, RESPONSES)[0].turns[0].parts[0]
    assert isinstance(there, Opaque)
    assert there.data == {"type": "refusal", "refusal": "No."}
