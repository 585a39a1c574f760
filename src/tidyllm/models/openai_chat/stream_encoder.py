"""Pieces to the events of a stream, for a caller who speaks this format. It knows nothing of sockets.

The chunk with the usage, whose `choices` are empty, goes out only to a caller who asked for it with
`stream_options.include_usage`, as OpenAI does it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tidyllm import clock
from tidyllm.errors import TidyllmError
from tidyllm.models.checks import is_object
from tidyllm.models.fold import Fold
from tidyllm.models.ids import new_id
from tidyllm.models.message import Opaque, Text, Thinking, ToolCall
from tidyllm.models.openai_chat.encode_response import (
    annotations_of,
    answer_id,
    call_body,
    head_fields,
    refusal_of,
)
from tidyllm.models.openai_chat.errors import error_body
from tidyllm.models.openai_chat.marks import FORMAT, mark_of
from tidyllm.models.openai_chat.stream_thoughts import ThoughtDeltas
from tidyllm.models.openai_chat.usage import encode_usage
from tidyllm.models.openai_chat.words import finish_word
from tidyllm.models.piece import (
    Finish,
    Piece,
    Start,
    TextPiece,
    ThinkingPiece,
    ToolCallPiece,
    UsagePiece,
    WholePart,
)
from tidyllm.models.request import Request

__all__ = ["ChatStreamEncoder"]

_json = msgspec.json.Encoder().encode


class ChatStreamEncoder:
    """Encodes one stream. `request` is the caller's: it says whether usage was asked for, and names the model where
    the provider does not."""

    __slots__ = (
        "_calls", "_custom", "_empty", "_head", "_model", "_tail", "_text_head", "_text_tail", "_thoughts", "_usage",
        "_wants_usage",
    )  # fmt: skip

    def __init__(self, request: Request, asked: object = None) -> None:
        options: object = request.extra.get("stream_options")
        self._wants_usage = is_object(options) and options.get("include_usage") is True
        self._model = request.model
        self._usage = Fold()
        self._calls: dict[int, int] = {}  # part -> number of the call
        self._custom: set[int] = set()  # numbers of the calls of custom tools
        self._empty: set[int] = set()  # numbers of the calls without arguments so far
        self._thoughts = ThoughtDeltas()
        self._head = b""
        # Callers who ask for usage get a null in every other chunk.
        self._tail = b',"usage":null}\n\n' if self._wants_usage else b"}\n\n"
        self._text_head = b""
        self._text_tail = b'},"logprobs":null,"finish_reason":null}]' + self._tail

    def feed(self, piece: Piece) -> bytes:
        """The events for this piece, possibly none."""
        if type(piece) is TextPiece:
            if not self._text_head:
                return self._started(Start()) + self.feed(piece)
            if piece.extra:
                return self._noted(piece)
            return b"%b%b%b" % (self._text_head, _json(piece.text), self._text_tail)
        if isinstance(piece, Start):
            return b"" if self._text_head else self._started(piece)
        if isinstance(piece, UsagePiece):
            self._usage.add(piece)
            return b""
        before = b"" if self._text_head else self._started(Start())
        if isinstance(piece, ThinkingPiece):
            return before + self._thought(piece)
        if isinstance(piece, ToolCallPiece):
            return before + self._call(piece)
        if isinstance(piece, WholePart):
            return before + self._whole(piece)
        assert isinstance(piece, Finish)
        word = finish_word(piece.finish_reason, piece.finish_reason_raw, calls=bool(self._calls))
        # A call without arguments is told as one with an empty object: that is what clients can read.
        empty = [{"index": number, "function": {"arguments": "{}"}} for number in sorted(self._empty)]
        if empty:
            before += self._chunk({"tool_calls": empty})
        return before + self._chunk({}, finish=word)

    def end(self) -> bytes:
        """The usage, if it was asked for, and the end marker."""
        usage = encode_usage(self._usage.response().usage) if self._wants_usage else None
        if usage is None:
            return b"data: [DONE]\n\n"
        return b'%b"choices":[],"usage":%b}\n\ndata: [DONE]\n\n' % (self._head, _json(usage))

    def error(self, error: TidyllmError, *, request_id: str | None = None) -> bytes:
        """The event of an error; clients raise it."""
        return b"data: %b\n\n" % _json(error_body(error))

    def _started(self, piece: Start) -> bytes:
        head: dict[str, Any] = {
            "id": piece.id or answer_id(),
            "object": "chat.completion.chunk",
            "created": int(clock.now()),
            "model": piece.model or self._model,
            **head_fields(piece.extra),
        }
        self._head = b"data: " + _json(head)[:-1] + b","
        self._text_head = self._head + b'"choices":[{"index":0,"delta":{"content":'
        return self._chunk({"role": "assistant", "content": ""})

    def _chunk(self, delta: dict[str, Any], *, finish: str | None = None, logprobs: Any = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return b'%b"choices":[%b]%b' % (self._head, _json(choice), self._tail)

    def _noted(self, piece: TextPiece) -> bytes:
        """Text with its sources, or with the probabilities of its tokens."""
        delta: dict[str, Any] = {"content": piece.text}
        if sources := annotations_of(piece.extra):
            delta["annotations"] = sources
        tokens: object = piece.extra.get("logprobs")
        return self._chunk(delta, logprobs={"content": tokens, "refusal": None} if tokens else None)

    def _thought(self, piece: ThinkingPiece) -> bytes:
        delta = self._thoughts.of(piece)
        return self._chunk(delta) if delta else b""

    def _call(self, piece: ToolCallPiece) -> bytes:
        number = self._calls.get(piece.index)
        new = number is None
        if number is None:
            number = self._calls[piece.index] = len(self._calls)
            if mark_of(piece.extra).get("type") == "custom":
                self._custom.add(number)
            else:
                self._empty.add(number)
        if piece.arguments:
            self._empty.discard(number)
        custom = number in self._custom
        kind, words = ("custom", "input") if custom else ("function", "arguments")
        inner = {"name": piece.name, words: piece.arguments}
        if new:
            call = {"index": number, "id": piece.id or new_id("call_"), "type": kind, kind: inner}
            return self._chunk({"tool_calls": [call]})
        inner = {key: value for key, value in inner.items() if value}
        return self._chunk({"tool_calls": [{"index": number, kind: inner}]}) if inner else b""

    def _whole(self, piece: WholePart) -> bytes:
        """A part that came at once; what only another format can express is left out."""
        part = piece.part
        if isinstance(part, Text):
            return self.feed(TextPiece(part.text, piece.index, part.extra))
        if isinstance(part, Thinking):
            return self._thought(
                ThinkingPiece(part.text, piece.index, part.signature, part.encrypted, part.id, part.extra)
            )
        if isinstance(part, ToolCall):
            number = self._calls[piece.index] = len(self._calls)
            return self._chunk({"tool_calls": [{"index": number, **call_body(part)}]})
        if (words := refusal_of(part)) is not None:
            return self._chunk({"refusal": words})
        if isinstance(part, Opaque) and part.format == FORMAT and part.data.get("type") == "audio":
            return self._chunk({"audio": part.data.get("audio")})
        return b""
