"""What coding assistants send reaches every provider, and what a provider answers goes the whole way round.

Reasoning comes back to the provider that made it, letter by letter, through the format and the SDK of another caller.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest

from tests.models.callers import Told, caller, encoded, pieces_of, played
from tests.models.scripts import SCRIPTS
from tests.models.sessions import (
    ANTHROPIC,
    CHAT,
    PICTURE,
    RESPONSES,
    SESSIONS,
    body_of,
    gone_on,
    in_bits,
)
from tests.replay import Replay
from tidyllm.errors import Unsupported
from tidyllm.models.cross import crossing
from tidyllm.models.fold import fold, unfold
from tidyllm.models.formats import provider_format, wire_format
from tidyllm.models.message import Image, Part, Text, ToolCall, ToolResult
from tidyllm.models.own_reasoning import own_reasoning
from tidyllm.models.piece import Piece
from tidyllm.models.request import Request, Tool
from tidyllm.models.response import Response

OLLAMA = "ollama"
PAIRS = [(source, target) for source in SESSIONS for target in (*SESSIONS, OLLAMA) if source != target]


def crossed(source: str, target: str, body: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The body for the provider, and what was left out of the caller's."""
    left_out: list[str] = []
    request, stream = wire_format(source).decode_request(body)
    request = crossing(request, source, target, report=left_out.append)
    encoded = provider_format(target).encode_request(request, stream=stream)
    return encoded.body, [*left_out, *encoded.dropped]


def parts_of(request: Request) -> list[Part]:
    return [part for message in request.turns for part in message.parts]


def text_of(part: ToolResult) -> str:
    return (
        part.content
        if isinstance(part.content, str)
        else "".join(p.text for p in part.content if isinstance(p, Text))
    )


def essence(request: Request) -> dict[str, Any]:
    """What a model must learn of a conversation, whatever the format."""
    parts = parts_of(request)
    inner = [
        p
        for part in parts
        if isinstance(part, ToolResult) and not isinstance(part.content, str)
        for p in part.content
    ]
    system = [request.system] if isinstance(request.system, str) else [t.text for t in request.system or ()]
    return {
        "said": [(m.role, m.text) for m in request.turns if m.role == "assistant" and m.text],
        "calls": [(p.id, p.name, p.arguments) for p in parts if isinstance(p, ToolCall)],
        "results": {p.call_id: text_of(p) for p in parts if isinstance(p, ToolResult)},
        "pictures": sum(isinstance(p, Image) and p.data is not None for p in [*parts, *inner]),
        "tools": [tool.name for tool in request.tools if isinstance(tool, Tool)],
        "instructions": "\n".join(
            [*system, *(m.text for m in request.turns if m.role in {"system", "developer"})]
        ).split(),
    }


def blocks_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    content: str | list[dict[str, Any]] = message["content"]
    return [] if isinstance(content, str) else content


@pytest.mark.parametrize(("source", "target"), [pair for pair in PAIRS if pair[1] != OLLAMA])
def test_a_session_crosses_whole(source: str, target: str) -> None:
    body, _ = crossed(source, target, body_of(source))
    there, stream = wire_format(target).decode_request(body)
    here, _ = wire_format(source).decode_request(body_of(source))
    assert stream
    assert essence(there) == essence(here)
    users = " ".join(message.text for message in there.turns if message.role == "user")
    assert all(m.text in users for m in here.turns if m.role == "user")


@pytest.mark.parametrize("source", SESSIONS)
def test_a_session_crosses_to_ollama(source: str) -> None:
    body, _ = crossed(source, OLLAMA, body_of(source))
    here = essence(wire_format(source).decode_request(body_of(source))[0])
    messages: list[dict[str, Any]] = body["messages"]
    calls = [call["function"] for message in messages for call in message.get("tool_calls", ())]
    assert [(call["name"], call["arguments"]) for call in calls] == [call[1:] for call in here["calls"]]
    assert {m["tool_call_id"]: m["content"] for m in messages if m["role"] == "tool"} == here["results"]
    assert [p for m in messages for p in m.get("images", ())] == [PICTURE] * here["pictures"]
    assert len(body["tools"]) == len(here["tools"])


