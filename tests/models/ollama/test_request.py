"""Requests of ours in Ollama's format."""

from __future__ import annotations

from typing import Any

import pytest

from tidyllm.errors import BadRequest, Unsupported
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
from tidyllm.models.ollama import MIN_NUM_CTX, ollama
from tidyllm.models.request import JSONSchema, NamedTool, ProviderTool, Request, Tool

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}}


def sent(request: Request, **options: Any) -> dict[str, Any]:
    return ollama.encode_request(request, stream=False, **options).body


def messages(*turns: Message, **fields: Any) -> list[dict[str, Any]]:
    return sent(Request(turns, **fields))["messages"]


def test_a_plain_question_always_names_its_window_and_forbids_to_cut() -> None:
    assert sent(Request("hello", model="qwen3")) == {
        "model": "qwen3",
        "messages": [{"role": "user", "content": "hello"}],
        "stream": False,
        "options": {"num_ctx": MIN_NUM_CTX},
        "truncate": False,
        "shift": False,
    }


def test_sampling_goes_into_the_options() -> None:
    request = Request(
        "q", max_output_tokens=50, temperature=0.5, top_p=0.9, top_k=40, seed=7, stop=("END",),
        frequency_penalty=0.1, presence_penalty=0.2, extra={"options": {"num_ctx": 4096, "min_p": 0.1}},
    )  # fmt: skip
    assert sent(request)["options"] == {
        "num_predict": 50, "temperature": 0.5, "top_p": 0.9, "top_k": 40, "seed": 7, "stop": ["END"],
        "frequency_penalty": 0.1, "presence_penalty": 0.2, "num_ctx": 4096, "min_p": 0.1,
    }  # fmt: skip


def test_fields_of_its_own_are_passed_on_and_may_allow_cutting() -> None:
    body = sent(Request("q", extra={"keep_alive": "10m", "truncate": True, "shift": True}))
    assert (body["keep_alive"], body["truncate"], body["shift"]) == ("10m", True, True)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (Request("q", seed=1, extra={"options": {"seed": 2}}), "extra.options.seed"),
        (Request("q", extra={"model": "other"}), "extra.model"),
        (Request("q", output="json", extra={"format": "json"}), "extra.format"),
        (Request("q", extra={"options": "fast"}), "extra.options"),
    ],
)
def test_a_field_given_twice_is_refused(request_: Request, field: str) -> None:
    with pytest.raises(BadRequest, match="once") as caught:
        sent(request_)
    assert caught.value.field == field


FIELDS: list[tuple[Request, dict[str, Any]]] = [
    (Request("q", output="json"), {"format": "json"}),
    (Request("q", output=SCHEMA), {"format": SCHEMA}),
    (
        Request("q", output=JSONSchema(SCHEMA, description="A city.")),
        {"format": {**SCHEMA, "description": "A city."}},
    ),
    (Request("q", effort="none"), {"think": False}),
    (Request("q", effort="minimal"), {"think": "low"}),
    (Request("q", effort="xhigh"), {"think": "high"}),
    (Request("q", effort="max"), {"think": "max"}),
    (Request("q", thinking_tokens=0), {"think": False}),
    (
        Request("q", tools=(Tool("f", "does f", SCHEMA), Tool("g"))),
        {
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "f", "description": "does f", "parameters": SCHEMA},
                },
                {
                    "type": "function",
                    "function": {"name": "g", "parameters": {"type": "object", "properties": {}}},
                },
            ]
        },
    ),
    (Request("q", tools=(Tool("f"),), tool_choice="none", parallel_tool_calls=True), {}),
]


@pytest.mark.parametrize(("request_", "fields"), FIELDS)
def test_a_field_of_ours_finds_its_place_in_the_body(request_: Request, fields: dict[str, Any]) -> None:
    assert sent(request_) == sent(Request("q")) | fields


