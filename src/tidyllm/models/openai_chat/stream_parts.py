"""Which part of the answer a delta belongs to: reasoning and tool calls. It knows nothing of chunks and text."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from tidyllm.errors import BadAnswer
from tidyllm.models.checks import json_text, object_, text
from tidyllm.models.message import Opaque, Part, Thinking
from tidyllm.models.openai_chat.marks import marked, no_marks
from tidyllm.models.openai_chat.reasoning import DETAILS, PLAIN, is_details, read_detail
from tidyllm.models.openai_chat.tool_calls import is_hollow
from tidyllm.models.piece import Piece, ThinkingPiece, ToolCallPiece, WholePart

__all__ = ["Calls", "Places", "Thoughts"]


class Places:
    """Numbers the parts in the order in which they begin."""

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next = 0

    def take(self) -> int:
        """The next free place."""
        place = self._next
        self._next += 1
        return place


class Thoughts:
    """The reasoning of one stream. See `reasoning.py` for its fields."""

    FIELDS: ClassVar = frozenset({DETAILS, *PLAIN})

    __slots__ = ("_open", "_places")

    def __init__(self, places: Places) -> None:
        self._places = places
        self._open: dict[object, int] = {}

    def add(self, delta: dict[str, Any], pieces: list[Piece]) -> None:
        """The reasoning in one delta; the same words under two names count once."""
        told = False
        details: object = delta.get(DETAILS)
        if details and is_details(details):
            for detail in cast("list[dict[str, Any]]", details):
                part = read_detail(detail)
                told |= bool(part.text)
                self._piece((detail["type"], str(detail.get("index"))), part, pieces)
        if told:
            return
        for name in PLAIN:
            words: object = delta.get(name)
            if words and isinstance(words, str):
                self._piece("plain", Thinking(text=words, extra=marked({}, field=name)), pieces)
                return

    def add_part(self, part: Part, pieces: list[Piece]) -> None:
        """Reasoning that came as a part of the content, as Mistral sends it."""
        if isinstance(part, Thinking):
            self._piece("content", Thinking(text=part.text, extra=marked({}, field="content")), pieces)
        elif isinstance(part, Opaque):
            pieces.append(WholePart(part, self._places.take()))

    def _piece(self, key: object, part: Thinking, pieces: list[Piece]) -> None:
        place = self._open.get(key)
        extra: dict[str, Any] = {}
        if place is None:
            place = self._open[key] = self._places.take()
            extra = part.extra
        pieces.append(ThinkingPiece(part.text, place, part.signature, part.encrypted, part.id, extra))


class _Call:
    __slots__ = ("id", "named", "place")

    def __init__(self, place: int, id: str) -> None:
        self.place = place
        self.id = id
        self.named = False


class Calls:
    """The tool calls of one stream.

    An entry says by `index` which call it goes on with. Servers that leave the index out, or always send 0, show by a
    new id that another call begins.
    """

    __slots__ = ("_calls", "_last", "_places", "_seen")

    def __init__(self, places: Places) -> None:
        self._places = places
        self._calls: dict[object, _Call] = {}
        self._seen: list[_Call] = []
        self._last: object = None

    def add(self, entry: dict[str, Any], pieces: list[Piece]) -> None:
        """:raises Misfit: a field has a wrong type."""
        custom = entry.get("type") == "custom"
        inner: object = entry.get("custom" if custom else "function")
        inner = object_(inner, "choices[0].delta.tool_calls[].function") if inner is not None else {}
        raw = _arguments(inner.get("input" if custom else "arguments"))
        pieces += self._add(entry.get("index"), entry, _word(inner, "name"), raw)

    def add_old(self, inner: dict[str, Any], pieces: list[Piece]) -> None:
        """The one call of the forerunner of tools.

        :raises Misfit: a field has a wrong type.
        """
        if not is_hollow(inner):
            entry = {"type": "function_call"}
            pieces += self._add(
                "function_call", entry, _word(inner, "name"), _arguments(inner.get("arguments"))
            )

    def check(self) -> None:
        """:raises BadAnswer: a call never got a name: which tool is meant cannot be guessed."""
        for call in self._seen:
            if not call.named:
                raise BadAnswer(f"the stream ended and its tool call {call.id!r} has no name.")

    def _add(self, index: object, entry: dict[str, Any], name: str, raw: str) -> list[Piece]:
        id = _word(entry, "id")
        key = self._last if index is None else (index if isinstance(index, int | str) else str(index))
        call = self._calls.get(key)
        new = call is None or bool(id and call.id and id != call.id and name)
        if call is None or new:
            if index is None:
                key = len(self._seen)
            call = self._calls[key] = _Call(self._places.take(), id)
            self._seen.append(call)
        self._last = key
        first_name = "" if call.named else name
        first_id = id if new or not call.id else ""
        call.named = call.named or bool(name)
        call.id = call.id or id
        if not (new or first_name or first_id or raw):
            return []
        return [ToolCallPiece(call.place, first_id, first_name, raw, _extra(entry) if new else {})]


def _extra(entry: dict[str, Any]) -> dict[str, Any]:
    no_marks(entry, "choices[0].delta.tool_calls[]")
    known = {"id", "index", "type", "function", "custom"}
    rest = {key: value for key, value in entry.items() if key not in known and not is_hollow(value)}
    kind: object = entry.get("type")
    return marked(rest, type=kind if kind in ("custom", "function_call") else None)


def _arguments(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return json_text(value, "choices[0].delta.tool_calls[].function.arguments")


def _word(data: dict[str, Any], key: str) -> str:
    value: object = data.get(key)
    return "" if value is None else text(value, f"choices[0].delta.tool_calls[].{key}")
