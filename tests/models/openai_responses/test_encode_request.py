"""Requests of ours as a body of the Responses API: what goes where, and what is refused by name."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.models.openai_responses.test_request import MARK, PNG, PNG_URL, items, write
from tidyllm.errors import BadRequest, Unsupported
from tidyllm.models.message import (
    File,
    Image,
    Message,
    Opaque,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from tidyllm.models.openai_responses import openai_responses
from tidyllm.models.request import JSONSchema, NamedTool, ProviderTool, Request, Tool


def test_a_hand_made_conversation_becomes_items_in_order() -> None:
    made = items(
        Message("developer", "Be brief."),
        Message.user("What is this?", Image(data=PNG)),
        Message.assistant(
            Text(text="A cat."),
            Text(text="Or a dog."),
            ToolCall(id="c1", name="f", arguments={"a": 1}),
            Text(text="Wait."),
        ),
        Message.tool("c1", (Text(text="a dog"),)),
    )
    assert made == [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What is this?"},
                {"type": "input_image", "image_url": PNG_URL},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "A cat."},
                {"type": "output_text", "text": "Or a dog."},
            ],
        },
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'},
        {"role": "assistant", "content": "Wait."},
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [{"type": "input_text", "text": "a dog"}],
        },
    ]


def test_results_of_tools_inside_a_users_message_become_items_of_their_own() -> None:
    made = items(Message("user", (ToolResult(call_id="c1", content="x"), Text(text="Go on."))))
    assert [item.get("type", item.get("role")) for item in made] == ["function_call_output", "user"]


def test_a_failed_tool_is_reported_because_the_format_has_no_field_for_it() -> None:
    request = Request((Message.tool("c1", "no such file", is_error=True),), model="gpt")
    encoded = openai_responses.encode_request(request, stream=False)
    assert encoded.body["input"] == [
        {"type": "function_call_output", "call_id": "c1", "output": "no such file"}
    ]
    assert encoded.dropped == ("messages[0].content[0].is_error",)


def test_tools_output_and_instructions_are_written() -> None:
    body = write(
        Request(
            "hi",
            model="gpt",
            system=(Text(text="One."), Text(text="Two.")),
            tools=(
                Tool("f", description="d", parameters={"type": "object"}, strict=True),
                ProviderTool(MARK, {"type": "mcp"}),
            ),
            tool_choice=NamedTool("f"),
            output=JSONSchema({"type": "object"}, name="n", description="d", strict=True),
            effort="low",
            extra={"text": {"verbosity": "low"}, "reasoning": {"summary": "auto"}},
        )
    )
    assert body["instructions"] == "One.\n\nTwo."
    assert body["tools"][0] == {
        "type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True,
    }  # fmt: skip
    assert body["tools"][1] == {"type": "mcp"}
    assert body["tool_choice"] == {"type": "function", "name": "f"}
    schema = {
        "type": "json_schema",
        "name": "n",
        "schema": {"type": "object"},
        "description": "d",
        "strict": True,
    }
    assert body["text"] == {"format": schema, "verbosity": "low"}
    assert body["reasoning"] == {"effort": "low", "summary": "auto"}


def test_structured_output_is_asked_for_by_a_type() -> None:
    class City(msgspec.Struct):
        name: str

    wanted = write(Request("hi", model="gpt", output=City))["text"]["format"]
    assert (wanted["name"], wanted["strict"]) == ("City", True)
    assert wanted["schema"]["properties"]["name"] == {"type": "string"}
    assert write(Request("hi", model="gpt", output="json"))["text"] == {"format": {"type": "json_object"}}


FOREIGN = Opaque(format="anthropic", data={"type": "server_tool_use"})


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (Request("hi", top_k=5), "top_k"),
        (Request("hi", seed=1), "seed"),
        (Request("hi", stop=("END",)), "stop"),
        (Request("hi", thinking_tokens=1000), "thinking_tokens"),
        (Request("hi", frequency_penalty=0.1), "frequency_penalty"),
        (Request("hi", tools=(ProviderTool("anthropic", {"type": "bash"}),)), "tools[0]"),
        (Request((Message("user", (FOREIGN,)),)), "messages[0].content[0]"),
        (Request((Message("assistant", (FOREIGN,)),)), "messages[0].content[0]"),
        (Request((Message("assistant", (Thinking(text="hm"),)),)), "messages[0].content[0]"),
        (Request((Message("assistant", (Image(url="u"),)),)), "messages[0].content[0]"),
        (Request((Message("tool", "text"),)), "messages[0].content"),
        (Request((Message("tool", (Text(text="x"),)),)), "messages[0].content[0]"),
        (Request((Message("user", (Thinking(text="x"),)),)), "messages[0].content[0]"),
        (
            Request((Message.user("a", Text(text="x", extra={"cache_control": {}})),)),
            "messages[0].content[1].cache_control",
        ),
        (Request("hi", system=(Text(text="x", extra={"new": 1}),)), "system[0].new"),
        (
            Request((Message("assistant", (ToolCall(id="c", name="f"),), extra={"new": 1}),)),
            "messages[0].content[0]",
        ),
    ],
)
def test_what_has_no_place_is_refused_by_name_or_reported(request_: Request, field: str) -> None:
    with pytest.raises(Unsupported) as raised:
        write(request_)
    assert raised.value.field == field
    assert openai_responses.encode_request(request_, stream=False, lenient=True).dropped == (field,)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (Request("hi", temperature=1, extra={"temperature": 2}), "extra.temperature"),
        (Request("hi", effort="low", extra={"reasoning": {"effort": "high"}}), "extra.reasoning.effort"),
        (Request("hi", effort="low", extra={"reasoning": "high"}), "extra.reasoning"),
        (Request((Message.user("x", Image()),)), "messages[0].content[1]"),
        (Request((Message.user("x", Image(data=b"?")),)), "messages[0].content[1].media_type"),
        (Request((Message.user("x", File()),)), "messages[0].content[1]"),
    ],
)
def test_what_cannot_be_sent_at_all_is_a_bad_request(request_: Request, field: str) -> None:
    with pytest.raises(BadRequest) as raised:
        write(request_, lenient=True)
    assert raised.value.field == field


def test_marks_of_other_formats_never_reach_the_wire() -> None:
    text = Text(text="x", extra={"openai_chat": {"nulls": ["a"]}})
    assert items(Message.user("a", text))[0]["content"][1] == {"type": "input_text", "text": "x"}
    assert write(Request("hi", model="gpt", extra={"openai_chat": {"max": "x"}})) == {
        "model": "gpt",
        "input": "hi",
    }


def test_an_answer_goes_back_whole_as_the_next_turn() -> None:
    output: list[dict[str, Any]] = [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "secret"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
        {
            "type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "phase": "commentary",
            "content": [{"type": "output_text", "text": "Hm.", "annotations": [], "logprobs": []}],
        },
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}", "status": "completed"},
    ]  # fmt: skip
    answer = openai_responses.decode_response({"status": "completed", "output": output})
    assert items(answer.message) == output