def test_a_conversation_with_tools_names_the_tool_of_each_result() -> None:
    turns = messages(
        Message("developer", "Be brief."),
        Message.user("Weather?", Image(data=b"png"), "Quickly."),
        Message.assistant(
            Thinking(text="hm"), "I ", "look", ToolCall.parse("c1", "weather", '{"city": "Oslo"}')
        ),
        Message.tool("c1", (Text(text="sunny"), Image(url="data:image/png;base64,cG5n"))),
        Message("user", (ToolResult(call_id="c9", content="lost"), Text(text="and now?"))),
        Message("assistant", ""),
        system=(Text(text="S1"), Text(text="S2")),
    )
    assert turns == [
        {"role": "system", "content": "S1\n\nS2"},
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?\n\nQuickly.", "images": ["cG5n"]},
        {
            "role": "assistant",
            "content": "I look",
            "thinking": "hm",
            "tool_calls": [{"id": "c1", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}],
        },
        {
            "role": "tool",
            "content": "sunny",
            "images": ["cG5n"],
            "tool_call_id": "c1",
            "tool_name": "weather",
        },
        {"role": "tool", "content": "lost", "tool_call_id": "c9"},
        {"role": "user", "content": "and now?"},
        {"role": "assistant", "content": ""},
    ]


def test_a_system_text_and_arguments_made_by_hand() -> None:
    turns = messages(Message.assistant(ToolCall(name="f", raw_arguments='{"a": 1}')), system="S")
    assert turns[0] == {"role": "system", "content": "S"}
    assert turns[1]["tool_calls"][0]["function"]["arguments"] == {"a": 1}


def test_that_a_tool_failed_stands_in_its_text_and_is_reported() -> None:
    encoded = ollama.encode_request(Request((Message.tool("c", "no", is_error=True),)), stream=False)
    assert encoded.dropped == ("messages[0].content[0].is_error",)


def test_that_a_tool_is_strict_is_only_reported() -> None:
    encoded = ollama.encode_request(
        Request("q", tools=(Tool("f", strict=True), Tool("g", strict=False))), stream=False
    )
    assert encoded.dropped == ("tools[0].strict",)


def test_a_message_of_a_tool_must_hold_results() -> None:
    with pytest.raises(BadRequest, match="ToolResult") as caught:
        messages(Message("tool", "sunny"))
    assert caught.value.field == "messages[0].content"


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (Request("q", thinking_tokens=1000), "thinking_tokens"),
        (Request("q", metadata={"a": "b"}), "metadata"),
        (Request("q", user="u"), "user"),
        (Request("q", tool_choice="required"), "tool_choice"),
        (Request("q", tool_choice=NamedTool("f")), "tool_choice"),
        (Request("q", parallel_tool_calls=False), "parallel_tool_calls"),
        (Request("q", tools=(Tool("f", extra={"defer_loading": True}),)), "tools[0].defer_loading"),
        (Request("q", tools=(ProviderTool("anthropic", {"type": "web_search"}),)), "tools[0]"),
        (Request("q", output=JSONSchema(SCHEMA, extra={"a": 1})), "output.a"),
        (Request((Message("user", "q", {"name": "Ann"}),)), "messages[0].name"),
    ],
)
def test_a_field_without_a_place_is_refused_or_reported(request_: Request, field: str) -> None:
    with pytest.raises(Unsupported) as caught:
        sent(request_)
    assert (caught.value.field, caught.value.format) == (field, "ollama")
    assert ollama.encode_request(request_, stream=False, lenient=True).dropped == (field,)


@pytest.mark.parametrize(
    ("part", "field"),
    [
        (Audio(), ""),
        (File(url="u"), ""),
        (Opaque(format="anthropic", data={"type": "server_tool_use"}), ""),
        (Thinking(text="hm", signature="s"), ""),
        (Thinking(encrypted="e"), ""),
        (Image(url="https://x/y.png"), ""),
        (Image(file_id="f"), ""),
        (Image(data=b"x", detail="high"), ".detail"),
        (ToolCall.parse("c", "f", "broken"), ".arguments"),
        (ToolResult(call_id="c", content=(ToolResult(),)), ".content[0]"),
        (Text(text="t", extra={"refusal": "no", "annotations": [1]}), ".refusal"),
    ],
)
def test_a_part_without_a_place_is_refused_or_reported(part: Part, field: str) -> None:
    request = Request((Message("assistant", (part, Text(text="rest"))),))
    with pytest.raises(Unsupported) as caught:
        sent(request)
    assert caught.value.field == f"messages[0].content[0]{field}"
    left = ollama.encode_request(request, stream=False, lenient=True)
    assert left.dropped == (f"messages[0].content[0]{field}",)
    assert left.body["messages"][-1]["content"].endswith("rest")


def test_a_broken_data_url_is_named() -> None:
    with pytest.raises(BadRequest, match="broken data URL") as caught:
        sent(Request((Message.user(Image(url="data:image/png;base64,a")),)))
    assert caught.value.field == "messages[0].content[0].url"
