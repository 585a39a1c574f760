"""Requests in the chat format: from a caller's body to ours and to the same body again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest

from tests.models.openai_chat.samples import ask, there_and_back
from tidyllm.errors import BadRequest, Unsupported
from tidyllm.models.message import Message
from tidyllm.models.openai_chat import openai_chat
from tidyllm.models.request import JSONSchema, NamedTool, ProviderTool, Request, Tool

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": False}
WEATHER = {"type": "function", "function": {"name": "weather", "description": "Now", "parameters": SCHEMA}}


def sent(request: Request, *, stream: bool = False, lenient: bool = False) -> dict[str, Any]:
    return openai_chat.encode_request(request, stream=stream, lenient=lenient).body


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"temperature": 0, "top_p": 1, "top_k": 40, "seed": 7, "user": "u-1", "parallel_tool_calls": False},
        {"frequency_penalty": 0.5, "presence_penalty": -1},
        {"frequency_penalty": 0, "presence_penalty": 0.0},
        {"max_tokens": 100},
        {"max_completion_tokens": 100},
        {"max_completion_tokens": 100, "max_tokens": 90},
        {"max_tokens": None, "stop": None, "seed": None, "tools": None, "response_format": None},
        {"stop": "END"},
        {"stop": ["END", "STOP"]},
        {"stop": []},
        {"metadata": {"team": "blue"}},
        {"metadata": {}},
        {"n": 2, "logprobs": True, "top_logprobs": 3, "logit_bias": {"50256": -100}, "store": False},
        {"reasoning_effort": "xhigh"},
        {"reasoning_effort": "default"},
        {"reasoning": {"effort": "low"}, "provider": {"order": ["anthropic"]}, "models": ["x-ai/grok-4"]},
        {"response_format": {"type": "text"}},
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "a", "schema": SCHEMA, "strict": True, "description": "d", "beta": 1},
            }
        },
        {"response_format": {"type": "grammar", "grammar": "..."}},
        {"tools": [WEATHER], "tool_choice": "required"},
        {"tools": [WEATHER], "tool_choice": "any"},
        {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "weather"}}},
        {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "weather", "why": 1}}},
        {"tools": [WEATHER], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto"}}},
        {"tools": [{"function": WEATHER["function"]}]},
        {"tools": [{**WEATHER, "cache_control": {"type": "ephemeral"}, "note": None}]},
        {"tools": [{"type": "function", "function": {"name": "f", "strict": None, "beta": 1}}]},
        {"tools": [{"type": "custom", "custom": {"name": "grep"}}, {"type": "openrouter:advisor"}]},
        {"functions": [{"name": "f"}], "function_call": "auto"},
    ],
)
def test_a_request_comes_back_whole(fields: dict[str, Any]) -> None:
    assert there_and_back(ask(**fields)) == ask(**fields)


@pytest.mark.parametrize("options", [None, {"include_obfuscation": False}, {"include_usage": False}])
def test_a_stream_is_always_asked_for_its_usage(options: dict[str, Any] | None) -> None:
    body = there_and_back(ask(stream=True, stream_options=options))
    assert body["stream_options"] == {**(options or {}), "include_usage": True}


def test_options_of_a_stream_are_left_out_without_one() -> None:
    request, _ = openai_chat.decode_request(ask(stream=True, stream_options={"include_usage": True}))
    assert "stream_options" not in sent(request)


def test_fields_become_those_that_all_providers_have() -> None:
    body = ask(
        max_tokens=9,
        stop="END",
        tools=[WEATHER, {"type": "custom", "custom": {"name": "grep"}}],
        tool_choice={"type": "function", "function": {"name": "weather"}},
        reasoning_effort="low",
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "a", "schema": SCHEMA, "strict": True},
        },
    )
    request, stream = openai_chat.decode_request({**body, "stream": None})
    assert not stream
    assert (request.model, request.messages) == ("gpt-4o", (Message("user", "Why?"),))
    assert (request.max_output_tokens, request.stop, request.effort) == (9, ("END",), "low")
    custom = ProviderTool("openai_chat", {"type": "custom", "custom": {"name": "grep"}})
    assert request.tools == (Tool("weather", "Now", SCHEMA), custom)
    assert request.tool_choice == NamedTool("weather")
    assert request.output == JSONSchema(SCHEMA, "a", strict=True)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o", "max_tokens"),
        ("gpt-5.1", "max_completion_tokens"),
        ("openai/gpt-5-mini", "max_completion_tokens"),
        ("o3", "max_completion_tokens"),
        ("o4-mini-2025-04-16", "max_completion_tokens"),
        ("openai/gpt-oss-120b", "max_tokens"),
        ("olmo-2", "max_tokens"),
        ("llama3.1:8b", "max_tokens"),
    ],
)
def test_the_cap_has_the_name_that_the_model_wants(model: str, name: str) -> None:
    body = sent(Request("Why?", model=model, max_output_tokens=50))
    assert {key for key in body if key.startswith("max_")} == {name}


def test_a_request_made_by_hand_is_written_in_full() -> None:
    request = Request(
        (Message.user("Weather?"),),
        system="Be brief.",
        model="gpt-4o",
        tools=(Tool("weather", parameters=SCHEMA, strict=True),),
        tool_choice=NamedTool("weather"),
        output="json",
        metadata={"team": "blue"},
        effort="high",
        extra={"metadata": {"more": "1"}, "verbosity": "low"},
    )
    assert sent(request) == {
        "model": "gpt-4o",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather?"}],
        "stream": False,
        "tools": [
            {"type": "function", "function": {"name": "weather", "parameters": SCHEMA, "strict": True}}
        ],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "response_format": {"type": "json_object"},
        "metadata": {"team": "blue", "more": "1"},
        "reasoning_effort": "high",
        "verbosity": "low",
    }


@dataclass
class Place:
    """Where something is."""

    city: str


def test_structured_output_by_a_type_is_asked_for_strictly() -> None:
    wanted = sent(Request("Where?", model="m", output=Place))["response_format"]["json_schema"]
    assert (wanted["name"], wanted["strict"]) == ("Place", True)
    assert wanted["schema"]["additionalProperties"] is False
    assert wanted["schema"]["required"] == ["city"]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (Request("q", thinking_tokens=2000), "thinking_tokens"),
        (Request("q", tools=(ProviderTool("anthropic", {"type": "web_search_20250305"}),)), "tools[0]"),
        (Request("q", extra={"n": 2}), "n"),
    ],
    ids=["thinking", "tool", "n"],
)
def test_what_has_no_place_is_refused_by_name_or_dropped_and_reported(request_: Request, field: str) -> None:
    with pytest.raises(Unsupported) as caught:
        sent(request_, stream=True)
    assert caught.value.field == field
    encoded = openai_chat.encode_request(request_, stream=True, lenient=True)
    assert encoded.dropped == (field,)
    assert field not in encoded.body


def test_reasoning_that_is_switched_off_has_no_field_and_is_only_reported() -> None:
    encoded = openai_chat.encode_request(Request("q", thinking_tokens=0), stream=False)
    assert encoded.dropped == ("thinking_tokens",)


def test_a_field_given_twice_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"extra.temperature") as caught:
        sent(Request("q", temperature=1, extra={"temperature": 0.5}))
    assert caught.value.field == "extra.temperature"


def test_marks_of_any_format_stay_here() -> None:
    assert "openai_responses" not in sent(Request("q", extra={"openai_responses": {"form": "list"}}))


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"model": ...}, "model"),
    ({"model": 7}, "model"),
    ({"messages": ...}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "Why?"}, "messages"),
    ({"stream": "yes"}, "stream"),
    ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"seed": 1.5}, "seed"),
    ({"parallel_tool_calls": 1}, "parallel_tool_calls"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_completion_tokens": "9"}, "max_completion_tokens"),
    ({"stop": {"a": 1}}, "stop"),
    ({"stop": ["a", 1]}, "stop[1]"),
    ({"metadata": {"a": 1}}, "metadata.a"),
    ({"metadata": [1]}, "metadata"),
    ({"tools": {"a": 1}}, "tools"),
    ({"tools": ["weather"]}, "tools[0]"),
    ({"tools": [{"name": "f"}]}, "tools[0].type"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    ({"tools": [{"type": "function", "function": {"name": "f", "strict": 1}}]}, "tools[0].function.strict"),
    ({"tool_choice": "sometimes"}, "tool_choice"),
    ({"tool_choice": 1}, "tool_choice"),
    ({"tool_choice": {"type": "function", "function": {"name": 1}}}, "tool_choice.function.name"),
    ({"reasoning_effort": 3}, "reasoning_effort"),
    ({"openai_chat": {"limit": 7}}, "openai_chat"),
    ({"tools": [{**WEATHER, "anthropic": 1}]}, "tools[0].anthropic"),
    ({"response_format": "json"}, "response_format"),
    ({"response_format": {}}, "response_format.type"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
        "response_format.json_schema.name",
    ),
    ({"response_format": {"type": "json_schema", "json_schema": 1}}, "response_format.json_schema"),
]


@pytest.mark.parametrize(("changes", "field"), WRONG)
def test_a_wrong_field_is_named(changes: dict[str, Any], field: str) -> None:
    body = {key: value for key, value in {**ask(), **changes}.items() if value is not ...}
    with pytest.raises(BadRequest) as caught:
        openai_chat.decode_request(body)
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field} ")


def test_an_error_says_what_was_found_and_what_was_expected() -> None:
    with pytest.raises(BadRequest) as caught:
        openai_chat.decode_request(ask(temperature="hot"))
    assert str(caught.value) == "temperature must be a number, not a string."
    with pytest.raises(BadRequest) as caught:
        openai_chat.decode_request(cast("dict[str, Any]", {"model": "m"}))
    assert str(caught.value) == "messages is missing; it must be an array."
