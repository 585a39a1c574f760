"""From an answer to calls: native ones first, text where there are none, and every recorded answer exactly."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.replay import answer_bytes
from tests.shared_data import exchanges
from tidyllm.agents import AgentTool, Call, ToolResult, Toolset, calls_of, tool
from tidyllm.agents.parsed import with_ids
from tidyllm.agents.tool_prompt import rendered_call
from tidyllm.core import Context
from tidyllm.errors import ModelError
from tidyllm.models import Response, Text, ToolCall
from tidyllm.models.fold import fold
from tidyllm.models.formats import provider_format
from tidyllm.models.message import Part
from tidyllm.models.response import FinishReason
from tidyllm.models.sse import EventParser


@tool
def add(a: int, b: int = 0) -> int:
    """Add."""
    return a + b


@tool
def stop() -> str:
    """Stop."""
    return ""


TOOLS = Toolset([add, stop])


def answer(*parts: Part | str, finish: FinishReason = "stop") -> Response:
    return Response(
        content=tuple(Text(text=one) if isinstance(one, str) else one for one in parts), finish_reason=finish
    )


def test_native_calls_come_first_and_text_beside_them_is_text() -> None:
    said = '{"name": "add", "arguments": {"a": 5}}'
    parsed = calls_of(answer(said, ToolCall.parse("i", "add", '{"a": 1}')), TOOLS)
    assert (parsed.calls, parsed.problems, parsed.text) == ((Call("i", "add", {"a": 1}),), (), said)


def test_native_arguments_that_are_damaged_are_repaired() -> None:
    parsed = calls_of(answer(ToolCall.parse("i", "add", "{'a': 1,")), TOOLS)
    assert parsed.calls == (Call("i", "add", {"a": 1}),)


@pytest.mark.parametrize("raw", ["one", '{"a": "x', '{"a": 1} and more', "[1]", '{"a": 1, "a": 2,}'])
def test_native_arguments_that_cannot_be_read_are_refused_under_their_own_id(raw: str) -> None:
    parsed = calls_of(answer(ToolCall.parse("i", "add", raw), ToolCall.parse("j", "stop", "")), TOOLS)
    assert parsed.calls == (Call("j", "stop", {}),)
    (refused,) = parsed.refused
    assert (refused.id, refused.ok, refused.error, (refused.text,)) == (
        "i",
        False,
        "BadToolCall",
        parsed.problems,
    )


def test_a_native_call_of_an_unknown_tool_is_refused_with_the_names() -> None:
    parsed = calls_of(answer(ToolCall.parse("i", "ad", "{}")), TOOLS)
    assert parsed.calls == ()
    assert parsed.refused == (ToolResult("i", "ad", TOOLS.unknown("ad"), ok=False, error="UnknownTool"),)


def test_calls_in_text_are_numbered_in_order() -> None:
    parsed = calls_of(
        answer('<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>{"tool": "stop"}'), TOOLS
    )
    assert parsed.calls == (Call("call-1", "add", {"a": 1}), Call("call-2", "stop", {}))


def test_an_unknown_name_in_text_is_a_problem_with_the_names() -> None:
    parsed = calls_of(answer('{"name": "adds", "arguments": {"a": 1}}'), TOOLS)
    assert (parsed.calls, parsed.problems) == ((), (TOOLS.unknown("adds"),))


@pytest.mark.parametrize("native", [True, False])
def test_a_call_that_was_cut_off_is_not_run(native: bool) -> None:
    part = ToolCall.parse("i", "add", '{"a": 1') if native else '{"name": "add", "arguments": {"a": 1'
    assert len(calls_of(answer(part), TOOLS).calls) == 1
    cut = calls_of(answer(part, finish="length"), TOOLS)
    assert cut.calls == ()
    assert "cut off" in cut.problems[0]


def test_calls_without_an_id_or_with_one_twice_get_ids_that_tell_them_apart() -> None:
    parts = [ToolCall.parse(id, "stop", "") for id in ("", "x", "x", "", "call-1")]
    told = with_ids(answer("words", *parts))
    ids = [one.id for one in told.tool_calls]
    assert ids == ["call-1", "x", "x-2", "call-4", "call-1-2"]
    assert [one.id for one in calls_of(answer(*parts), TOOLS).calls] == ids
    assert with_ids(told) is told


# -- what real providers sent

KINDS = {
    "openai_chat": "openai_chat",
    "openai_responses": "openai_responses",
    "anthropic_messages": "anthropic",
}
RECORDED = {"openai_chat": (68, 18), "openai_responses": (45, 3), "anthropic_messages": (67, 0)}
"""Calls in the recorded answers: in whole ones, in streams."""


def sent(kind: str, body: dict[str, Any]) -> list[tuple[str, str, Any]]:
    """The calls in a provider's own body, read without any code of ours."""
    if kind == "openai_chat":
        choices: list[Any] = body.get("choices", [])[:1]
        calls: list[Any] = [call for choice in choices for call in choice["message"].get("tool_calls") or ()]
        return [
            (
                one["id"],
                one["function"]["name"],
                msgspec.json.decode(one["function"].get("arguments") or "{}"),
            )
            for one in calls
        ]
    if kind == "openai_responses":
        return [
            (one["call_id"], one["name"], msgspec.json.decode(one["arguments"] or "{}"))
            for one in body.get("output", []) if one["type"] == "function_call"
        ]  # fmt: skip
    return [
        (one["id"], one["name"], one["input"]) for one in body.get("content", []) if one["type"] == "tool_use"
    ]


