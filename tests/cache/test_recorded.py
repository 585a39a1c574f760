"""Recorded answers of real providers come back from the cache as they were, whole and in pieces."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest

from tests.replay import answer_bytes
from tests.shared_data import exchanges
from tidyllm.cache import AnswerCache
from tidyllm.core import Context, Step
from tidyllm.errors import TidyllmError
from tidyllm.models import Request, Response
from tidyllm.models.fold import fold
from tidyllm.models.formats import wire_format
from tidyllm.models.forward import ForwardedPiece
from tidyllm.models.passthrough import StreamPassthrough

FORMATS = {
    "openai_chat": "openai_chat",
    "openai_responses": "openai_responses",
    "anthropic_messages": "anthropic",
}


class Played(Step[Any, Response]):
    """Gives answers that were recorded, and counts how often."""

    def __init__(self, answer: Response, pieces: list[Any]) -> None:
        super().__init__("played")
        self.answer = answer
        self.pieces = pieces
        self.calls = 0

    async def invoke(self, x: Any, ctx: Context) -> Response:
        self.calls += 1
        return self.answer

    async def invoke_stream(self, x: Any, ctx: Context) -> AsyncGenerator[Any, None]:
        self.calls += 1
        for piece in self.pieces:
            yield piece

    def join(self, pieces: Any) -> Response:
        return fold([one for piece in pieces for one in piece.pieces])


def plain(response: Response) -> Response:
    """Without the marks of a cache."""
    return msgspec.structs.replace(response, cached=False, cost_usd=None, saved_usd=None)


@pytest.mark.parametrize("kind", FORMATS)
async def test_whole_answers_come_back_equal(kind: str) -> None:
    compared = 0
    for exchange in exchanges(kind):
        try:
            raw = msgspec.json.decode(answer_bytes(exchange))
            answer = wire_format(FORMATS[kind]).decode_response(raw)
        except (TidyllmError, msgspec.DecodeError):
            continue  # an error, or a stream
        answer = msgspec.structs.replace(answer, raw=raw)
        played = Played(answer, [])
        cached = AnswerCache(played)
        await cached("Hi")
        again = await cached("Hi")
        if answer.finish_reason not in ("stop", "length", "tool_calls"):
            assert not again.cached
            continue
        compared += 1
        assert played.calls == 1
        assert plain(again) == plain(answer)
    assert compared > 60


@pytest.mark.parametrize("kind", FORMATS)
async def test_streams_come_back_byte_for_byte(kind: str) -> None:
    compared = 0
    for exchange in exchanges(kind):
        body = answer_bytes(exchange)
        if b"data:" not in body[:200] or exchange["status"] != 200:
            continue
        passing = StreamPassthrough(FORMATS[kind])
        pieces = [
            piece for start in range(0, len(body), 700) if (piece := passing.feed(body[start : start + 700]))
        ]
        if passing.fault is not None or not passing.done:
            continue
        cached = AnswerCache(Played(Response(), pieces))
        first = [piece async for piece in cached.stream(Request("Hi"))]
        again = [piece async for piece in cached.stream(Request("Hi"))]
        if not cached.counts.hits:
            continue  # it did not end well
        compared += 1
        assert all(isinstance(piece, ForwardedPiece) for piece in again)
        assert [piece.data for piece in again] == [piece.data for piece in first]
        assert plain(cached.join(again)) == plain(cached.join(first))
    assert compared >= 3
