"""Reasoning on its way to a caller of a stream. It knows neither chunks nor bytes."""

from __future__ import annotations

from typing import Any

import msgspec

from tidyllm.models.message import Thinking
from tidyllm.models.openai_chat.encode_response import detail_rest, detail_type
from tidyllm.models.openai_chat.marks import mark_of
from tidyllm.models.openai_chat.reasoning import DETAILS, detail_of, lent
from tidyllm.models.piece import ThinkingPiece

__all__ = ["ThoughtDeltas"]

_PLAIN = -1


class ThoughtDeltas:
    """Tells reasoning as plain text, and as details: only who reads these can send a signature back with its text.

    Reasoning that came as plain text in this format, which nobody signs, is told as such alone.
    """

    __slots__ = ("_next", "_numbers", "_unnamed")

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}  # part -> number of its entry in reasoning_details
        self._next = 0
        self._unnamed: set[int] = set()  # parts whose provider has not told their id

    def of(self, piece: ThinkingPiece) -> dict[str, Any]:
        """The delta for this piece; empty where it says nothing."""
        delta: dict[str, Any] = {"reasoning_content": piece.thinking} if piece.thinking else {}
        part = Thinking(
            text=piece.thinking,
            signature=piece.signature,
            encrypted=piece.encrypted,
            id=piece.id,
            extra=piece.extra,
        )
        number = self._numbers.get(piece.index)
        if number is None:
            detail = self._first(piece.index, part)
        elif number == _PLAIN:
            detail = None
        else:
            detail = detail_of(
                self._named_once(piece.index, part), {"type": detail_type(part), "index": number}
            )
        if detail is not None:
            delta[DETAILS] = [detail]
        return delta

    def _first(self, index: int, part: Thinking) -> dict[str, Any] | None:
        mark = mark_of(part.extra)
        if mark.get("field") not in {None, DETAILS}:
            self._numbers[index] = _PLAIN
            return None
        number = self._numbers[index] = self._next
        self._next += 1
        if "detail" in mark:
            return detail_of(part, detail_rest(part, number))
        if part.id is None:
            self._unnamed.add(index)
        return detail_of(lent(part), detail_rest(part, number))

    def _named_once(self, index: int, part: Thinking) -> Thinking:
        """Callers join the texts of an entry, and its id is one: it must not be told twice."""
        if part.id is None:
            return part
        if index in self._unnamed:
            self._unnamed.discard(index)
            return part
        return msgspec.structs.replace(part, id=None)
