"""Recorded answers passed on: the caller gets every byte, and we learn what decoding them whole would tell."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec
import pytest

from tests.replay import answer_bytes
from tests.shared_data import exchanges
from tidyllm.errors import ModelError
from tidyllm.models.fold import Fold
from tidyllm.models.formats import wire_format
from tidyllm.models.forward import Forward
from tidyllm.models.glance import glance
from tidyllm.models.passthrough import StreamPassthrough
from tidyllm.models.piece import Piece
from tidyllm.models.request import Request
from tidyllm.models.response import Response
from tidyllm.models.sse import EventParser

KINDS = {
    "openai_chat": "openai_chat",
    "openai_responses": "openai_responses",
    "anthropic_messages": "anthropic",
}


def answers(kind: str, *, streamed: bool) -> Iterator[tuple[int, bytes]]:
    for number, exchange in enumerate(exchanges(kind)):
        types = [value for name, value in exchange["headers"].items() if name.lower() == "content-type"]
        if exchange["status"] == 200 and ("event-stream" in str(types)) == streamed:
            yield number, answer_bytes(exchange)


def decoded(format: str, body: bytes) -> Response | None:
    """What the stream's own decoder makes of it; None for one that fails, or that ends without its marker."""
    decoder = wire_format(format).stream_decoder()
    parser = EventParser()
    fold = Fold()
    try:
        for event in [*parser.feed(body), *parser.close()]:
            for piece in decoder.feed(event):
                fold.add(piece)
        close: Any = getattr(decoder, "close", None)
        for piece in close() if close is not None else ():
            fold.add(piece)
    except ModelError:
        return None
    return fold.response() if decoder.done else None


def passed_on(format: str, body: bytes, random: Random) -> tuple[StreamPassthrough, bytes, Response]:
    stream = StreamPassthrough(format)
    fold = Fold()
    out: list[bytes] = []
    at = 0
    while at < len(body) and not stream.done and stream.fault is None:
        size = random.choice((1, 7, 100, 5_000))
        piece = stream.feed(body[at : at + size])
        at += size
        _take(piece, out, fold)
    if stream.fault is None and not stream.done:
        _take(stream.close(), out, fold)
    return stream, b"".join(out), fold.response()


def _take(piece: Any, out: list[bytes], fold: Fold) -> None:
    if piece is not None:
        out.append(piece.data)
        one: Piece
        for one in piece.pieces:
            fold.add(one)


@pytest.mark.parametrize("kind", KINDS)
def test_recorded_streams_pass_byte_for_byte(kind: str) -> None:
    format, random = KINDS[kind], Random(7)
    count = 0
    for number, body in answers(kind, streamed=True):
        whole = decoded(format, body)
        stream, data, seen = passed_on(format, body, random)
        if whole is None:
            continue
        count += 1
        assert stream.fault is None, (number, stream.fault)
        assert stream.done, number
        assert body.startswith(data) or data.startswith(body.rstrip()), number
        left = body[len(data) :].strip()
        assert left in (b"", b"data: [DONE]") or left.startswith(b":"), (number, left[:100])
        assert seen.usage == whole.usage, number
        assert (seen.model, seen.id) == (whole.model, whole.id), number
        assert seen.finish_reason_raw == whole.finish_reason_raw, number
    assert count >= 3


@pytest.mark.parametrize("kind", KINDS)
def test_recorded_answers_are_known_at_a_glance(kind: str) -> None:
    format = KINDS[kind]
    count = 0
    for number, body in answers(kind, streamed=False):
        try:
            whole = wire_format(format).decode_response(msgspec.json.decode(body))
        except (ModelError, msgspec.DecodeError):
            continue
        count += 1
        head = glance(format, body)
        assert (head.used() or whole.usage) == whole.usage, number
        assert (head.ending()[1] or "") == (whole.finish_reason_raw or ""), number
        assert (head.model or "", head.id or "") == (whole.model, whole.id), number
    assert count > 30


def test_a_forward_needs_no_decoding() -> None:
    """What is passed on never asks for the request in our types."""

    def never() -> Request:
        raise AssertionError

    assert (
        Forward("openai_chat", {"model": msgspec.Raw(b'"a"')}, False, never).body(model="b")
        == b'{"model":"b"}'
    )