async def _nothing(_arguments: object, _ctx: Context) -> str:
    return ""


def toolset(names: set[str]) -> Toolset:
    return Toolset([AgentTool(name, "", {"type": "object"}, _nothing) for name in sorted(names)])


@pytest.mark.parametrize("kind", KINDS)
def test_recorded_answers_give_exactly_their_calls(kind: str) -> None:
    count = 0
    for exchange in exchanges(kind):
        if "body_json" not in exchange or exchange["status"] != 200:
            continue
        expected = sent(kind, exchange["body_json"])
        try:
            response = provider_format(KINDS[kind]).decode_response(exchange["body_json"])
        except ModelError:
            assert not expected  # a provider's error, with status 200
            continue
        tools = toolset({name for _, name, _ in expected})
        parsed = calls_of(response, tools)
        # One provider sends no ids.
        numbered = [(id or f"call-{n}", name, given) for n, (id, name, given) in enumerate(expected, 1)]
        assert [(one.id, one.name, one.arguments) for one in parsed.calls] == numbered
        assert parsed.problems == ()
        # The same calls as a model without native ones writes them.
        text = "Well:\n" + "\n".join(rendered_call(name, arguments) for _, name, arguments in expected)
        again = calls_of(answer(text), tools)
        assert [(one.name, one.arguments) for one in again.calls] == [
            (name, given) for _, name, given in expected
        ]
        count += len(expected)
    assert count == RECORDED[kind][0]


@pytest.mark.parametrize("kind", KINDS)
def test_recorded_streams_give_exactly_their_calls(kind: str) -> None:
    count = 0
    for exchange in exchanges(kind):
        if "body" not in exchange or exchange["status"] != 200:
            continue
        decoder, parser = provider_format(KINDS[kind]).stream_decoder(), EventParser()
        try:
            events = [*parser.feed(answer_bytes(exchange)), *parser.close()]
            response = fold([piece for event in events for piece in decoder.feed(event)])
        except ModelError:
            continue  # a provider's error within its stream
        parsed = calls_of(response, toolset({one.name for one in response.tool_calls}))
        assert [(one.name, one.arguments) for one in parsed.calls] == [
            (one.name, one.arguments) for one in response.tool_calls
        ]
        count += len(parsed.calls)
    assert count == RECORDED[kind][1]