@pytest.mark.parametrize(
    ("source", "target", "left_out"),
    [
        (
            ANTHROPIC,
            CHAT,
            {"context_management", "thinking_tokens", "user", "tools[7].cache_control"}
            | {"system[1].cache_control", "system[2].cache_control", "messages[6].content[0].cache_control"}
            | {"messages[1].content[0]", "messages[3].content[0]", "messages[4].content[1].cache_control"}
            | {"messages[4].content[1].is_error"},
        ),
        (
            RESPONSES,
            ANTHROPIC,
            {"store", "include", "prompt_cache_key", "reasoning.summary", "text.verbosity", "client_metadata"}
            | {"messages[3].content[0]", "messages[6].content[0]"},
        ),
        (CHAT, ANTHROPIC, {"messages[1].content[1].detail"}),
        (CHAT, RESPONSES, {"messages[2].content[0]"}),
    ],
)
def test_what_a_session_loses_on_the_way_is_said(source: str, target: str, left_out: set[str]) -> None:
    assert set(crossed(source, target, body_of(source))[1]) == left_out


def test_a_chat_callers_signed_reasoning_reaches_anthropic() -> None:
    body, _ = crossed(CHAT, ANTHROPIC, body_of(CHAT))
    assert body["messages"][1]["content"][0] == {
        "type": "thinking",
        "thinking": "First look.",
        "signature": "c2lnbmVk",
    }


def test_results_follow_their_calls_in_one_turn_of_anthropics() -> None:
    """It refuses a conversation in which they do not."""
    for source in (CHAT, RESPONSES):
        body, _ = crossed(source, ANTHROPIC, body_of(source))
        messages: list[dict[str, Any]] = body["messages"]
        for message, following in pairwise(messages):
            asked = [block["id"] for block in blocks_of(message) if block["type"] == "tool_use"]
            answered = [b["tool_use_id"] for b in blocks_of(following) if b["type"] == "tool_result"]
            assert answered == asked


@pytest.mark.parametrize(
    ("tool", "kind"),
    [
        ({"type": "custom", "name": "apply_patch", "format": {"type": "grammar"}}, "custom"),
        ({"type": "web_search", "external_web_access": False}, "web_search"),
        ({"type": "local_shell"}, "local_shell"),
    ],
)
@pytest.mark.parametrize("target", [CHAT, ANTHROPIC, OLLAMA])
def test_tools_that_only_one_provider_has_are_refused_by_name(
    tool: dict[str, Any], kind: str, target: str
) -> None:
    body = body_of(RESPONSES)
    body["tools"].append(tool)
    with pytest.raises(Unsupported, match=kind) as raised:
        crossed(RESPONSES, target, body)
    assert raised.value.field == "tools[8]"


# -- the whole way round


def streamed(provider: str, answer: Response) -> list[Piece]:
    """The pieces of the answer as this provider streams it."""
    bits = list(in_bits(unfold(answer)))
    return bits if provider == OLLAMA else pieces_of(provider, encoded(provider, bits))


def loop(
    source: str, provider: str, *, stream: bool
) -> tuple[list[Told], list[dict[str, Any]], dict[str, Any]]:
    """A caller and a provider of two formats talk until the provider is done.

    What the caller was told, the bodies that the provider got, and the caller's last body.
    """
    answers = [provider_format(provider).decode_response(body) for body in SCRIPTS[provider]]
    pieces = [streamed(provider, answer) for answer in answers]
    told: list[Told] = []
    sent: list[dict[str, Any]] = []
    body = body_of(source)
    play = [
        played(source, fold(found) if stream else answer, stream=stream, pieces=found)
        for answer, found in zip(answers, pieces, strict=True)
    ]
    with Replay(play) as server, caller(source, server) as anyone:
        for number in range(len(play)):
            sent.append(crossed(source, provider, body)[0])
            told.append(anyone.read(number, stream=stream))
            body = gone_on(source, body, told[-1])
    sent.append(crossed(source, provider, body)[0])
    return told, sent, body


def reasoning_in(provider: str, body: dict[str, Any]) -> list[Any]:
    """The reasoning that a provider finds in the turns that it said itself."""
    if provider == RESPONSES:
        return [
            {key: item.get(key) for key in ("id", "summary", "encrypted_content")}
            for item in body["input"]
            if item.get("type") == "reasoning"
        ]
    turns = [message for message in body["messages"] if message["role"] == "assistant"]
    if provider == CHAT:
        return [turn["reasoning_content"] for turn in turns if "reasoning_content" in turn]
    return [block for turn in turns for block in blocks_of(turn) if "thinking" in block["type"]]


