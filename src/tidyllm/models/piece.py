"""The pieces of a streamed answer, the same for every provider. They know nothing of any wire format.

`index` numbers the parts of the answer from 0 in the order in which they began; pieces with one index are one part.
Every piece has `.text`, empty but for text, so that `print(piece.text, end="")` is enough for a reader of text.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar, TypeAlias

import msgspec

from tidyllm.models.message import Part
from tidyllm.models.model_info import ModelInfo
from tidyllm.models.response import FinishReason, Usage

__all__ = [
    "Finish",
    "Piece",
    "Served",
    "Start",
    "TextPiece",
    "ThinkingPiece",
    "ToolCallPiece",
    "UsagePiece",
    "WholePart",
]


class _Piece(msgspec.Struct, frozen=True, gc=False):
    is_head: ClassVar[bool] = False
    """Whether it holds nothing of the answer itself. Wrappers may start over while only such pieces have come."""

    @property
    def text(self) -> str:
        return ""


class Served(msgspec.Struct, frozen=True):
    """What no wire format tells of an answer, so that pieces can be joined by anyone: the model that sent the request
    knows it, while the step that joins the pieces may be another one (the first target of a fallback)."""

    provider: str
    info: ModelInfo | None = None
    """What it costs."""
    request_id: str | None = None
    dropped: tuple[str, ...] = ()
    output: Any = None
    cached: bool = False
    """As `Response.cached`."""
    saved_usd: Decimal | None = None
    """As `Response.saved_usd`; None also where the stream that is shared has not ended yet."""


class Start(_Piece, frozen=True):
    """The first piece: who answers. `extra` holds what the provider's first event says besides.

    `served` is put in by the model step; decoders leave it empty.
    """

    is_head: ClassVar[bool] = True

    model: str = ""
    id: str = ""
    extra: dict[str, Any] = {}
    served: Served | None = None
    format: str = ""
    """As `Response.format`."""


class TextPiece(msgspec.Struct, frozen=True, gc=False):
    """More text of part `index`. `extra` (citations, annotations) is merged into the part's by key; lists add up."""

    text: str
    index: int = 0
    extra: dict[str, Any] = {}

    @property
    def is_head(self) -> bool:
        return not self.text and not self.extra


class ThinkingPiece(_Piece, frozen=True):
    """More reasoning of part `index`; `signature` and `encrypted` come once, often at its end."""

    thinking: str = ""
    index: int = 0
    signature: str | None = None
    encrypted: str | None = None
    id: str | None = None
    extra: dict[str, Any] = {}


class ToolCallPiece(_Piece, frozen=True):
    """More of the tool call at part `index`: `id` and `name` come with its first piece; `arguments` add up."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    extra: dict[str, Any] = {}


class WholePart(_Piece, frozen=True):
    """A part that came all at once (provider-run tools, images): part `index` is exactly this."""

    part: Part
    index: int


class UsagePiece(_Piece, frozen=True):
    """Usage so far. A later one replaces the fields it knows."""

    is_head: ClassVar[bool] = True

    usage: Usage


class Finish(_Piece, frozen=True):
    """The answer is whole: only after this (or the end marker of the format) is a stream complete."""

    finish_reason: FinishReason
    finish_reason_raw: str | None = None
    extra: dict[str, Any] = {}


Piece: TypeAlias = Start | TextPiece | ThinkingPiece | ToolCallPiece | WholePart | UsagePiece | Finish
