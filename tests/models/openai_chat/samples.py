"""What the tests of this format share: bodies, chunks, and streams read and written. It knows no recordings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from tidyllm.models.fold import fold
from tidyllm.models.openai_chat import openai_chat
from tidyllm.models.piece import Piece
from tidyllm.models.request import Request
from tidyllm.models.response import Response
from tidyllm.models.sse import Event, EventParser

__all__ = ["DONE", "answer", "ask", "chunk", "decoded", "delta", "pieces_of", "there_and_back", "written"]

DONE = Event("[DONE]")


def ask(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A request; without messages it holds one question."""
    asked = list(messages) or [{"role": "user", "content": "Why?"}]
    return {"model": "gpt-4o", "messages": asked, "stream": False, **fields}


def answer(
    message: dict[str, Any], *, finish: Any = "stop", choice: dict[str, Any] | None = None, **fields: Any
) -> dict[str, Any]:
    """The body of an answer."""
    told = {
        "index": 0,
        "message": {"role": "assistant", **message},
        "finish_reason": finish,
        **(choice or {}),
    }
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-4o-2024",
        "choices": [told],
        **fields,
    }


def chunk(*choices: dict[str, Any], **fields: Any) -> Event:
    """The event of one chunk."""
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "model": "gpt-4o-2024",
        "choices": list(choices),
        **fields,
    }
    return Event(msgspec.json.encode(body).decode())


def delta(finish: Any = None, /, **fields: Any) -> Event:
    """The event of one chunk whose first choice adds `fields`."""
    return chunk({"index": 0, "delta": fields, "finish_reason": finish})


def decoded(*events: Event) -> Response:
    """What these events make up; the end marker is added."""
    decoder = openai_chat.stream_decoder()
    found = [piece for event in (*events, DONE) for piece in decoder.feed(event)]
    assert decoder.done
    return fold(found)


def pieces_of(body: bytes) -> list[Piece]:
    """The pieces of a recorded or written stream."""
    parser, decoder = EventParser(), openai_chat.stream_decoder()
    events = [*parser.feed(body), *parser.close()]
    found = [piece for event in events for piece in decoder.feed(event)]
    assert decoder.done
    return found


def written(pieces: Iterable[Piece], request: Request | None = None) -> bytes:
    """The stream for a caller; by default for one who asked for usage."""
    usage = {"stream_options": {"include_usage": True}}
    encoder = openai_chat.stream_encoder(request or Request("Why?", model="asked", extra=usage))
    return b"".join([*map(encoder.feed, pieces), encoder.end()])


def there_and_back(body: dict[str, Any]) -> dict[str, Any]:
    """The request decoded and encoded again."""
    request, stream = openai_chat.decode_request(body)
    encoded = openai_chat.encode_request(request, stream=stream)
    assert encoded.dropped == ()
    return encoded.body
