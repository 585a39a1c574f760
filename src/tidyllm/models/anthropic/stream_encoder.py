"""Pieces to the events of Anthropic's streams, as bytes for a caller. It knows nothing of sockets.

Blocks are written one after the other: a block ends when a piece of another part comes. Clients take a tool call at the
end of its block, so while one lacks some of its input the pieces of other parts wait; text that goes on after another
part gets a block of its own. What else follows for an ended block (a signature, say) is written with that block's
index, and the official SDK puts it in place.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from tidyllm.errors import TidyllmError, Unsupported
from tidyllm.models.anthropic.errors import error_body
from tidyllm.models.anthropic.fields import FORMAT
from tidyllm.models.anthropic.open_input import OpenInput
from tidyllm.models.anthropic.response import answer_extra, lent_block
from tidyllm.models.anthropic.stops import stop_reason
from tidyllm.models.anthropic.usage import encode_usage
from tidyllm.models.fold import Fold, fold, unfold
from tidyllm.models.ids import new_id
from tidyllm.models.loans import loan
from tidyllm.models.message import Opaque, Thinking
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
from tidyllm.models.response import Response

__all__ = ["AnthropicStreamEncoder"]

_json = msgspec.json.Encoder().encode

_TEXT = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
    b'"delta":{"type":"text_delta","text":%b}}\n\n'
)
"""Most of what is written, already in place."""

_IN_DELTA = ("container", "stop_details", "stop_sequence")
_BESIDE_DELTA = ("context_management", "input_transformations")


class AnthropicStreamEncoder:
    """Implements `StreamEncoder`."""

    __slots__ = (
        "_answer", "_blocks", "_calling", "_calls_tools", "_count", "_input", "_late", "_lending", "_loans", "_open",
        "_own", "_started", "_waiting",
    )  # fmt: skip

    def __init__(self, request: Request, asked: object = None) -> None:
        self._answer = Fold(Response(model=request.model))  # but for the parts, written as they come
        self._own = False
        self._started = False
        self._waiting = False  # message_start waits for the usage, which Anthropic sends in the same event
        self._blocks: dict[int, int] = {}  # the index of a part: the index of its block
        self._count = 0  # of blocks
        self._open: int | None = None
        self._calls_tools = False
        self._calling: int | None = None  # the part in the open block, if that is a tool call
        self._input = OpenInput()  # of that call
        self._late: list[Piece] = []  # pieces of other parts, which wait for the rest of that input
        self._loans: dict[int, list[Piece]] = {}  # what others want back with the reasoning of a part
        self._lending: int | None = (
            None  # the part in the open block, if that is another provider's reasoning
        )

    def feed(self, piece: Piece) -> bytes:
        """The events for this piece, possibly none.

        :raises Unsupported: a picture, sound or file, which this format has no block for.
        """
        match piece:
            case TextPiece() | ToolCallPiece() | ThinkingPiece() | WholePart():
                return self._part(piece)
            case Start():
                self._answer.add(piece)
                self._own = self._waiting = piece.format == FORMAT
                return b"" if self._waiting else self._start()
            case UsagePiece():
                self._answer.add(piece)
                return self._start() if self._waiting else b""
            case Finish():
                self._answer.add(piece)
                return b""

    def end(self) -> bytes:
        """The end of the open block, `message_delta` with reason and usage, and `message_stop`."""
        written = b""
        while self._late:
            self._calling = None  # it gets no more input
            written += self._go_on()
        answer = self._answer.response()
        extra = answer_extra(answer.extra, own=self._own)
        reason = stop_reason(
            answer.finish_reason, answer.finish_reason_raw, calls_tools=self._calls_tools, own=self._own
        )
        delta = {"stop_reason": reason, "stop_sequence": None}
        event: dict[str, Any] = {
            "type": "message_delta",
            "delta": delta | {key: extra[key] for key in _IN_DELTA if key in extra},
            "usage": encode_usage(answer.usage),
            **{key: extra[key] for key in _BESIDE_DELTA if key in extra},
        }
        return written + self._start() + self._stop() + _event(event) + _event({"type": "message_stop"})

    def error(self, error: TidyllmError, *, request_id: str | None = None) -> bytes:
        """An error event; nothing follows it. Without `request_id` it names the provider's own, where that is known."""
        body = error_body(error)
        return _event(body if request_id is None else {**body, "request_id": request_id})

    def _start(self) -> bytes:
        if self._started:
            return b""
        self._started, self._waiting = True, False
        answer = self._answer.response()
        extra = answer_extra(answer.extra, own=self._own)
        message: dict[str, Any] = {
            "id": answer.id or new_id("msg_"),
            "type": "message",
            "role": "assistant",
            "model": answer.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": encode_usage(answer.usage),
            **{key: value for key, value in extra.items() if key not in _IN_DELTA},
        }
        return _event({"type": "message_start", "message": message})

    def _part(self, piece: TextPiece | ToolCallPiece | ThinkingPiece | WholePart) -> bytes:
        if self._calling is not None and piece.index != self._calling:
            if not self._input.whole:
                self._late.append(piece)
                return b""
            self._calling = None
        match piece:
            case TextPiece():
                return self._text(piece)
            case ToolCallPiece():
                written = self._tool_call(piece)
                return written + self._go_on() if self._late and self._input.whole else written
            case ThinkingPiece():
                return self._thinking(piece)
            case _:
                return self._whole(piece)

    def _go_on(self) -> bytes:
        """The pieces that waited; some of them may wait for others now."""
        late, self._late = self._late, []
        return b"".join(map(self.feed, late))

    def _text(self, piece: TextPiece) -> bytes:
        block = self._blocks.get(piece.index)
        if block is not None and block != self._open and piece.text:
            block = None
        citations: list[Any] = (piece.extra.get("citations") or []) if piece.extra and self._own else []
        if not (piece.text or citations):
            return b""  # Anthropic would refuse an empty text when it comes back with the conversation
        out = b""
        if block is None:
            out = self._begin(piece.index, {"type": "text", "text": ""})
            block = self._blocks[piece.index]
        if piece.text:
            out += _TEXT % (block, _json(piece.text))
        for citation in citations:
            out += _delta(block, {"type": "citations_delta", "citation": citation})
        return out

    def _tool_call(self, piece: ToolCallPiece) -> bytes:
        block = self._blocks.get(piece.index)
        out = b""
        if block is None:
            self._calls_tools = True
            head = {"type": "tool_use", "id": piece.id or new_id("toolu_"), "name": piece.name}
            extra = piece.extra if self._own else {}
            out = self._begin(piece.index, {**head, "input": {}, **extra})
            block = self._blocks[piece.index]
            self._calling, self._input = piece.index, OpenInput()
        if piece.arguments:
            if piece.index == self._calling:
                self._input.add(piece.arguments)
            out += _delta(block, {"type": "input_json_delta", "partial_json": piece.arguments})
        return out

    def _thinking(self, piece: ThinkingPiece) -> bytes:
        if not self._own:
            return self._lent(piece)
        block = self._blocks.get(piece.index)
        out = b""
        if block is None:
            if piece.encrypted is not None and not (piece.thinking or piece.signature):
                data = {"type": "redacted_thinking", "data": piece.encrypted, **piece.extra}
                return self._begin(piece.index, data)
            out = self._begin(piece.index, {"type": "thinking", "thinking": "", "signature": ""})
            block = self._blocks[piece.index]
        if piece.thinking:
            out += _delta(block, {"type": "thinking_delta", "thinking": piece.thinking})
        if piece.signature:
            out += _delta(block, {"type": "signature_delta", "signature": piece.signature})
        return out

    def _lent(self, piece: ThinkingPiece) -> bytes:
        """Another provider's reasoning. What that one wants back is told at the end of the block, as its signature."""
        index = piece.index
        block = self._blocks.get(index)
        out = b""
        if piece.thinking and block is None:
            out = self._begin(index, {"type": "thinking", "thinking": "", "signature": ""})
            block = self._blocks[index]
            self._lending = index
        wanted = self._loans.setdefault(index, [])
        if piece.signature or piece.encrypted or piece.id or piece.extra:
            wanted.append(msgspec.structs.replace(piece, thinking=""))
            if block is not None and block != self._open:  # it came late
                out += _delta(block, {"type": "signature_delta", "signature": loan(self._wanted(index))})
        if piece.thinking and block is not None:
            out += _delta(block, {"type": "thinking_delta", "thinking": piece.thinking})
        return out

    def _wanted(self, index: int) -> Thinking:
        """What its provider wants back with the reasoning of a part."""
        part = fold(self._loans[index]).content
        return cast("Thinking", part[0]) if part else Thinking()

    def _whole(self, piece: WholePart) -> bytes:
        part = piece.part
        if not isinstance(part, Opaque):
            inner = [p for p in unfold(Response(content=(part,))) if not isinstance(p, Start | Finish)]
            if any(isinstance(p, WholePart) for p in inner):
                kind = type(part).__name__
                raise Unsupported(
                    f"content[{piece.index}]", format="anthropic", why=f"its answers hold no {kind}"
                )
            return b"".join(self.feed(msgspec.structs.replace(p, index=piece.index)) for p in inner)
        if part.format != "anthropic":
            return b""  # only the provider that made it can read it
        data = dict(part.data)
        tool_input = data.pop("input", None)
        if not tool_input:
            return self._begin(piece.index, part.data)
        out = self._begin(piece.index, {**data, "input": {}})
        text = _json(tool_input).decode()
        return out + _delta(self._blocks[piece.index], {"type": "input_json_delta", "partial_json": text})

    def _begin(self, index: int, block: dict[str, Any]) -> bytes:
        out = self._start() + self._stop(index)
        self._open = self._blocks[index] = self._next()
        return out + _event({"type": "content_block_start", "index": self._open, "content_block": block})

    def _next(self) -> int:
        self._count += 1
        return self._count - 1

    def _stop(self, begins: int | None = None) -> bytes:
        """End the open block, and tell of reasoning that nobody can read. `begins`: the part that begins now."""
        out = b""
        if self._open is not None:
            place, self._open = self._open, None
            if self._lending is not None:
                index, self._lending = self._lending, None
                out = _delta(place, {"type": "signature_delta", "signature": loan(self._wanted(index))})
            out += _event({"type": "content_block_stop", "index": place})
        for index in self._loans:
            block = None if index in self._blocks or index == begins else lent_block(self._wanted(index))
            if block is not None:
                place = self._blocks[index] = self._next()
                out += _event({"type": "content_block_start", "index": place, "content_block": block})
                out += _event({"type": "content_block_stop", "index": place})
        return out


def _delta(index: int, delta: dict[str, Any]) -> bytes:
    return _event({"type": "content_block_delta", "index": index, "delta": delta})


def _event(data: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (data["type"].encode(), _json(data))
