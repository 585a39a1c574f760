"""Requests in the Responses format: what we read, what we write, and what is refused by name."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tidyllm.errors import BadRequest
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
from tidyllm.models.openai_responses import openai_responses
from tidyllm.models.request import Request

PNG = b"\x89PNG\r\n\x1a\n...."
PNG_URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
MARK = "openai_responses"


def read(**body: Any) -> Request:
    return openai_responses.decode_request({"model": "gpt", "input": "hi", **body})[0]


def write(request: Request, *, lenient: bool = False) -> dict[str, Any]:
    return openai_responses.encode_request(request, stream=False, lenient=lenient).body


def items(*messages: Message) -> list[dict[str, Any]]:
    return write(Request(messages, model="gpt"))["input"]


def test_a_plain_question_is_one_string() -> None:
    request, stream = openai_responses.decode_request({"model": "gpt", "input": "hi", "stream": True})
    assert (request.messages, request.model, stream) == ("hi", "gpt", True)
    assert openai_responses.encode_request(request, stream=True).body == {
        "model": "gpt",
        "input": "hi",
        "stream": True,
    }


def test_fields_with_a_name_of_ours_are_read_into_it() -> None:
    request = read(
        instructions="Be brief.",
        temperature=0.5,
        top_p=1,
        max_output_tokens=100,
        parallel_tool_calls=False,
        user="u1",
        metadata={"run": "7"},
        reasoning={"effort": "low", "summary": "auto"},
        store=False,
    )
    assert (request.system, request.temperature, request.top_p) == ("Be brief.", 0.5, 1)
    assert (request.max_output_tokens, request.parallel_tool_calls) == (100, False)
    assert (request.user, request.metadata, request.effort) == ("u1", {"run": "7"}, "low")
    assert request.extra == {"reasoning": {"summary": "auto"}, "store": False}


FIELDS: list[dict[str, Any]] = [
    {
        "temperature": None,
        "instructions": None,
        "tools": [],
        "metadata": {},
        "reasoning": None,
        "text": None,
    },
    {"text": {"format": {"type": "text"}, "verbosity": "low"}},
    {"text": {"format": {"type": "json_object"}}},
    {"text": {"verbosity": "low"}},
    {"text": {"format": {"type": "grammar", "syntax": "lark"}}},
    {
        "text": {
            "format": {"type": "json_schema", "name": "n", "schema": {}, "strict": None, "new": 1},
            "verbosity": "low",
        }
    },
    {"reasoning": {"effort": None, "summary": "auto"}},
    {"reasoning": {"effort": "unheard-of"}},
    {"reasoning": {"effort": "high"}},
    {
        "tool_choice": "required",
        "tools": [{"type": "function", "name": "f", "strict": None, "defer_loading": True}],
    },
    {"tool_choice": {"type": "function", "name": "f"}},
    {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}},
    {"tools": [{"type": "web_search", "filters": {"allowed_domains": ["example.com"]}}]},
    {
        "previous_response_id": "resp_1",
        "conversation": {"id": "conv_1"},
        "background": True,
        "include": ["x"],
    },
    {"input": []},
]


@pytest.mark.parametrize("fields", FIELDS)
def test_fields_of_any_kind_are_written_back_as_they_came(fields: dict[str, Any]) -> None:
    body = {"model": "gpt", "input": "hi", **fields}
    assert write(openai_responses.decode_request(body)[0]) == body


ITEMS: list[dict[str, Any]] = [
    {"role": "user", "content": "hi"},
    {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "hi", "new": 1}]},
    {"role": "system", "content": "hi", "id": "msg_1", "status": "completed"},
    {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "input_smell", "smell": "rose"}]},
    {"role": "user", "content": []},
    {"role": "assistant", "content": "hello", "phase": "final_answer"},
    {"type": "message", "role": "assistant", "content": "hello"},
    {"role": "assistant", "content": [{"type": "output_text", "text": "hello"}]},
    {"role": "assistant", "content": "", "id": "msg_1"},
    {"type": "message", "role": "assistant", "content": [], "id": "msg_1"},
    {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
    {
        "type": "message",
        "role": "assistant",
        "id": "msg_1",
        "status": "completed",
        "content": [
            {"type": "output_text", "text": "a", "annotations": [], "logprobs": []},
            {"type": "output_text", "text": "b", "annotations": [{"type": "file_path"}]},
            {"type": "refusal", "refusal": "no more"},
        ],
    },
    {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "so"}],
        "encrypted_content": "x",
    },
    {"type": "reasoning", "summary": [], "content": None, "encrypted_content": None},
    {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": 'tidyllm:{"signature": "sig"}'},
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "tidyllm:data"},
    {"type": "function_call", "call_id": "c1", "name": "f", "arguments": ""},
    {
        "type": "function_call",
        "call_id": "c1",
        "name": "f",
        "arguments": "{not json",
        "id": "fc_1",
        "namespace": "n",
    },
    {"type": "function_call_output", "call_id": "c1", "output": "fine", "id": "fco_1"},
    {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "fine"}]},
    {"type": "custom_tool_call_output", "call_id": "c1", "output": "fine"},
    {"type": "tool_search_output", "call_id": None, "execution": "server", "tools": []},
    {"type": "mcp_approval_response", "approval_request_id": "m1", "approve": True},
    {"type": "item_of_tomorrow", "anything": {"at": "all"}},
    {"type": None, "id": "msg_1"},
]


@pytest.mark.parametrize("item", ITEMS)
def test_items_of_any_kind_are_written_back_as_they_came(item: dict[str, Any]) -> None:
    alone = {"model": "gpt", "input": [item]}
    assert write(openai_responses.decode_request(alone)[0]) == alone
    among = {
        "model": "gpt",
        "input": [{"role": "assistant", "content": "a"}, item, item, {"role": "user", "content": "b"}],
    }
    assert write(openai_responses.decode_request(among)[0]) == among


def test_what_an_assistant_said_and_did_in_a_row_is_one_message() -> None:
    request = read(
        input=[
            {"role": "user", "content": "weather?"},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "secret"},
            {"role": "assistant", "content": "Let me look."},
            {
                "type": "function_call",
                "id": "fc_1",
                "call_id": "c1",
                "name": "look",
                "arguments": '{"at": "Rome"}',
            },
            {"type": "function_call_output", "call_id": "c1", "output": "rain"},
        ]
    )
    user, assistant, tool = request.turns
    assert (user.role, assistant.role, tool.role) == ("user", "assistant", "tool")
    thinking, text, call = assistant.parts
    assert isinstance(thinking, Thinking)
    assert (thinking.id, thinking.encrypted) == ("rs_1", "secret")
    assert text == Text(text="Let me look.")
    assert isinstance(call, ToolCall)
    assert (call.id, call.name, call.arguments) == ("c1", "look", {"at": "Rome"})
    assert tool.parts == (ToolResult(call_id="c1", content="rain"),)


def test_two_messages_of_an_assistant_that_look_alike_stay_two() -> None:
    said = [{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert [message.content for message in read(input=said).turns] == ["a", "b"]
    # With ids they can be told apart in one message.
    named = [
        {"role": "assistant", "id": f"msg_{i}", "content": [{"type": "output_text", "text": "x"}]}
        for i in (1, 2)
    ]
    assert len(read(input=named).turns) == 1
    assert items(*read(input=named).turns) == named


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (
            {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
            Image(url="https://x/y.png", detail="low"),
        ),
        ({"type": "input_image", "image_url": PNG_URL}, Image(data=PNG, media_type="image/png")),
        (
            {"type": "input_image", "file_id": "file-1", "image_url": None},
            Image(file_id="file-1", extra={"image_url": None}),
        ),
        ({"type": "input_image", "image_url": PNG_URL + "\n"}, Image(url=PNG_URL + "\n")),
        (
            {"type": "input_file", "file_data": PNG_URL, "filename": "a.png"},
            File(data=PNG, media_type="image/png", name="a.png"),
        ),
        ({"type": "input_file", "file_data": "AAAA"}, File(data=b"\0\0\0")),
        ({"type": "input_file", "file_data": "no base64"}, File(extra={"file_data": "no base64"})),
        ({"type": "input_file", "file_url": "https://x/y.pdf"}, File(url="https://x/y.pdf")),
        (
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
            Audio(data=b"\0\0\0", format="mp3"),
        ),
    ],
)
def test_images_files_and_sound_are_read_and_written(content: dict[str, Any], part: Part) -> None:
    body = [{"role": "user", "content": [content]}]
    assert read(input=body).turns[0].parts == (part,)
    assert items(*read(input=body).turns) == body


def test_sound_in_a_spelling_of_its_own_is_left_alone() -> None:
    content = {"type": "input_audio", "input_audio": {"data": "no base64", "format": "wav"}}
    assert read(input=[{"role": "user", "content": [content]}]).turns[0].parts == (
        Opaque(format=MARK, data=content),
    )


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"model": 5}, "model", "a string"),
    ({"input": 5}, "input", "a string or an array of items"),
    ({"input": ["x"]}, "input[0]", "an object"),
    ({"input": [{}]}, "input[0].type", "a string"),
    (
        {"input": [{"role": "king", "content": ""}]},
        "input[0].role",
        "user, assistant, system or developer",
    ),
    ({"input": [{"role": "user"}]}, "input[0].content", "a string or an array of parts"),
    (
        {"input": [{"role": "assistant", "content": 1}]},
        "input[0].content",
        "a string or an array of parts",
    ),
    ({"input": [{"role": "user", "content": [{"text": "x"}]}]}, "input[0].content[0].type", "a string"),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
        "input[0].content[0].image_url",
        "a URL",
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "input_file"}]}]},
        "input[0].content[0].file_data",
        "a string",
    ),
    (
        {"input": [{"type": "function_call", "call_id": "c", "name": "f"}]},
        "input[0].arguments",
        "a string",
    ),
    ({"input": [{"type": "function_call_output", "output": ""}]}, "input[0].call_id", "a string"),
    ({"input": [{"type": "reasoning", "summary": "x"}]}, "input[0].summary", "an array"),
    ({"stream": "yes"}, "stream", "a boolean"),
    ({"temperature": True}, "temperature", "a number"),
    ({"max_output_tokens": 1.5}, "max_output_tokens", "an integer"),
    ({"metadata": {"a": 1}}, "metadata.a", "a string"),
    ({"tools": [{"type": "function"}]}, "tools[0].name", "a string"),
    (
        {"tools": [{"type": "function", "name": "f", "parameters": []}]},
        "tools[0].parameters",
        "an object",
    ),
    ({"tool_choice": 1}, "tool_choice", "an object"),
    ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema", "an object"),
    ({"reasoning": {"effort": 3}}, "reasoning.effort", "a string"),
]


@pytest.mark.parametrize(("change", "field", "expected"), WRONG)
def test_a_wrong_field_is_refused_by_name(change: dict[str, Any], field: str, expected: str) -> None:
    with pytest.raises(BadRequest, match="must be") as raised:
        read(**change)
    assert raised.value.field == field
    assert expected in raised.value.message


def test_a_missing_field_is_said_to_be_missing() -> None:
    with pytest.raises(BadRequest, match="model is missing"):
        openai_responses.decode_request({"input": "hi"})
    with pytest.raises(BadRequest, match="input is missing"):
        openai_responses.decode_request({"model": "gpt"})


def test_a_stored_prompt_or_an_earlier_answer_can_stand_for_the_input() -> None:
    prompt = {"model": "gpt", "prompt": {"id": "pmpt_1"}}
    assert write(openai_responses.decode_request(prompt)[0]) == prompt
    assert read(input=[], previous_response_id="resp_1").messages == ()
