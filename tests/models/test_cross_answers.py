"""Recorded answers of each format, told to callers of the others: their SDKs read what the provider said.

Text, reasoning, tool calls, why it ended, and the tokens of prompt, answer and cache; whole and in a stream.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
import pytest

from tests.models.callers import Told, caller, pieces_of, played
from tests.replay import Replay, answer_bytes
from tests.shared_data import exchanges
from tidyllm.errors import TidyllmError
from tidyllm.models.fold import fold, unfold
from tidyllm.models.formats import wire_format
from tidyllm.models.piece import Piece
from tidyllm.models.response import Response

CHAT, RESPONSES, ANTHROPIC = "openai_chat", "openai_responses", "anthropic"
SOURCES = {CHAT: "openai_chat", RESPONSES: "openai_responses", ANTHROPIC: "anthropic_messages"}

LEAST = 0.99
"""The share of the answers of a file that must agree; others are listed here and in docs/wire/crossing.md."""
EXCEPTIONS: dict[str, str] = {}

WORDS = {CHAT: {"paused": "length"}}
"""Where a format has no word of its own: docs/wire says so."""


@cache
def answers(source: str) -> list[tuple[str, list[Piece]]]:
    """All recorded answers of a format, as pieces; those that are errors, whatever their status, are left out."""
    found: list[tuple[str, list[Piece]]] = []
    for exchange in exchanges(SOURCES[source]):
        body = answer_bytes(exchange)
        try:
            if "event-stream" in exchange["headers"].get("content-type", ""):
                found.append((exchange["source"], pieces_of(source, body)))
            elif exchange["status"] == 200:
                answer = wire_format(source).decode_response(msgspec.json.decode(body))
                found.append((exchange["source"], unfold(answer)))
        except TidyllmError:
            continue
    return found


def expected(answer: Response, target: str) -> dict[str, Any]:
    """What a caller must read; what the provider did not say is filled in."""
    finish = answer.finish_reason
    if finish == "unknown":
        finish = "tool_calls" if answer.tool_calls else "stop"
    usage = answer.usage
    return {
        "text": answer.text,
        "reasoning": answer.reasoning,
        "calls": [
            (call.name, call.arguments if call.valid else call.raw_arguments) for call in answer.tool_calls
        ],
        "finish": WORDS.get(target, {}).get(finish, finish),
        "usage": (usage.input_tokens or 0, usage.output_tokens or 0, usage.cache_read_tokens or 0),
    }


def read(told: Told) -> dict[str, Any]:
    assert all(id for id, _, _ in told.calls)
    return {
        "text": told.text,
        "reasoning": told.reasoning,
        "calls": [(name, arguments) for _, name, arguments in told.calls],
        "finish": told.finish,
        "usage": told.usage,
    }


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("source", "target"), [(source, target) for source in SOURCES for target in SOURCES if source != target]
)
def test_a_caller_of_another_format_reads_what_the_provider_said(
    source: str, target: str, stream: bool
) -> None:
    told = [(name, fold(pieces), pieces) for name, pieces in answers(source)]
    bodies = [played(target, answer, stream=stream, pieces=pieces) for _, answer, pieces in told]
    off: dict[str, Any] = {}
    with Replay(bodies) as server, caller(target, server) as anyone:
        for number, (name, answer, _) in enumerate(told):
            found, wanted = read(anyone.read(number, stream=stream)), expected(answer, target)
            if found != wanted:
                off[name] = {key: (found[key], wanted[key]) for key in wanted if found[key] != wanted[key]}
    assert {name: why for name, why in off.items() if name not in EXCEPTIONS} == {}
    assert len(off) <= (1 - LEAST) * len(told)
