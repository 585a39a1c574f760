"""Pieces of a stream as bytes, and back: those in our types, and those in a provider's own format."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from tidyllm.cache.entry import Corrupt
from tidyllm.models.forward import ForwardedPiece
from tidyllm.models.piece import (
    Finish,
    Piece,
    Served,
    Start,
    TextPiece,
    ThinkingPiece,
    ToolCallPiece,
    UsagePiece,
    WholePart,
)

__all__ = ["mark_piece", "pack_pieces", "size_of", "unpack_pieces"]

# The number of a kind is kept with each piece: new kinds go to the end.
_KINDS: tuple[type[Any], ...] = (
    Start, TextPiece, ThinkingPiece, ToolCallPiece, WholePart, UsagePiece, Finish
)  # fmt: skip
_NUMBER: dict[type[Any], int] = {kind: number for number, kind in enumerate(_KINDS)}
_DECODE = [msgspec.msgpack.Decoder(kind).decode for kind in _KINDS]
_encode = msgspec.msgpack.Encoder().encode
_Numbered = list[tuple[int, msgspec.Raw]]
_decode_ours = msgspec.msgpack.Decoder(_Numbered).decode
_decode_forwarded = msgspec.msgpack.Decoder(list[tuple[bytes, _Numbered]]).decode


def pack_pieces(pieces: Sequence[Any], saved_usd: Decimal | None) -> tuple[str, bytes]:
    """The kind of these pieces, and their bytes, marked as kept.

    :raises TypeError: they are of no kind that we know.
    :raises OverflowError: a number in them is too large.
    """
    if isinstance(pieces[0], ForwardedPiece):
        body = [(one.data, _numbered(one.pieces, saved_usd)) for one in pieces]
        return "forwarded", _encode(body)
    return "pieces", _encode(_numbered(pieces, saved_usd))


def unpack_pieces(kind: str, body: bytes, output: Any) -> list[Any]:
    """The pieces; `output` is what the request asked for.

    :raises Corrupt: they cannot be read.
    """
    try:
        if kind == "pieces":
            return _pieces(_decode_ours(body), output)
        if kind == "forwarded":
            return [ForwardedPiece(data, tuple(_pieces(own, None))) for data, own in _decode_forwarded(body)]
    except (msgspec.MsgspecError, IndexError, UnicodeError, RecursionError) as error:
        raise Corrupt(f"its pieces cannot be read: {error}") from error
    raise Corrupt(f"it holds {kind!r} where pieces were expected")


def mark_piece(piece: Any, saved_usd: Decimal | None = None, *, info: bool = True) -> Any:
    """The piece as one of a kept answer. `info` False leaves out what the model costs: the answer's price is known."""
    if isinstance(piece, Start):
        served = piece.served or Served("")
        changes: dict[str, Any] = {} if info else {"info": None, "output": None}
        marked = msgspec.structs.replace(served, cached=True, saved_usd=saved_usd, **changes)
        return msgspec.structs.replace(piece, served=marked)
    if isinstance(piece, ForwardedPiece) and any(isinstance(one, Start) for one in piece.pieces):
        own = tuple(mark_piece(one, saved_usd, info=info) for one in piece.pieces)
        return msgspec.structs.replace(piece, pieces=own)
    return piece


def size_of(piece: Any) -> int:
    """About how many bytes a piece takes; what is neither text nor data of a provider is seldom large."""
    if isinstance(piece, ForwardedPiece):
        return 150 + len(piece.data)
    if isinstance(piece, TextPiece):
        return 100 + len(piece.text)
    if isinstance(piece, ToolCallPiece):
        return 200 + len(piece.arguments)
    if isinstance(piece, ThinkingPiece):
        return 200 + len(piece.thinking) + len(piece.encrypted or "")
    if isinstance(piece, WholePart):
        return 200 + len(_encode(piece.part))
    return 300


def _numbered(pieces: Sequence[Piece], saved_usd: Decimal | None) -> list[tuple[int, Piece]]:
    return [(_number(one), mark_piece(one, saved_usd, info=False)) for one in pieces]


def _number(piece: object) -> int:
    number = _NUMBER.get(type(piece))
    if number is None:
        raise TypeError(f"a {type(piece).__name__} is no piece of a model's stream")
    return number


def _pieces(numbered: list[tuple[int, msgspec.Raw]], output: Any) -> list[Piece]:
    pieces = [_DECODE[number](raw) for number, raw in numbered]
    if output is not None:
        for place, piece in enumerate(pieces):
            if isinstance(piece, Start) and piece.served is not None:
                served = msgspec.structs.replace(piece.served, output=output)
                pieces[place] = msgspec.structs.replace(piece, served=served)
    return pieces
