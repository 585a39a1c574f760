"""One content block of a stream under way: its events to pieces. It knows nothing of the whole message."""

from __future__ import annotations

import base64
import binascii
from typing import Any, cast

import msgspec

from tidyllm.errors import BadAnswer
from tidyllm.models.bedrock.fields import FORMAT
from tidyllm.models.bedrock.response import CITED, OWN, decode_block
from tidyllm.models.checks import is_object, object_in, text_in
from tidyllm.models.message import Opaque
from tidyllm.models.piece import Piece, TextPiece, ThinkingPiece, ToolCallPiece, WholePart

__all__ = ["Block", "broken"]


class Block:
    """A block from its start to its end. Only those of tools and pictures have a start; a text begins with itself.

    What tools of the provider did is collected and comes out whole.
    """

    __slots__ = ("_ended", "_image", "_index", "_input", "_kind", "_said", "_whole")

    def __init__(self, index: int) -> None:
        self._index = index
        self._kind = ""
        self._said = False
        self._ended = False
        self._input: list[str] = []
        self._image = bytearray()
        self._whole: dict[str, Any] = {}
        """The start of a block that is collected: `{"toolUse": {...}}`."""

    @property
    def is_text(self) -> bool:
        """Whether it is a text that has begun."""
        return self._kind == "text"

    def begin(self, start: dict[str, Any]) -> list[Piece]:
        """The pieces in its start."""
        self._whole = start
        if is_object(call := start.get("toolUse")):
            if text_in(call, "type") in {"", "tool_use"}:
                self._kind = "call"
                return [ToolCallPiece(self._index, text_in(call, "toolUseId"), text_in(call, "name"))]
            self._kind = "toolUse"
        elif "toolResult" in start or "image" in start:
            self._kind = "toolResult" if "toolResult" in start else "image"
        return []

    def add(self, delta: dict[str, Any]) -> list[Piece]:
        """The pieces in one delta.

        :raises BadAnswer: it does not belong to what the block began as.
        """
        if isinstance(text := delta.get("text"), str):
            self._is("text")
            return [TextPiece(text, self._index)]
        if is_object(citation := delta.get("citation")):
            self._is("text")
            return [TextPiece("", self._index, {"citations": [citation], **CITED})]
        if is_object(thought := delta.get("reasoningContent")):
            self._is("thinking")
            return self._think(thought)
        if is_object(call := delta.get("toolUse")):
            return self._call(text_in(call, "input"))
        if isinstance(results := delta.get("toolResult"), list):
            self._is("toolResult")
            self._result(cast("list[object]", results))
        elif is_object(image := delta.get("image")):
            self._is("image")
            self._picture(image)
        return []

    def end(self) -> list[Piece]:
        """The pieces in its end; a second end says nothing."""
        if self._ended:
            return []
        self._ended = True
        if self._kind == "call" and not self._said:
            return [ToolCallPiece(self._index, arguments="{}")]  # as in a whole answer
        if self._kind == "toolUse":
            call = {**object_in(self._whole, "toolUse"), "input": self._json()}
            return [WholePart(Opaque(format=FORMAT, data={"toolUse": call}), self._index)]
        if self._kind == "toolResult":
            return [WholePart(Opaque(format=FORMAT, data=self._whole), self._index)]
        if self._kind == "image":
            return [WholePart(decode_block(self._whole, f"block {self._index}"), self._index)]
        return []

    def _is(self, kind: str) -> None:
        if self._ended or self._kind not in {"", kind}:
            state = "has ended" if self._ended else f"is a {self._kind}"
            raise broken(f"a {kind} for block {self._index}, which {state}")
        self._kind = kind

    def _think(self, thought: dict[str, Any]) -> list[Piece]:
        redacted = thought.get("redactedContent")
        signature = text_in(thought, "signature") or None
        if isinstance(redacted, str):
            return [ThinkingPiece("", self._index, encrypted=redacted, extra=dict(OWN))]
        return [ThinkingPiece(text_in(thought, "text"), self._index, signature, extra=dict(OWN))]

    def _call(self, bit: str) -> list[Piece]:
        if self._ended or self._kind not in {"call", "toolUse"}:
            raise broken(f"the input of a tool for block {self._index}, which never began as one")
        if self._kind == "toolUse":
            self._input.append(bit)
            return []
        if not bit:
            return []
        self._said = True
        return [ToolCallPiece(self._index, arguments=bit)]

    def _result(self, results: list[object]) -> None:
        held = object_in(self._whole, "toolResult")
        content = cast("list[dict[str, Any]]", held.get("content") or [])
        for one in results:
            if not is_object(one):
                raise broken(f"a result of a tool that is no object (block {self._index})")
            last = content[-1] if content else None
            if last is not None and set(last) == set(one) == {"text"}:
                content[-1] = {"text": text_in(last, "text") + text_in(one, "text")}
            else:
                content.append(one)
        self._whole = {"toolResult": {**held, "content": content}}

    def _picture(self, image: dict[str, Any]) -> None:
        held = object_in(self._whole, "image")
        data = text_in(object_in(image, "source"), "bytes")
        if not data:  # it stands elsewhere, or failed
            self._whole = {"image": {**held, **image}}
            return
        try:
            self._image += base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as exc:
            raise broken(f"a picture that is no base64 (block {self._index})") from exc
        self._whole = {"image": {**held, "source": {"bytes": base64.b64encode(self._image).decode()}}}

    def _json(self) -> Any:
        text = "".join(self._input)
        try:
            return msgspec.json.decode(text) if text.strip() else {}
        except (msgspec.DecodeError, RecursionError) as exc:
            raise broken(f"an input of block {self._index} that is no JSON ({text[:60]!r})") from exc


def broken(what: str) -> BadAnswer:
    """The error for a stream that does not keep to the format."""
    return BadAnswer(f"the stream holds {what}; expected the events of Bedrock's ConverseStream.")
