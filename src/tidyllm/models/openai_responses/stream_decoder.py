"""Events of a stream to pieces. It knows the order in which this format tells things, and nothing of the
network.

Text, reasoning and arguments come in deltas; the event that ends an item holds the whole item. What was not
streamed (ids, encrypted reasoning, annotations, a last word that had no delta) is taken from there, so the
joined pieces equal the answer without a stream. Events that tell nothing new, and types we do not know, give
no piece.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tidyllm.errors import BadAnswer
from tidyllm.models.checks import Misfit, array, object_, text
from tidyllm.models.message import Opaque, Part, Text, Thinking, ToolCall
from tidyllm.models.openai_responses.decode_items import decode_item, item_type, reasoning_text
from tidyllm.models.openai_responses.decode_response import answer_extra, check_failure, incomplete_reason
from tidyllm.models.openai_responses.ending import Outcome, decode_ending
from tidyllm.models.openai_responses.errors import decode_failure
from tidyllm.models.openai_responses.marks import FORMAT
from tidyllm.models.openai_responses.usage import decode_usage
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
from tidyllm.models.sse import Event

__all__ = ["ResponsesStreamDecoder"]

_ENDS: Final = frozenset(
    {"response.completed", "response.incomplete", "response.failed", "response.cancelled"}
)
_BEGINS: Final = frozenset({"response.created", "response.queued", "response.in_progress"})


class _Event(msgspec.Struct, gc=False):
    """The fields that we read, of whatever event."""

    type: str = ""
    delta: Any = None
    output_index: int | None = None
    content_index: int | None = None
    summary_index: int | None = None
    item_id: str | None = None
    item: dict[str, Any] | None = None
    response: dict[str, Any] | None = None
    text: Any = None
    arguments: Any = None
    error: Any = None


_NOTHING: Final[dict[str, Any]] = {}

_decode = msgspec.json.Decoder(_Event).decode


class _Streamed:
    """One part as far as it was streamed."""

    __slots__ = ("index", "named", "place", "texts")

    def __init__(self, index: int) -> None:
        self.index = index
        self.texts: list[str] = []
        self.named = False  # a tool call whose id and name were told
        self.place: tuple[str, int] | None = None  # which part of a reasoning item came last

    def rest(self, whole: str) -> str:
        """What of the whole text is not streamed yet.

        :raises BadAnswer: some of the text was lost on the way.
        """
        so_far = "".join(self.texts)
        if whole.startswith(so_far):
            return whole[len(so_far) :]
        if len(whole) > len(so_far):
            raise BadAnswer(
                f"the stream lost text: the deltas of part {self.index} make {len(so_far)} characters, "
                f"which the whole text of {len(whole)} characters does not begin with."
            )
        return ""  # shortened afterwards (trimmed, or not repeated): what was streamed stands


class _Item:
    """One item of the answer under construction."""

    __slots__ = ("done", "id", "kind", "parts")

    def __init__(self, kind: str, id: object = None) -> None:
        self.kind = kind
        self.id = id if isinstance(id, str) else None
        self.parts: dict[int, _Streamed] = {}
        self.done = False


class ResponsesStreamDecoder:
    """The pieces of one answer."""

    def __init__(self) -> None:
        self._items: dict[int | str, _Item] = {}
        self._told: set[str] = set()  # ids of the items that ended
        self._next = 0
        self._started = False
        self._done = False
        self._outcome = Outcome()
        self._last: tuple[int | None, int | None, _Streamed | None] = (None, None, None)

    @property
    def done(self) -> bool:
        return self._done

    def feed(self, event: Event) -> list[Piece]:
        if (
            self._done or event.data == "[DONE]"
        ):  # some servers add the other format's end marker, which ends nothing
            return []
        try:
            told = _decode(event.data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise BadAnswer(
                f"an event of the stream cannot be read ({error}): {event.data[:80]!r}."
            ) from error
        kind = told.type or event.name
        if kind == "response.output_text.delta":  # the hot path
            held = self._last[2]
            if held is None or self._last[0] != told.output_index or self._last[1] != told.content_index:
                item, held = self._part(told, "message", told.content_index or 0)
                self._last = (told.output_index, told.content_index, held)
            else:
                item = None
            delta = told.delta
            if not isinstance(delta, str):
                raise BadAnswer(f"an event of the stream has no text in its delta: {event.data[:80]!r}.")
            extra = _identity(item) if item is not None and not held.texts else _NOTHING
            held.texts.append(delta)
            return [TextPiece(delta, held.index, extra)]
        if kind == "error" or (told.error and not kind):
            raise decode_failure(msgspec.json.decode(event.data))
        try:
            return self._other(kind, told)
        except Misfit as misfit:
            raise misfit.answer() from None

    def _other(self, kind: str, told: _Event) -> list[Piece]:
        match kind:
            case "response.function_call_arguments.delta":
                return self._arguments(told, text(told.delta, "delta"))
            case "response.function_call_arguments.done":
                held = self._part(told, "function_call", 0)[1]
                return self._arguments(told, held.rest(text(told.arguments, "arguments")))
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                return self._thought(kind, told)
            case "response.output_text.done":
                held = self._part(told, "message", told.content_index or 0)[1]
                rest = held.rest(text(told.text, "text"))
                held.texts.append(rest)
                return [TextPiece(rest, held.index)] if rest else []
            case "response.output_item.added":
                return self._added(told)
            case "response.output_item.done":
                item = object_(told.item if told.item is not None else ..., "item")
                return self._item_done(_key(told, item), item)
            case _ if kind in _BEGINS or kind in _ENDS:
                return self._lifecycle(kind, told)
            case "":
                raise BadAnswer("an event of the stream has no type.")
            case _:
                return []

    def _lifecycle(self, kind: str, told: _Event) -> list[Piece]:
        response = object_(told.response if told.response is not None else ..., "response")
        pieces: list[Piece] = []
        if not self._started:
            self._started = True
            model, id_ = response.get("model"), response.get("id")
            named = (model if isinstance(model, str) else "", id_ if isinstance(id_, str) else "")
            pieces.append(Start(*named, format=FORMAT))
        if kind not in _ENDS:
            return pieces
        if kind == "response.failed" or response.get("status") == "failed":
            self._done = True
            raise decode_failure(response)
        check_failure(response)
        output: object = response.get("output")
        for position, value in enumerate([] if output is None else array(output, "response.output")):
            item = object_(value, f"response.output[{position}]")
            id_: object = item.get("id")
            if isinstance(id_, str) and id_ in self._told:  # some servers give all items the same place
                continue
            pieces += self._item_done(id_ if isinstance(id_, str) and id_ in self._items else position, item)
        if response.get("usage") is not None:
            pieces.append(UsagePiece(decode_usage(response["usage"])))
        status = response.get("status") or kind.removeprefix("response.")
        finish, word = decode_ending(status, incomplete_reason(response), self._outcome)
        pieces.append(Finish(finish, word, answer_extra(response)))
        self._done = True
        return pieces

    def _added(self, told: _Event) -> list[Piece]:
        item = told.item
        if item is None:
            return []
        key, kind = _key(told, item), item_type(item, "item")
        known = self._items.get(key)
        if known is not None and not known.done:
            return []
        held = self._items[key] = _Item(kind, item.get("id"))
        self._last = (None, None, None)
        if kind == "message":
            return []  # its parts begin later, and take their numbers then
        part = self._begin(held, 0)
        if kind == "function_call":
            call_id, name = item.get("call_id"), item.get("name")
            if isinstance(call_id, str) and isinstance(name, str):
                part.named = True
                return [ToolCallPiece(part.index, call_id, name)]
        return []

    def _begin(self, item: _Item, number: int) -> _Streamed:
        part = item.parts.get(number)
        if part is None:
            part = item.parts[number] = _Streamed(self._next)
            self._next += 1
        return part

    def _part(self, told: _Event, kind: str, number: int) -> tuple[_Item, _Streamed]:
        """The item and part that a delta belongs to, begun where the server did not say so before."""
        key = _key(told, {})
        item = self._items.get(key)
        if item is None:
            item = self._items[key] = _Item(kind, told.item_id)
        if item.kind != kind:
            raise BadAnswer(
                f"the stream goes on with a {kind} at output {key!r}, which began as {item.kind}."
            )
        return item, self._begin(item, number)

    def _arguments(self, told: _Event, more: str) -> list[Piece]:
        part = self._part(told, "function_call", 0)[1]
        if not part.named:
            return []  # the item that ends it will tell all at once
        part.texts.append(more)
        return [ToolCallPiece(part.index, arguments=more)] if more else []

    def _thought(self, kind: str, told: _Event) -> list[Piece]:
        """Reasoning: the parts of one item are set apart by an empty line."""
        delta = text(told.delta, "delta")
        item, part = self._part(told, "reasoning", 0)
        summary = kind == "response.reasoning_summary_text.delta"
        place = ("summary", told.summary_index or 0) if summary else ("content", told.content_index or 0)
        if part.place is not None and part.place[0] != place[0]:
            return []  # the summary of what is told in full, or the other way round: one of them is enough
        more = f"\n\n{delta}" if part.place is not None and part.place != place else delta
        part.place = place
        part.texts.append(more)
        first = len(part.texts) == 1
        return [ThinkingPiece(more, part.index, id=item.id if first else None)]

    def _item_done(self, key: int | str, item: dict[str, Any]) -> list[Piece]:
        """What the whole item adds to its deltas."""
        kind = item_type(item, "item")
        held = self._items.get(key)
        if held is None:
            held = self._items[key] = _Item(kind, item.get("id"))
        if held.done:
            return []
        if held.kind != kind:
            raise BadAnswer(f"the stream ends a {kind} at output {key!r}, which began as {held.kind}.")
        held.done = True
        if isinstance(item.get("id"), str):
            self._told.add(item["id"])
        self._outcome.add(item)
        pieces: list[Piece] = []
        for number, part in enumerate(decode_item(item, "item")):
            pieces.append(_completion(part, self._begin(held, number), item))
        return pieces


def _identity(item: _Item) -> dict[str, Any]:
    """Which message a text belongs to, told with its first piece: an answer may hold several messages."""
    return {FORMAT: {"item": {"id": item.id}}} if item.id is not None else _NOTHING


def _completion(part: Part, held: _Streamed, item: dict[str, Any]) -> Piece:
    """What a whole part adds to what was streamed of it."""
    match part:
        case Text():
            return TextPiece(held.rest(part.text), held.index, part.extra)
        case Thinking():
            whole = part.text if held.place is None else reasoning_text(item, "item", (held.place[0],))
            rest = held.rest(whole)
            return ThinkingPiece(rest, held.index, part.signature, part.encrypted, part.id, part.extra)
        case ToolCall():
            names = ("", "") if held.named else (part.id, part.name)
            return ToolCallPiece(held.index, *names, held.rest(part.raw_arguments), part.extra)
        case _:
            assert isinstance(part, Opaque)
            return WholePart(part, held.index)


def _key(told: _Event, item: dict[str, Any]) -> int | str:
    """What an item is known by: its place in the output, or its id where a server leaves the place out."""
    if told.output_index is not None:
        return told.output_index
    id_ = told.item_id or item.get("id")
    return id_ if isinstance(id_, str) else 0