OWN: dict[str, list[Any]] = {
    provider: reasoning_in(
        provider,
        {
            CHAT: lambda: {"messages": [body["choices"][0]["message"] for body in SCRIPTS[CHAT]]},
            RESPONSES: lambda: {"input": [item for body in SCRIPTS[RESPONSES] for item in body["output"]]},
            ANTHROPIC: lambda: {"messages": SCRIPTS[ANTHROPIC]},
        }[provider](),
    )
    for provider in SESSIONS
}
"""The reasoning as each provider's script has it."""

LOOPS = [
    pytest.param(source, provider, stream, id=f"{source}-{provider}-{'stream' if stream else 'whole'}")
    for source in SESSIONS
    for provider in SESSIONS
    if source != provider
    for stream in (False, True)
]


@pytest.mark.parametrize(("source", "provider", "stream"), LOOPS)
def test_a_conversation_goes_on_across_formats(source: str, provider: str, stream: bool) -> None:
    told, sent, _ = loop(source, provider, stream=stream)
    assert [answer.text for answer in told] == ["I mend it.", "", "Done."]
    assert [[name for _, name, _ in answer.calls] for answer in told] == [["Edit", "Grep"], ["Bash"], []]
    assert [answer.finish for answer in told] == ["tool_calls", "tool_calls", "stop"]
    assert {answer.usage for answer in told} == {(100, 9, 80)}
    there, _ = wire_format(provider).decode_request(sent[-1])
    found = essence(there)
    assert [call[1:] for call in found["calls"]][-3:] == [
        call[1:] for answer in told for call in answer.calls
    ]
    assert list(found["results"].values())[-3:] == ["Edit did it", "Grep did it", "Bash did it"]
    assert {call[0] for call in found["calls"]} == set(found["results"])


@pytest.mark.parametrize(
    ("source", "provider", "stream"), [one for one in LOOPS if one.values[:2] != (CHAT, RESPONSES)]
)
def test_reasoning_comes_back_to_the_provider_that_made_it(source: str, provider: str, stream: bool) -> None:
    _, sent, _ = loop(source, provider, stream=stream)
    before = reasoning_in(provider, sent[0])
    assert reasoning_in(provider, sent[-1]) == [*before, *OWN[provider]]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("source", SESSIONS)
def test_ollamas_plain_reasoning_calls_and_results_come_back_to_it(source: str, stream: bool) -> None:
    told, sent, _ = loop(source, OLLAMA, stream=stream)
    assert [answer.text for answer in told] == ["I mend it.", "", "Done."]
    assert {answer.usage for answer in told} == {(100, 9, 0)}
    turns: list[dict[str, Any]] = sent[-1]["messages"][len(sent[0]["messages"]) :]
    assert [turn.get("thinking") for turn in turns if turn["role"] == "assistant"] == [
        "Two at once.",
        "Then a test.",
        None,
    ]
    results = [(turn["tool_name"], turn["content"]) for turn in turns if turn["role"] == "tool"]
    assert results == [(name, f"{name} did it") for name in ("Edit", "Grep", "Bash")]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_encrypted_reasoning_comes_back_through_chat_with_one_summary(stream: bool) -> None:
    _, sent, _ = loop(CHAT, RESPONSES, stream=stream)
    assert reasoning_in(RESPONSES, sent[-1]) == [
        {
            **OWN[RESPONSES][0],
            "summary": [{"type": "summary_text", "text": "**Two** at once.\n\n**Then** a test."}],
        },
        OWN[RESPONSES][1],
    ]


@pytest.mark.parametrize(("source", "provider", "stream"), LOOPS)
def test_a_provider_of_the_callers_own_format_never_sees_what_another_one_lent(
    source: str, provider: str, stream: bool
) -> None:
    """Neither where the body is passed on unread, nor where it is decoded."""
    _, _, body = loop(source, provider, stream=stream)
    if provider != CHAT:
        assert b'"tidyllm:' in msgspec.json.encode(body)
    fields = msgspec.json.decode(msgspec.json.encode(body), type=dict[str, msgspec.Raw])
    raw = msgspec.json.encode({**fields, **own_reasoning(source, fields)})
    assert b"tidyllm:" not in raw
    decoded, _ = crossed(source, source, body)
    assert b"tidyllm:" not in msgspec.json.encode(decoded)
    again, _ = crossed(source, source, msgspec.json.decode(raw))
    assert again == decoded
