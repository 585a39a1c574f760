"""What of an answer is being told at the moment: a part, and the message item around texts. It writes nothing."""

from __future__ import annotations

from typing import Any

from tidyllm.models.fold import fold
from tidyllm.models.message import Part
from tidyllm.models.piece import Piece

__all__ = ["OpenMessage", "OpenPart"]


class OpenPart:
    """A part that is being told. `pieces` are those it is made of so far."""

    __slots__ = ("content_index", "id", "kind", "output_index", "pieces", "told")

    def __init__(self, kind: type[Piece], output_index: int, id: str, content_index: int = 0) -> None:
        self.kind = kind
        self.output_index = output_index
        self.id = id
        self.content_index = content_index
        self.pieces: list[Piece] = []
        self.told = False  # whether some of its text was

    @property
    def item(self) -> dict[str, Any]:
        """Where its item stands."""
        return {"item_id": self.id, "output_index": self.output_index}

    @property
    def content(self) -> dict[str, Any]:
        """Where it stands in a message."""
        return {"content_index": self.content_index, **self.item}

    @property
    def summary(self) -> dict[str, Any]:
        """Where it stands in a reasoning item: its text is the one summary."""
        return {"summary_index": 0, **self.item}

    def whole(self) -> Part:
        """The part that the pieces make up."""
        return fold(self.pieces).content[0]


class OpenMessage:
    """A message item that is being told: several texts may stand in it."""

    __slots__ = ("content", "fields", "output_index")

    def __init__(self, output_index: int, id: str) -> None:
        self.output_index = output_index
        self.fields: dict[str, Any] = {"id": id}
        self.content: list[dict[str, Any]] = []
