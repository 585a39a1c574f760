"""Requests that came in one format and go to a provider of another: what crosses, what is left out, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tidyllm.errors import Unsupported
from tidyllm.models.cross import crossing
from tidyllm.models.cross_fields import FIELDS
from tidyllm.models.formats import provider_format, wire_format
from tidyllm.models.message import Message, Part, Text, ToolCall
from tidyllm.models.request import JSONSchema, ProviderTool, Request, Tool

CHAT, RESPONSES, ANTHROPIC, OLLAMA = "openai_chat", "openai_responses", "anthropic", "ollama"
TARGETS = (CHAT, RESPONSES, ANTHROPIC, OLLAMA)


def cross(request: Request, source: str | None, target: str) -> tuple[Request, list[str]]:
    left_out: list[str] = []
    return crossing(request, source, target, report=left_out.append), left_out


def extra(source: str, target: str, **fields: Any) -> tuple[dict[str, Any], list[str]]:
    crossed, left_out = cross(Request("hi", extra=fields), source, target)
    return crossed.extra, left_out


def part(
    value: Part, source: str | None, target: str, role: Any = "assistant"
) -> tuple[Part | None, list[str]]:
    """What becomes of a part; None when it is left out."""
    crossed, left_out = cross(Request((Message(role, (value,)), Message("user", "x"))), source, target)
    found = crossed.turns[0]
    return (found.content[0] if isinstance(found.content, tuple) else None), left_out


def test_a_request_in_the_providers_own_format_is_untouched() -> None:
    request = Request("hi", extra={"previous_response_id": "resp_1"})
    assert crossing(request, RESPONSES, RESPONSES) is request


@pytest.mark.parametrize(
    ("source", "fields"),
    [
        (RESPONSES, {"previous_response_id": "resp_1"}),
        (RESPONSES, {"conversation": "conv_1"}),
        (RESPONSES, {"background": True}),
        (RESPONSES, {"prompt": {"id": "pmpt_1"}}),
        (RESPONSES, {"include": ["message.output_text.logprobs"]}),
        (RESPONSES, {"context_management": [{"type": "unheard_of"}]}),
        (RESPONSES, {"reasoning": {"mode": "pro"}}),
        (RESPONSES, {"text": {"format": {"type": "grammar"}}}),
        (RESPONSES, {"top_logprobs": 2}),
        (RESPONSES, {"tool_choice": {"type": "allowed_tools"}}),
        (RESPONSES, {"field_of_tomorrow": 1}),
        (CHAT, {"n": 2}),
        (CHAT, {"logit_bias": {"5": -100}}),
        (CHAT, {"modalities": ["text", "audio"]}),
        (CHAT, {"web_search_options": {"user_location": {}}}),
        (CHAT, {"provider": {"order": ["x"]}}),
        (CHAT, {"reasoning_effort": "heroic"}),
        (CHAT, {"reasoning": {"effort": "unheard-of"}}),
        (ANTHROPIC, {"mcp_servers": [{"url": "u"}]}),
        (ANTHROPIC, {"container": "c"}),
        (ANTHROPIC, {"context_management": {"edits": [{"type": "unheard_of"}]}}),
        (ANTHROPIC, {"context_management": {"edits": "x"}}),
        (ANTHROPIC, {"context_management": "x"}),
        (ANTHROPIC, {"context_management": {"edits": [7]}}),
        (CHAT, {"reasoning": {"effort": ["low"]}}),
        (CHAT, {"reasoning": {"max_tokens": "many"}}),
    ],
)
def test_what_only_the_first_format_understands_is_refused_by_name(
    source: str, fields: dict[str, Any]
) -> None:
    name = next(iter(fields))
    for target in TARGETS:
        if target == source:
            continue
        with pytest.raises(Unsupported, match=target) as raised:
            extra(source, target, **fields)
        assert str(raised.value.field).split(".", maxsplit=1)[0] == name


@pytest.mark.parametrize(
    ("source", "fields", "left_out"),
    [
        (RESPONSES, {"previous_response_id": None, "metadata": {}, "tools": []}, []),
        (RESPONSES, {"background": False, "truncation": "disabled", "top_logprobs": 0}, []),
        (RESPONSES, {"truncation": "auto"}, ["truncation"]),
        (
            RESPONSES,
            {"context_management": [{"type": "compaction", "compact_threshold": 9}]},
            ["context_management"],
        ),
        (ANTHROPIC, {"speed": "standard"}, []),
        (ANTHROPIC, {"speed": "fast"}, ["speed"]),
        (RESPONSES, {"text": {"format": {"type": "text"}, "verbosity": "low"}}, ["text.verbosity"]),
        (
            RESPONSES,
            {"reasoning": {"effort": None, "summary": "auto", "mode": "standard"}},
            ["reasoning.summary"],
        ),
        (RESPONSES, {"store": False, "prompt_cache_key": "k"}, ["store", "prompt_cache_key"]),
        (RESPONSES, {"include": ["reasoning.encrypted_content"]}, ["include"]),
        (
            CHAT,
            {"n": 1, "logprobs": False, "logit_bias": {}, "modalities": ["text"], "presence_penalty": 0},
            [],
        ),
        (CHAT, {"stream_options": {"include_usage": True}, "response_format": {"type": "text"}}, []),
        (CHAT, {"prediction": {"type": "content"}}, ["prediction"]),
        (CHAT, {"reasoning_effort": "default"}, []),
        (CHAT, {"openai_chat": {"limit": "max_tokens"}}, []),
        (CHAT, {"thinking": {"type": "enabled"}}, ["thinking.type"]),
        (
            ANTHROPIC,
            {"thinking": {"type": "adaptive", "display": "omitted"}},
            ["thinking.type", "thinking.display"],
        ),
        (
            ANTHROPIC,
            {
                "context_management": {
                    "edits": [{"type": "clear_thinking_2025"}, {"type": "clear_tool_uses_2025"}]
                }
            },
            ["context_management"],
        ),
        (
            ANTHROPIC,
            {"service_tier": "auto", "cache_control": {"type": "ephemeral"}},
            ["service_tier", "cache_control"],
        ),
    ],
)
def test_what_changes_nothing_is_left_out_and_said_so(
    source: str, fields: dict[str, Any], left_out: list[str]
) -> None:
    for target in (ANTHROPIC if source != ANTHROPIC else CHAT, OLLAMA):
        assert extra(source, target, **fields) == ({}, left_out)


@pytest.mark.parametrize(
    ("fields", "crosses"),
    [
        ({"frequency_penalty": 0.0, "presence_penalty": 0, "n": 1.0}, True),
        ({"frequency_penalty": 0.5}, False),
        ({"n": True}, False),
        ({"frequency_penalty": False}, False),
        ({"logprobs": 0}, False),
    ],
)
def test_numbers_are_compared_by_value_but_true_is_no_number(fields: dict[str, Any], crosses: bool) -> None:
    if crosses:
        assert extra(CHAT, ANTHROPIC, **fields) == ({}, [])
    else:
        with pytest.raises(Unsupported, match=next(iter(fields))):
            extra(CHAT, ANTHROPIC, **fields)


def test_a_chat_callers_penalty_of_nothing_reaches_anthropic() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "frequency_penalty": 0.0}
    request, _ = wire_format(CHAT).decode_request(body)
    crossed, left_out = cross(request, CHAT, ANTHROPIC)
    assert "frequency_penalty" not in provider_format(ANTHROPIC).encode_request(crossed, stream=False).body
    assert left_out == []


def test_what_both_understand_keeps_its_meaning_under_the_other_name() -> None:
    fields = {
        "verbosity": "low",
        "store": True,
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "service_tier": "flex",
    }
    kept = {"text": {"verbosity": "low"}} | {
        name: value for name, value in fields.items() if name != "verbosity"
    }
    assert extra(CHAT, RESPONSES, **fields) == (kept, [])


@pytest.mark.parametrize(
    ("budget", "effort"), [(1024, "low"), (4096, "low"), (10000, "medium"), (32000, "high"), (0, None)]
)
def test_a_budget_for_reasoning_becomes_an_effort(budget: int, effort: str | None) -> None:
    for target in (CHAT, RESPONSES, OLLAMA):
        crossed, left_out = cross(Request("hi", thinking_tokens=budget), ANTHROPIC, target)
        assert (crossed.effort, crossed.thinking_tokens, left_out) == (effort, None, ["thinking_tokens"])


def test_effort_and_budget_are_found_where_copies_of_a_format_put_them() -> None:
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 20000, "display": "omitted"}}
    crossed, _ = cross(Request("hi", extra=thinking), ANTHROPIC, RESPONSES)
    assert (crossed.effort, crossed.extra) == ("high", {"include": ["reasoning.encrypted_content"]})
    crossed, _ = cross(
        Request("hi", extra={"reasoning": {"effort": "low", "exclude": True}}), CHAT, RESPONSES
    )
    assert (crossed.effort, crossed.extra) == ("low", {"include": ["reasoning.encrypted_content"]})
    crossed, _ = cross(Request("hi", extra={"reasoning": {"max_tokens": 2000}}), CHAT, ANTHROPIC)
    assert (crossed.thinking_tokens, crossed.effort) == (2000, None)
    asked = Request("hi", effort="high", extra={"reasoning": {"effort": "low"}})
    assert cross(asked, CHAT, RESPONSES)[0].effort == "high"


def test_who_asks_for_reasoning_gets_it_in_a_form_that_can_be_sent_back() -> None:
    wanted = {"include": ["reasoning.encrypted_content"]}
    for request, source in (
        (Request("hi", effort="low"), CHAT),
        (Request("hi", thinking_tokens=2000), ANTHROPIC),
        (Request("hi", extra={"thinking": {"type": "adaptive"}}), ANTHROPIC),
    ):
        assert cross(request, source, RESPONSES)[0].extra == wanted
        assert cross(request, source, CHAT if source == ANTHROPIC else ANTHROPIC)[0].extra == {}
    for request in (Request("hi"), Request("hi", effort="none"), Request("hi", thinking_tokens=0)):
        assert cross(request, ANTHROPIC, RESPONSES)[0].extra == {}


def test_users_and_metadata_go_where_they_have_a_place() -> None:
    request = Request("hi", user="u" * 100, metadata={"a": "b"}, parallel_tool_calls=True)
    responses, left_out = cross(request, ANTHROPIC, RESPONSES)
    assert (len(responses.user or ""), responses.metadata, left_out) == (64, {"a": "b"}, ["user"])
    assert cross(request, ANTHROPIC, RESPONSES)[0].user == responses.user
    anthropic, left_out = cross(request, CHAT, ANTHROPIC)
    assert (anthropic.user, anthropic.metadata, left_out) == (request.user, {}, ["metadata"])
    ollama, left_out = cross(request, CHAT, OLLAMA)
    assert (ollama.user, ollama.parallel_tool_calls, left_out) == (None, None, ["metadata", "user"])


def test_tools_mean_the_same_in_a_format_that_is_strict_by_default() -> None:
    tools = (
        Tool("f"),
        Tool("g", parameters={"type": "object"}, strict=True),
        ProviderTool(CHAT, {"type": "x"}),
    )
    crossed = cross(Request("hi", tools=tools), CHAT, RESPONSES)[0].tools
    assert crossed[0] == Tool("f", parameters={"type": "object", "properties": {}}, strict=False)
    assert crossed[1:] == tools[1:]
    assert cross(Request("hi", tools=tools), CHAT, ANTHROPIC)[0].tools == tools


def test_fields_of_tools_are_left_out_or_refused() -> None:
    notes = {
        "input_examples": [{"a": 1}],
        "cache_control": {"type": "ephemeral"},
        "type": "custom",
        "strict": None,
        "allowed_callers": ["direct"],
    }
    crossed, left_out = cross(Request("hi", tools=(Tool("f", extra=notes),)), ANTHROPIC, CHAT)
    assert (crossed.tools, left_out) == ((Tool("f"),), ["tools[0].input_examples", "tools[0].cache_control"])
    for source, fields in (
        (ANTHROPIC, {"new": [1]}),
        (CHAT, {"openai_chat": {"function": {"new": 1}}}),
    ):
        with pytest.raises(Unsupported) as raised:
            cross(Request("hi", tools=(Tool("f", extra=fields),)), source, RESPONSES)
        assert raised.value.field == "tools[0].new"


def test_a_search_for_tools_is_left_out_where_all_are_shown() -> None:
    search = ProviderTool(ANTHROPIC, {"type": "tool_search_tool_bm25_20251119", "name": "search"})
    tool = Tool("f", extra={"defer_loading": True})
    crossed, left_out = cross(Request("hi", tools=(search, tool)), ANTHROPIC, CHAT)
    assert (crossed.tools, left_out) == ((Tool("f"),), ["tools[0]", "tools[1].defer_loading"])
    ours = ProviderTool(RESPONSES, {"type": "tool_search", "execution": "client"})
    assert cross(Request("hi", tools=(ours,)), RESPONSES, CHAT)[0].tools == (ours,)


def test_fields_of_a_schema_that_we_do_not_know_are_refused() -> None:
    wanted = JSONSchema({"type": "object"}, extra={"strict": None})
    assert cross(Request("hi", output=wanted), RESPONSES, CHAT)[0].output == JSONSchema({"type": "object"})
    with pytest.raises(Unsupported) as raised:
        cross(Request("hi", output=JSONSchema({}, extra={"new": 1})), RESPONSES, CHAT)
    assert raised.value.field == "output.new"


def test_calls_at_a_time_cannot_be_forbidden_at_ollama() -> None:
    crossed, left_out = cross(Request("hi", parallel_tool_calls=False), CHAT, OLLAMA)
    assert (crossed.parallel_tool_calls, left_out) == (None, ["parallel_tool_calls"])


def test_a_request_made_by_hand_keeps_what_is_meant_for_its_provider() -> None:
    asked = Text(text="x", extra={"cache_control": {"type": "ephemeral"}})
    answered = Text(
        text="y", extra={"annotations": [], "openai_responses": {"item": {"id": "msg_1"}}, "new": 1}
    )
    request = Request(
        (Message("user", (asked,)), Message("assistant", (answered, ToolCall(id="c", name="f")))),
        extra={"anything": 1},
        thinking_tokens=1000,
    )
    crossed, left_out = cross(request, None, ANTHROPIC)
    assert (crossed.extra, crossed.thinking_tokens, left_out) == ({"anything": 1}, 1000, [])
    assert crossed.turns[0].parts == (asked,)
    assert crossed.turns[1].parts[0] == Text(text="y", extra={"new": 1})
    assert crossing(Request("hi"), None, ANTHROPIC) == Request("hi")


def test_every_rule_says_why() -> None:
    for rules in FIELDS.values():
        assert all(rule.why and rule.why[-1] != "." for rule in rules.values())
