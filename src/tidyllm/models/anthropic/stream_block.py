"""One content block of a stream under way: its events to pieces. It knows nothing of the whole message."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from tidyllm.errors import BadAnswer
from tidyllm.models.checks import is_object, text_in
from tidyllm.models.message import Opaque
from tidyllm.models.piece import Piece, TextPiece, ThinkingPiece, ToolCallPiece, WholePart

__all__ = ["Block", "Delta", "JsonDelta", "TextDelta", "ThinkingDelta", "broken"]


class TextDelta(msgspec.Struct, tag="text_delta", tag_field="type", gc=False):
    """More text."""

    text: str


class ThinkingDelta(msgspec.Struct, tag="thinking_delta", tag_field="type", gc=False):
    """More reasoning. An estimate of tokens that may stand beside it is a hint for displays, and left out."""

    thinking: str


class JsonDelta(msgspec.Struct, tag="input_json_delta", tag_field="type", gc=False):
    """More of the input of a tool."""

    partial_json: str


Delta: TypeAlias = TextDelta | ThinkingDelta | JsonDelta

_PARTS = {
    "redacted_thinking": frozenset({"type", "data"}),
    "text": frozenset({"type", "text"}),
    "thinking": frozenset({"type", "thinking", "signature"}),
    "tool_use": frozenset({"type", "id", "name", "input"}),
}
"""The blocks that become parts of ours, with the fields that the part has a place for."""

_COMMON = frozenset({"input_json_delta", "signature_delta", "text_delta", "thinking_delta"})


class Block:
    """A block from its start to its end. One that we have no part for is collected and comes out whole."""

    __slots__ = ("_data", "_ended", "_index", "_json", "_known", "_said", "_type")

    def __init__(self, index: int, data: dict[str, Any]) -> None:
        self._index = index
        self._type = text_in(data, "type")
        self._data = dict(data)
        self._known = self._type in _PARTS
        self._json: list[str] = []  # the input of a tool that the provider runs
        self._said = False  # arguments, or a signature, came
        self._ended = False

    def begin(self) -> list[Piece]:
        """The pieces in the start of the block."""
        data, index = self._data, self._index
        if not self._known:
            return []
        known = _PARTS[self._type]
        extra = {key: value for key, value in data.items() if key not in known and value not in (None, [])}
        match self._type:
            case "text":
                return [TextPiece(text_in(data, "text"), index, extra)]
            case "tool_use":
                return [ToolCallPiece(index, text_in(data, "id"), text_in(data, "name"), "", extra)]
            case "thinking":
                signature = text_in(data, "signature") or None
                self._said = signature is not None
                return [ThinkingPiece(text_in(data, "thinking"), index, signature, extra=extra)]
            case _:
                return [ThinkingPiece("", index, encrypted=text_in(data, "data"), extra=extra)]

    def add(self, delta: Delta) -> list[Piece]:
        """The pieces in one of the frequent deltas: the hot path."""
        if isinstance(delta, TextDelta):
            if self._type == "text":
                return [TextPiece(delta.text, self._index)]
            return self._collect("text_delta", {"text": delta.text})
        if isinstance(delta, JsonDelta):
            if self._type != "tool_use":
                return self._collect("input_json_delta", {"partial_json": delta.partial_json})
            if not delta.partial_json:  # each call begins with an empty one
                return []
            self._said = True
            return [ToolCallPiece(self._index, arguments=delta.partial_json)]
        if self._type == "thinking":
            return [ThinkingPiece(delta.thinking, self._index)]
        return self._collect("thinking_delta", {"thinking": delta.thinking})

    def add_other(self, delta: dict[str, Any]) -> list[Piece]:
        """The pieces in any other delta."""
        kind = text_in(delta, "type")
        if kind == "citations_delta" and self._type == "text":
            return [TextPiece("", self._index, {"citations": [delta.get("citation")]})]
        if kind == "signature_delta" and self._type == "thinking":
            self._said = True
            return [ThinkingPiece("", self._index, text_in(delta, "signature"))]
        return self._collect(kind, {key: value for key, value in delta.items() if key != "type"})

    def end(self) -> list[Piece]:
        """The pieces in the end of the block; a second end says nothing."""
        if self._ended:
            return []
        self._ended = True
        if self._type == "tool_use" and not self._said:
            # Without arguments the text is that of a whole answer, {}. Some servers give all at the start.
            given: object = self._data.get("input")
            text = msgspec.json.encode(given if is_object(given) else {}).decode()
            return [ToolCallPiece(self._index, arguments=text)]
        if self._type == "thinking" and not self._said:
            return [ThinkingPiece("", self._index, "")]
        return [] if self._known else [self._whole()]

    def _collect(self, kind: str, more: dict[str, Any]) -> list[Piece]:
        """Take a delta into a block that is kept whole. Unknown deltas of known blocks are left out."""
        if self._known and kind in _COMMON:
            raise broken(f"a {kind} for block {self._index}, which is a {self._type!r}")
        if self._known:
            return []
        if self._ended:
            raise broken(f"a {kind} for block {self._index} after its end")
        if isinstance(partial := more.get("partial_json"), str):
            self._json.append(partial)
            return []
        for key, value in more.items():
            held: object = self._data.get(key)
            self._data[key] = held + value if isinstance(held, str) and isinstance(value, str) else value
        return []

    def _whole(self) -> WholePart:
        if text := "".join(self._json):
            try:
                self._data["input"] = msgspec.json.decode(text)
            except (msgspec.DecodeError, RecursionError) as exc:
                raise broken(f"an input of block {self._index} that is no JSON ({text[:60]!r})") from exc
        return WholePart(Opaque(format="anthropic", data=self._data), self._index)


def broken(what: str) -> BadAnswer:
    """The error for a stream that does not keep to the format."""
    return BadAnswer(f"the stream holds {what}; expected the events of Anthropic's messages.")
