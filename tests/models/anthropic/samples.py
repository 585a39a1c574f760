"""Made-up bodies and streams in Anthropic's format, and the short ways to read them."""

from __future__ import annotations

from typing import Any

import msgspec

from tidyllm.models.anthropic import anthropic
from tidyllm.models.fold import fold
from tidyllm.models.piece import Piece
from tidyllm.models.request import Request
from tidyllm.models.response import Response
from tidyllm.models.sse import Event, EventParser

WEATHER: dict[str, Any] = {
    "name": "weather",
    "description": "The weather of a place.",
    "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}


def body(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A request; without messages it says hello."""
    given = list(messages) or [{"role": "user", "content": "hello"}]
    return {"model": "claude-x", "max_tokens": 100, "messages": given, "stream": False, **fields}


def answer(*content: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A whole answer."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x-1",
        "content": list(content),
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 2},
        **fields,
    }


def start(**fields: Any) -> dict[str, Any]:
    """The first event of a stream."""
    return {"type": "message_start", "message": answer(stop_reason=None, **fields)}


def block(index: int, content: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of one content block."""
    return [
        {"type": "content_block_start", "index": index, "content_block": content},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def text_block(index: int, *texts: str) -> list[dict[str, Any]]:
    """The events of a text."""
    deltas = [{"type": "text_delta", "text": text} for text in texts]
    return block(index, {"type": "text", "text": ""}, *deltas)


def ending(reason: str | None = "end_turn", **usage: Any) -> list[dict[str, Any]]:
    """The last two events."""
    delta = {"stop_reason": reason, "stop_sequence": None}
    return [
        {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 9, **usage}},
        {"type": "message_stop"},
    ]


def wire(*events: dict[str, Any] | list[dict[str, Any]], named: bool = True) -> bytes:
    """Events as bytes; `named` writes the `event:` line, too."""
    out = b""
    for item in events:
        for event in item if isinstance(item, list) else [item]:
            out += b"event: " + event["type"].encode() + b"\n" if named else b""
            out += b"data: " + msgspec.json.encode(event) + b"\n\n"
    return out


def pieces(data: bytes) -> tuple[list[Piece], bool]:
    """The pieces in the bytes of a stream, and whether it came to its end."""
    parser, decoder = EventParser(), anthropic.stream_decoder()
    found = [piece for event in parser.feed(data) for piece in decoder.feed(event)]
    return found, decoder.done


def streamed(*events: dict[str, Any] | list[dict[str, Any]], named: bool = True) -> Response:
    """The answer that a whole stream makes up."""
    found, done = pieces(wire(*events, named=named))
    assert done
    return fold(found)


def written(found: list[Piece], model: str = "claude-x") -> bytes:
    """The bytes which a caller gets for these pieces."""
    encoder = anthropic.stream_encoder(Request("hello", model=model))
    return b"".join(encoder.feed(piece) for piece in found) + encoder.end()


def events_of(data: bytes) -> list[dict[str, Any]]:
    """The events in the bytes for a caller, decoded; each must bear its type as its name."""
    found: list[dict[str, Any]] = []
    for event in EventParser().feed(data):
        decoded = msgspec.json.decode(event.data, type=dict[str, Any])
        assert event.name == decoded["type"]
        found.append(decoded)
    return found


def event(data: dict[str, Any]) -> Event:
    """One event as the parser would give it."""
    return Event(msgspec.json.encode(data).decode(), data["type"])
