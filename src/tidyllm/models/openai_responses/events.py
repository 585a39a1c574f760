"""The events of a stream as bytes, numbered from 0. It knows nothing of what they tell."""

from __future__ import annotations

from typing import Any, Final

import msgspec

__all__ = ["Events"]

_encode: Final = msgspec.json.Encoder().encode
_NO_LOGPROBS: Final[list[Any]] = []


class _TextDelta(msgspec.Struct, gc=False):
    """The event that makes up nearly all of a stream: typed, because it is then written twice as fast."""

    content_index: int
    delta: str
    item_id: str
    output_index: int
    sequence_number: int
    logprobs: list[Any] = _NO_LOGPROBS
    type: str = "response.output_text.delta"


class Events:
    """Writes the events of one answer; `count` is how many were written."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def write(self, kind: str, **fields: Any) -> bytes:
        """The event `kind`, ready to be sent."""
        body = {"type": kind, **fields, "sequence_number": self.count}
        self.count += 1
        return b"event: " + kind.encode() + b"\ndata: " + _encode(body) + b"\n\n"

    def text(self, delta: str, content_index: int, item_id: str, output_index: int) -> bytes:
        """More text of a part."""
        told = _TextDelta(content_index, delta, item_id, output_index, self.count)
        self.count += 1
        return b"event: response.output_text.delta\ndata: " + _encode(told) + b"\n\n"
