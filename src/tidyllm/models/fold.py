"""Pieces of a stream to a `Response` and back. It knows nothing of any wire format.

What pieces do not carry (provider, request id, cost, dropped fields, the asked output) comes from `base`; a
stream has no `raw`. Adding a piece takes constant time, and `response()` as long as joining what came so far.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias, TypeVar, cast

import msgspec

from tidyllm.errors import BadAnswer
from tidyllm.models.message import Part, Text, Thinking, ToolCall
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
from tidyllm.models.response import Response, Usage

__all__ = ["Fold", "fold", "unfold"]


class _Texts:
    """A text under construction."""

    __slots__ = ("extra", "texts")
    part_type = Text

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.extra: dict[str, Any] = {}

    @classmethod
    def of(cls, held: object) -> _Texts | None:
        """An empty one for None, one that goes on with a whole `Text`, or None for another kind."""
        part = cls()
        if isinstance(held, Text):
            part.texts.append(held.text)
            _merge(part.extra, held.extra)
        elif held is not None:
            return None
        return part

    def finished(self) -> Part:
        return Text(text="".join(self.texts), extra=_owned(self.extra))


class _Thoughts:
    """A thinking part under construction."""

    __slots__ = ("encrypted", "extra", "id", "signature", "texts")
    part_type = Thinking

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.signature: str | None = None
        self.encrypted: str | None = None
        self.id: str | None = None
        self.extra: dict[str, Any] = {}

    @classmethod
    def of(cls, held: object) -> _Thoughts | None:
        part = cls()
        if isinstance(held, Thinking):
            part.add(ThinkingPiece(held.text, 0, held.signature, held.encrypted, held.id, held.extra))
        elif held is not None:
            return None
        return part

    def add(self, piece: ThinkingPiece) -> None:
        self.texts.append(piece.thinking)
        if piece.signature is not None:
            self.signature = piece.signature
        if piece.encrypted is not None:
            self.encrypted = piece.encrypted
        if piece.id is not None:
            self.id = piece.id
        if piece.extra:
            _merge(self.extra, piece.extra)

    def finished(self) -> Part:
        return Thinking(
            text="".join(self.texts),
            signature=self.signature,
            encrypted=self.encrypted,
            id=self.id,
            extra=_owned(self.extra),
        )


class _Call:
    """A tool call under construction."""

    __slots__ = ("arguments", "extra", "id", "name")
    part_type = ToolCall

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []
        self.extra: dict[str, Any] = {}

    @classmethod
    def of(cls, held: object) -> _Call | None:
        part = cls()
        if isinstance(held, ToolCall):
            part.add(ToolCallPiece(0, held.id, held.name, held.raw_arguments, held.extra))
        elif held is not None:
            return None
        return part

    def add(self, piece: ToolCallPiece) -> None:
        self.id = self.id or piece.id
        self.name = self.name or piece.name
        self.arguments.append(piece.arguments)
        if piece.extra:
            _merge(self.extra, piece.extra)

    def finished(self) -> Part:
        return ToolCall.parse(self.id, self.name, "".join(self.arguments), _owned(self.extra))


_Building: TypeAlias = _Texts | _Thoughts | _Call
_B = TypeVar("_B", _Texts, _Thoughts, _Call)


class Fold:
    """The answer so far. `add` each piece as it comes; `response()` at any moment gives what came up to then.

    - Parts stand in the order of their index; texts of one index are joined.
    - `extra` is merged by key: lists add up, objects are merged by the same rule (down to 8 levels), a null
      never replaces a value, and anything else is replaced by the later one.
    - A tool call keeps the first id and name that are not empty; its arguments are parsed when asked for.
    - `signature`, `encrypted` and a thinking `id` are replaced by a later one that is not None.
    - A `WholePart` replaces whatever its index held.
    - Each known field of a later usage replaces the earlier one.

    `base` gives the fields to start from, which pieces then replace; its content is not used.
    """

    __slots__ = ("_base", "_extra", "_finish", "_parts", "_start", "_usage")

    def __init__(self, base: Response | None = None) -> None:
        self._base = Response() if base is None else base
        self._parts: dict[int, _Building | Part] = {}
        self._start: Start | None = None
        self._finish: Finish | None = None
        self._usage = self._base.usage
        self._extra: dict[str, Any] = {}

    @property
    def finished(self) -> bool:
        """Whether `Finish` came: without it the answer is not whole."""
        return self._finish is not None

    def add(self, piece: Piece) -> None:
        """Take in the next piece.

        :raises BadAnswer: a part goes on as another kind than it began.
        """
        kind = type(piece)
        if kind is TextPiece:  # the hot path: one dictionary look-up and one append
            piece = cast(TextPiece, piece)
            part = self._parts.get(piece.index)
            if type(part) is not _Texts:
                part = self._open(piece.index, part, _Texts)
            part.texts.append(piece.text)
            if piece.extra:
                _merge(part.extra, piece.extra)
        elif isinstance(piece, ToolCallPiece):
            part = self._parts.get(piece.index)
            if type(part) is not _Call:
                part = self._open(piece.index, part, _Call)
            part.add(piece)
        elif isinstance(piece, ThinkingPiece):
            part = self._parts.get(piece.index)
            if type(part) is not _Thoughts:
                part = self._open(piece.index, part, _Thoughts)
            part.add(piece)
        elif isinstance(piece, WholePart):
            self._parts[piece.index] = piece.part
        elif isinstance(piece, UsagePiece):
            self._usage = _later(self._usage, piece.usage)
        elif isinstance(piece, Start):
            self._start = piece
            _merge(self._extra, piece.extra)
        elif isinstance(piece, Finish):
            self._finish = piece
            _merge(self._extra, piece.extra)

    def response(self) -> Response:
        """What came so far. Later pieces do not change it."""
        base, start, finish = self._base, self._start, self._finish
        return msgspec.structs.replace(
            base,
            content=tuple(_finished(self._parts[index]) for index in sorted(self._parts)),
            finish_reason=base.finish_reason if finish is None else finish.finish_reason,
            finish_reason_raw=base.finish_reason_raw if finish is None else finish.finish_reason_raw,
            usage=self._usage,
            model=(start.model if start else "") or base.model,
            id=(start.id if start else "") or base.id,
            format=(start.format if start else "") or base.format,
            extra={**base.extra, **_owned(self._extra)},
        )

    def _open(self, index: int, held: _Building | Part | None, kind: type[_B]) -> _B:
        """Begin the part `index`, or go on with one that came whole."""
        part = kind.of(held)
        if part is None:
            began = held.part_type if isinstance(held, _Texts | _Call | _Thoughts) else type(held)
            raise BadAnswer(
                f"part {index} of the stream began as {began.__name__} and goes on as "
                f"{kind.part_type.__name__}; all pieces of one part must be of one kind."
            )
        self._parts[index] = part
        return part


def fold(pieces: Iterable[Piece], base: Response | None = None) -> Response:
    """The answer that these pieces make up; see `Fold`.

    :raises BadAnswer: a part goes on as another kind than it began.
    """
    folded = Fold(base)
    for piece in pieces:
        folded.add(piece)
    return folded.response()


def unfold(response: Response) -> list[Piece]:
    """A whole answer as the pieces of a stream: `fold(unfold(r), base=r)` is `r`.

    A tool call made by hand without `raw_arguments` gets them as compact JSON. The pieces always end with
    `Finish`: unfold whole answers only.
    """
    pieces: list[Piece] = [Start(response.model, response.id, response.extra, format=response.format)]
    for index, part in enumerate(response.content):
        if isinstance(part, Text):
            pieces.append(TextPiece(part.text, index, part.extra))
        elif isinstance(part, Thinking):
            pieces.append(
                ThinkingPiece(part.text, index, part.signature, part.encrypted, part.id, part.extra),
            )
        elif isinstance(part, ToolCall):
            arguments = part.raw_arguments
            if not arguments and part.arguments:
                arguments = msgspec.json.encode(part.arguments).decode()
            pieces.append(ToolCallPiece(index, part.id, part.name, arguments, part.extra))
        else:
            pieces.append(WholePart(part, index))
    if response.usage != Usage():
        pieces.append(UsagePiece(response.usage))
    pieces.append(Finish(response.finish_reason, response.finish_reason_raw))
    return pieces


def _finished(part: _Building | Part) -> Part:
    return part.finished() if isinstance(part, _Texts | _Thoughts | _Call) else part


def _merge(into: dict[str, Any], more: dict[str, Any], levels: int = 8) -> None:
    """Merge `more` into `into`, whose containers belong to us: lists grow in place, in linear time."""
    for key, value in more.items():
        held = into.get(key)
        if isinstance(value, list) and isinstance(held, list):
            cast("list[Any]", held).extend(cast("list[Any]", value))
        elif isinstance(value, dict) and isinstance(held, dict) and levels:
            _merge(cast("dict[str, Any]", held), cast("dict[str, Any]", value), levels - 1)
        elif value is not None or held is None:
            into[key] = _owned(value, levels)


def _owned(value: Any, levels: int = 8) -> Any:
    """A copy of what `_merge` may change: objects and lists, but not without end."""
    if isinstance(value, dict) and levels:
        return {key: _owned(item, levels - 1) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return list(cast("list[Any]", value))
    return cast(Any, value)


def _later(earlier: Usage, later: Usage) -> Usage:
    """Usage with each field that `later` knows; `raw` is merged by key the same way."""

    def pick(new: int | None, old: int | None) -> int | None:
        return old if new is None else new

    return Usage(
        input_tokens=pick(later.input_tokens, earlier.input_tokens),
        output_tokens=pick(later.output_tokens, earlier.output_tokens),
        cache_read_tokens=pick(later.cache_read_tokens, earlier.cache_read_tokens),
        cache_write_5m_tokens=pick(later.cache_write_5m_tokens, earlier.cache_write_5m_tokens),
        cache_write_1h_tokens=pick(later.cache_write_1h_tokens, earlier.cache_write_1h_tokens),
        reasoning_tokens=pick(later.reasoning_tokens, earlier.reasoning_tokens),
        audio_input_tokens=pick(later.audio_input_tokens, earlier.audio_input_tokens),
        audio_output_tokens=pick(later.audio_output_tokens, earlier.audio_output_tokens),
        audio_cache_read_tokens=pick(later.audio_cache_read_tokens, earlier.audio_cache_read_tokens),
        raw={**earlier.raw, **{k: v for k, v in later.raw.items() if v is not None or k not in earlier.raw}},
    )
