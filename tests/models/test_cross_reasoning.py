"""Reasoning goes back only to the provider that made it, whoever's hands it went through."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.models.test_cross import ANTHROPIC, CHAT, OLLAMA, RESPONSES, cross
from tidyllm.models.loans import loan
from tidyllm.models.message import Message, Text, Thinking
from tidyllm.models.request import Request

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
