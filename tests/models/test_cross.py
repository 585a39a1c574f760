"""Requests that came in one format and go to a provider of another: what crosses, what is left out, what is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.shared_data import exchanges
from tidyllm.errors import BadRequest, Unsupported
from tidyllm.models.cross import crossing
from tidyllm.models.cross_fields import FIELDS
from tidyllm.models.formats import provider_format, wire_format
from tidyllm.models.loans import loan
from tidyllm.models.message import File, Message, Opaque, Part, Text, Thinking, ToolCall, ToolResult
from tidyllm.models.request import JSONSchema, ProviderTool, Request, Tool

CHAT, RESPONSES, ANTHROPIC, OLLAMA = "openai_chat", "openai_responses", "anthropic", "ollama"
SOURCES = {CHAT: "openai_chat", RESPONSES: "openai_responses", ANTHROPIC: "anthropic_messages"}
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
        (RESPONSES, {"truncation": "auto"}),
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
        (CHAT, {"reasoning": {"effort": "unheard-of"}}),
        (ANTHROPIC, {"mcp_servers": [{"url": "u"}]}),
        (ANTHROPIC, {"container": "c"}),
        (ANTHROPIC, {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}),
        (ANTHROPIC, {"context_management": {"edits": "x"}}),
        (ANTHROPIC, {"context_management": "x"}),
        (ANTHROPIC, {"speed": "fast"}),
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
        (CHAT, {"openai_chat": {"limit": "max_tokens"}}, []),
        (CHAT, {"thinking": {"type": "enabled"}}, ["thinking.type"]),
        (
            ANTHROPIC,
            {"thinking": {"type": "adaptive", "display": "omitted"}},
            ["thinking.type", "thinking.display"],
        ),
        (
            ANTHROPIC,
            {"context_management": {"edits": [{"type": "clear_thinking_20251015"}]}},
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
        "cache_control": {"type": "ephemeral"},
        "type": "custom",
        "strict": None,
        "allowed_callers": ["direct"],
    }
    crossed, left_out = cross(Request("hi", tools=(Tool("f", extra=notes),)), ANTHROPIC, CHAT)
    assert (crossed.tools, left_out) == ((Tool("f"),), ["tools[0].cache_control"])
    for source, fields in (
        (ANTHROPIC, {"input_examples": [1]}),
        (CHAT, {"openai_chat": {"function": {"input_examples": 1}}}),
    ):
        with pytest.raises(Unsupported) as raised:
            cross(Request("hi", tools=(Tool("f", extra=fields),)), source, RESPONSES)
        assert raised.value.field == "tools[0].input_examples"


def test_fields_of_a_schema_that_we_do_not_know_are_refused() -> None:
    wanted = JSONSchema({"type": "object"}, extra={"strict": None})
    assert cross(Request("hi", output=wanted), RESPONSES, CHAT)[0].output == JSONSchema({"type": "object"})
    with pytest.raises(Unsupported) as raised:
        cross(Request("hi", output=JSONSchema({}, extra={"new": 1})), RESPONSES, CHAT)
    assert raised.value.field == "output.new"


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


MARK: dict[str, Any] = {"openai_responses": {"item": {"summary": []}}}
FULL: dict[str, Any] = {"openai_responses": {"item": {"content": [{"type": "reasoning_text", "text": "hm"}]}}}
PLAIN: dict[str, Any] = {"openai_chat": {"field": "reasoning_content"}}


def detail(**rest: Any) -> dict[str, Any]:
    return {"openai_chat": {"field": "reasoning_details", "detail": {"type": "reasoning.text", **rest}}}


def lent(format: str, part: Thinking) -> Thinking:
    """The reasoning as a caller of the format sends it back."""
    if format == CHAT:
        return msgspec.structs.replace(part, id=f"tidyllm:{part.id or ''}", extra=detail())
    if format == RESPONSES:
        return Thinking(text=part.text, id="rs_ours", encrypted=loan(part), extra=MARK)
    return Thinking(text=part.text, signature=loan(part)) if part.text else Thinking(encrypted=loan(part))


SIGNED = Thinking(text="hm", signature="s")
HIDDEN = Thinking(encrypted="x")
OPENAIS = Thinking(text="hm", id="rs_1", encrypted="x", extra=MARK)
OPENAIS_BARE = Thinking(text="hm", id="rs_1", encrypted="x")


@pytest.mark.parametrize(
    ("thinking", "source", "target", "kept"),
    [
        # as the formats themselves have it
        (OPENAIS, RESPONSES, ANTHROPIC, None),
        (OPENAIS, RESPONSES, CHAT, None),
        (OPENAIS, RESPONSES, OLLAMA, None),
        (Thinking(text="hm", extra=MARK), RESPONSES, OLLAMA, Thinking(text="hm")),
        (SIGNED, ANTHROPIC, RESPONSES, None),
        (SIGNED, ANTHROPIC, OLLAMA, None),
        (HIDDEN, ANTHROPIC, RESPONSES, None),
        (Thinking(text="hm", signature=""), ANTHROPIC, RESPONSES, None),
        (Thinking(text="hm", signature=""), ANTHROPIC, OLLAMA, Thinking(text="hm")),
        (Thinking(text="hm", extra=PLAIN), CHAT, RESPONSES, None),
        (Thinking(text="hm", extra=PLAIN), CHAT, OLLAMA, Thinking(text="hm")),
        # entries of reasoning_details that a server of the chat format made of what another provider signed
        (Thinking(text="hm", signature="s", extra=detail()), CHAT, ANTHROPIC, SIGNED),
        (Thinking(signature="s", encrypted="x", extra=detail()), CHAT, ANTHROPIC, Thinking(signature="s")),
        (
            Thinking(encrypted="x", id="r", extra=detail(format="anthropic-claude-v1")),
            CHAT,
            ANTHROPIC,
            HIDDEN,
        ),
        (Thinking(encrypted="x", extra=detail()), CHAT, ANTHROPIC, HIDDEN),
        (Thinking(encrypted="x", extra=detail(format="google-gemini-v1")), CHAT, ANTHROPIC, None),
        (Thinking(text="hm", signature="s", extra=detail()), CHAT, RESPONSES, None),
        (Thinking(text="hm", encrypted="x", id="rs_1", extra=detail()), CHAT, RESPONSES, OPENAIS_BARE),
        (
            Thinking(encrypted="x", extra=detail(format="openai-responses-v1")),
            CHAT,
            RESPONSES,
            Thinking(encrypted="x"),
        ),
        (Thinking(text="hm", extra=detail()), CHAT, ANTHROPIC, None),
        # lent to callers of another format
        (lent(CHAT, SIGNED), CHAT, ANTHROPIC, SIGNED),
        (lent(CHAT, HIDDEN), CHAT, ANTHROPIC, HIDDEN),
        (lent(CHAT, OPENAIS), CHAT, RESPONSES, OPENAIS_BARE),
        (lent(CHAT, SIGNED), CHAT, RESPONSES, None),
        (lent(CHAT, SIGNED), CHAT, CHAT, None),
        (lent(RESPONSES, SIGNED), RESPONSES, ANTHROPIC, SIGNED),
        (
            lent(RESPONSES, Thinking(text="hm", signature="")),
            RESPONSES,
            ANTHROPIC,
            Thinking(text="hm", signature=""),
        ),
        (lent(RESPONSES, HIDDEN), RESPONSES, ANTHROPIC, HIDDEN),
        (lent(RESPONSES, SIGNED), RESPONSES, CHAT, None),
        (lent(RESPONSES, SIGNED), RESPONSES, RESPONSES, None),
        (
            lent(RESPONSES, Thinking(text="hm", extra=PLAIN)),
            RESPONSES,
            CHAT,
            Thinking(text="hm", extra=PLAIN),
        ),
        (lent(ANTHROPIC, OPENAIS), ANTHROPIC, RESPONSES, OPENAIS),
        (lent(ANTHROPIC, OPENAIS), ANTHROPIC, CHAT, None),
        (lent(ANTHROPIC, OPENAIS), ANTHROPIC, ANTHROPIC, None),
        (
            lent(ANTHROPIC, Thinking(text="hm", extra=PLAIN)),
            ANTHROPIC,
            CHAT,
            Thinking(text="hm", extra=PLAIN),
        ),
        (lent(ANTHROPIC, Thinking(text="hm")), ANTHROPIC, OLLAMA, Thinking(text="hm")),
        # an id alone is good only where the answer is stored
        (lent(ANTHROPIC, Thinking(text="hm", id="rs_1", extra=MARK)), ANTHROPIC, RESPONSES, None),
        (
            lent(ANTHROPIC, Thinking(text="hm", id="rs_1", extra=FULL)),
            ANTHROPIC,
            RESPONSES,
            Thinking(text="hm", id="rs_1", extra=FULL),
        ),
        # texts that only look like loans
        (Thinking(text="hm", signature="tidyllm:x"), ANTHROPIC, RESPONSES, None),
        (
            Thinking(text="hm", signature="tidyllm:[]"),
            ANTHROPIC,
            ANTHROPIC,
            Thinking(text="hm", signature="tidyllm:[]"),
        ),
        # requests made by hand
        (SIGNED, None, ANTHROPIC, SIGNED),
        (SIGNED, None, RESPONSES, None),
        (HIDDEN, None, ANTHROPIC, HIDDEN),
        (OPENAIS, None, ANTHROPIC, None),
        (OPENAIS, None, RESPONSES, OPENAIS),
        (Thinking(text="hm"), None, RESPONSES, Thinking(text="hm")),
        (
            Thinking(text="hm", id="rs_1", extra=MARK),
            None,
            RESPONSES,
            Thinking(text="hm", id="rs_1", extra=MARK),
        ),
        (lent(ANTHROPIC, OPENAIS), None, ANTHROPIC, lent(ANTHROPIC, OPENAIS)),
        (lent(RESPONSES, SIGNED), None, RESPONSES, lent(RESPONSES, SIGNED)),
        (lent(RESPONSES, SIGNED), None, ANTHROPIC, SIGNED),
        (lent(CHAT, SIGNED), None, CHAT, lent(CHAT, SIGNED)),
        (lent(CHAT, SIGNED), None, ANTHROPIC, SIGNED),
    ],
)
def test_reasoning_goes_back_only_to_the_provider_that_made_it(
    thinking: Thinking, source: str | None, target: str, kept: Thinking | None
) -> None:
    said = Text(text="said")
    crossed, left_out = cross(Request((Message("assistant", (thinking, said)),)), source, target)
    assert crossed.turns[0].parts == ((said,) if kept is None else (kept, said))
    assert left_out == (["messages[0].content[0]"] if kept is None else [])


def test_a_message_that_held_nothing_but_reasoning_is_left_out() -> None:
    messages = (Message("assistant", (SIGNED,)), Message("user", "x"))
    assert cross(Request(messages), ANTHROPIC, CHAT)[0].turns == messages[1:]
    messages = (Message("assistant", (lent(ANTHROPIC, OPENAIS),)), Message("user", "x"))
    assert cross(Request(messages), ANTHROPIC, ANTHROPIC)[0].turns == messages[1:]


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


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("target", TARGETS)
def test_recorded_requests_cross_or_are_refused_by_name(source: str, target: str) -> None:
    crossed = 0
    refused: list[BadRequest] = []
    for exchange in exchanges(SOURCES[source]):
        try:
            request, stream = wire_format(source).decode_request(exchange["request"])
        except BadRequest:
            continue  # such as the provider refused as well
        try:
            request = crossing(request, source, target)
            provider_format(target).encode_request(request, stream=stream)
        except BadRequest as error:
            refused.append(error)
        else:
            crossed += 1
    assert all(error.field for error in refused)
    assert crossed > len(exchanges(SOURCES[source])) / 3
