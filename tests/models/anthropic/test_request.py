"""Requests in Anthropic's format: from a caller's body to ours and to the same body again."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models.anthropic.samples import WEATHER, body
from tidyllm.errors import BadRequest, Unsupported
from tidyllm.models.anthropic import DEFAULT_MAX_TOKENS, anthropic
from tidyllm.models.message import Message, Text
from tidyllm.models.request import JSONSchema, NamedTool, ProviderTool, Request, Tool

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": False}


def back(given_body: dict[str, Any]) -> dict[str, Any]:
    """The body after it went through our types."""
    request, stream = anthropic.decode_request(given_body)
    encoded = anthropic.encode_request(request, stream=stream)
    assert encoded.dropped == ()
    return encoded.body


def sent(request: Request, **options: Any) -> dict[str, Any]:
    return anthropic.encode_request(request, stream=False, **options).body


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"stream": True},
        {"system": "Be brief."},
        {"system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]},
        {"temperature": 0.5, "top_p": 1, "top_k": 40, "stop_sequences": ["END"]},
        {"metadata": {"user_id": "u-1"}},
        {"metadata": {"user_id": "u-1", "team": "blue"}},
        {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        {"thinking": {"type": "enabled", "budget_tokens": 2000, "display": "omitted"}},
        {"thinking": {"type": "disabled"}},
        {"thinking": {"type": "adaptive", "display": "summarized"}},
        {"output_config": {"effort": "xhigh"}},
        {"output_config": {"effort": "someday"}},
        {"output_config": {"effort": "low", "task_budget": {"type": "tokens", "total": 9}}},
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}, "effort": "max"}},
        {"output_config": {"format": {"type": "grammar", "grammar": "..."}}},
        {"tools": [WEATHER], "tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
        {"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "weather"}},
        {"tools": [WEATHER], "tool_choice": {"type": "auto", "disable_parallel_tool_use": False}},
        {"tools": [WEATHER], "tool_choice": {"type": "none"}},
        {"tools": [WEATHER], "tool_choice": {"type": "weighted", "weights": [1]}},
        {"tools": [WEATHER], "tool_choice": {"type": "auto", "disable_parallel_tool_use": None}},
        {"tools": [{**WEATHER, "type": "custom", "strict": True, "defer_loading": True}]},
        {"tools": [{**WEATHER, "type": None, "strict": None, "description": None}]},
        {"tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": None}]},
        {"container": "c-1", "mcp_servers": [{"type": "url", "url": "https://x", "name": "x"}]},
        {"context_management": {"edits": []}, "service_tier": "auto", "cache_control": {"type": "ephemeral"}},
        {"a_field_of_next_year": {"deep": [1, None, "ä"]}},
    ],
)
def test_a_body_comes_back_as_it_was(fields: dict[str, Any]) -> None:
    assert back(body(**fields)) == body(**fields)


SAYING_NOTHING: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"system": None, "temperature": None, "tools": None, "metadata": None, "thinking": None}, {}),
    ({"stream": None, "tool_choice": None, "output_config": None, "stop_sequences": None}, {}),
    ({"tools": [], "stop_sequences": [], "metadata": {}, "output_config": {"effort": None}}, {}),
    (
        {"tools": [{"name": "f", "input_schema": {}}]},
        {"tools": [{"name": "f", "input_schema": {"type": "object"}}]},
    ),
]


@pytest.mark.parametrize(("fields", "normal"), SAYING_NOTHING)
def test_what_says_nothing_is_left_out(fields: dict[str, Any], normal: dict[str, Any]) -> None:
    assert back(body(**fields)) == body(**normal)


def test_every_common_field_finds_its_place_in_our_request() -> None:
    request, stream = anthropic.decode_request(
        body(
            stream=True, system="S", tools=[WEATHER], stop_sequences=["a"], temperature=0.1, top_p=0.2, top_k=3,
            tool_choice={"type": "any", "disable_parallel_tool_use": True}, metadata={"user_id": "u"},
            thinking={"type": "enabled", "budget_tokens": 1024}, service_tier="auto",
            output_config={"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
        )
    )  # fmt: skip
    assert stream
    assert request == Request(
        (Message("user", "hello"),), model="claude-x", system="S", max_output_tokens=100, stop=("a",),
        tools=(Tool("weather", WEATHER["description"], WEATHER["input_schema"]),), tool_choice="required",
        parallel_tool_calls=False, temperature=0.1, top_p=0.2, top_k=3, user="u", thinking_tokens=1024,
        effort="low", output=JSONSchema(SCHEMA), extra={"service_tier": "auto"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"model": None}, "model"),
        ({"model": 7}, "model"),
        ({"max_tokens": "100"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": {}}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["hello"]}, "messages[0]"),
        ({"stream": "yes"}, "stream"),
        ({"system": 1}, "system"),
        ({"system": [{"type": "image", "source": {"type": "url", "url": "u"}}]}, "system[0].type"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_k": 1.5}, "top_k"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"stop_sequences": ["a", 2]}, "stop_sequences[1]"),
        ({"metadata": "me"}, "metadata"),
        ({"metadata": {"user_id": 5}}, "metadata.user_id"),
        ({"thinking": True}, "thinking"),
        ({"thinking": {}}, "thinking.type"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"output_config": []}, "output_config"),
        ({"output_config": {"effort": 3}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"tools": {}}, "tools"),
        ({"tools": ["weather"]}, "tools[0]"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [WEATHER, {**WEATHER, "strict": "very"}]}, "tools[1].strict"),
        ({"tools": [{**WEATHER, "type": 1}]}, "tools[0].type"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "any", "disable_parallel_tool_use": 1}}, "tool_choice.disable_parallel_tool_use"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        anthropic.decode_request(body() | wrong)
    assert caught.value.field == field
    assert field in caught.value.message


@pytest.mark.parametrize("field", ["model", "max_tokens", "messages"])
def test_a_missing_field_is_named(field: str) -> None:
    with pytest.raises(BadRequest, match=f"{field} is missing") as caught:
        anthropic.decode_request({key: value for key, value in body().items() if key != field})
    assert caught.value.field == field


def test_a_plain_question_gets_the_default_cap() -> None:
    assert sent(Request("hello", model="claude-x")) == body(max_tokens=DEFAULT_MAX_TOKENS)
    assert sent(Request("hello", thinking_tokens=9000))["max_tokens"] == DEFAULT_MAX_TOKENS + 9000
    assert sent(Request("hello", extra={"max_tokens": 7}))["max_tokens"] == 7


PLACES: list[tuple[Request, dict[str, Any]]] = [
    (Request("q", effort="none"), {"thinking": {"type": "disabled"}}),
    (Request("q", effort="minimal"), {"output_config": {"effort": "low"}}),
    (Request("q", effort="max"), {"output_config": {"effort": "max"}}),
    (Request("q", thinking_tokens=0), {"thinking": {"type": "disabled"}}),
    (Request("q", output=SCHEMA), {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}),
    (
        Request("q", output=JSONSchema(SCHEMA, description="A city."), effort="low"),
        {
            "output_config": {
                "effort": "low",
                "format": {"type": "json_schema", "schema": {**SCHEMA, "description": "A city."}},
            }
        },
    ),
    (
        Request("q", tools=(Tool("f"),)),
        {"tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]},
    ),
    (Request("q", tool_choice=NamedTool("f")), {"tool_choice": {"type": "tool", "name": "f"}}),
    (Request("q", tool_choice="none", parallel_tool_calls=True), {"tool_choice": {"type": "none"}}),
    (Request("q", parallel_tool_calls=False), {}),
    (Request("q", extra={"metadata": {"a": "b"}}, user="u"), {"metadata": {"user_id": "u", "a": "b"}}),
    (
        Request("q", system=(Text(text="a"), Text(text="b"))),
        {"system": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    ),
]


@pytest.mark.parametrize(("request_", "fields"), PLACES)
def test_a_field_of_ours_finds_its_place_in_the_body(request_: Request, fields: dict[str, Any]) -> None:
    plain = body({"role": "user", "content": "q"}, model="", max_tokens=DEFAULT_MAX_TOKENS)
    assert sent(request_) == plain | fields


def test_parallel_calls_are_forbidden_only_where_there_are_tools() -> None:
    tool = Tool("weather", WEATHER["description"], WEATHER["input_schema"])
    forbidden = sent(Request("q", tools=(tool,), parallel_tool_calls=False))
    assert forbidden["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    allowed = sent(Request("q", tools=(tool,), parallel_tool_calls=True))
    assert "tool_choice" not in allowed
    named = sent(Request("q", tools=(tool,), parallel_tool_calls=False, tool_choice=NamedTool("weather")))
    assert named["tool_choice"] == {"type": "tool", "name": "weather", "disable_parallel_tool_use": True}


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (Request("q", seed=1), "seed"),
        (Request("q", frequency_penalty=0.0), "frequency_penalty"),
        (Request("q", presence_penalty=1.0), "presence_penalty"),
        (Request("q", metadata={"a": "b"}), "metadata"),
        (Request("q", output="json"), "output"),
        (Request("q", tools=(ProviderTool("openai_responses", {"type": "web_search"}),)), "tools[0]"),
    ],
)
def test_a_field_without_a_place_is_refused_or_reported(request_: Request, field: str) -> None:
    with pytest.raises(Unsupported) as caught:
        sent(request_)
    assert caught.value.field == field
    assert caught.value.format == "anthropic"
    encoded = anthropic.encode_request(request_, stream=False, lenient=True)
    assert encoded.dropped == (field,)
    assert field not in encoded.body


def test_a_dropped_tool_leaves_the_others() -> None:
    mine = Tool("f", parameters=SCHEMA)
    request = Request("q", tools=(ProviderTool("openai_responses", {"type": "web_search"}), mine))
    encoded = anthropic.encode_request(request, stream=False, lenient=True)
    assert encoded.body["tools"] == [{"name": "f", "input_schema": SCHEMA}]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (Request("q", temperature=1.0, extra={"temperature": 0.5}), "extra.temperature"),
        (Request("q", max_output_tokens=5, extra={"max_tokens": 6}), "extra.max_tokens"),
        (
            Request("q", effort="low", extra={"output_config": {"effort": "high"}}),
            "extra.output_config.effort",
        ),
        (Request("q", user="a", extra={"metadata": "b"}), "extra.metadata"),
    ],
)
def test_a_field_given_twice_is_refused(request_: Request, field: str) -> None:
    with pytest.raises(BadRequest, match="once") as caught:
        sent(request_)
    assert caught.value.field == field


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = [*body(), "system", "tools", "tool_choice", "thinking", "output_config", "metadata", "top_k"]


def fault(data: Any) -> str | None:
    """The field that a body is refused for; None when it is taken and can be written back."""
    try:
        request, stream = anthropic.decode_request(data)
        anthropic.encode_request(request, stream=stream)
    except BadRequest as error:
        return error.field or ""
    return None


@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=8), json_values, max_size=8))
def test_arbitrary_json_is_refused_by_name_or_taken(data: dict[str, Any]) -> None:
    assert fault(data) != ""


REAL = body(
    {"role": "user", "content": [
        {"type": "text", "text": "a"}, {"type": "image", "source": {"type": "url", "url": "u"}}]},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "weather", "input": {"place": "x"}}]},
    {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "b"}]}]},
    {"role": "assistant", "content": [{"type": "thinking", "thinking": "c", "signature": "s"}]},
    system=[{"type": "text", "text": "d"}], tools=[WEATHER], tool_choice={"type": "auto"},
    thinking={"type": "enabled", "budget_tokens": 9}, output_config={"effort": "low"}, metadata={"user_id": "u"},
)  # fmt: skip


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything inside a JSON value."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(cast("dict[Any, Any]", value).items())
    elif isinstance(value, list):
        inner = list(enumerate(cast("list[Any]", value)))
    return [(*path, key) for key, _ in inner] + [p for key, item in inner for p in places(item, (*path, key))]


@given(st.sampled_from(places(REAL)), json_values)
def test_a_real_body_with_one_thing_changed_is_refused_by_name_or_taken(
    path: tuple[Any, ...], value: Any
) -> None:
    changed: Any = msgspec.json.decode(msgspec.json.encode(REAL))
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    assert fault(changed) != ""
