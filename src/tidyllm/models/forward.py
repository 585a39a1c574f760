"""A caller's own request, to be passed on with the least work. It knows which fields it must read, not what they mean.

The gateway hands a `Forward` to a model. A model that speaks the caller's format sends it on as it is but for the
model's name, and answers with `Forwarded`: the provider's bytes, nothing lost. Any other model decodes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tidyllm.models.piece import Piece
from tidyllm.models.request import Request
from tidyllm.models.response import Response

__all__ = ["LARGE_BYTES", "Forward", "Forwarded", "ForwardedPiece", "operation"]

LARGE_BYTES = 256 * 1024
"""What is larger is decoded and encoded in a thread: so much takes a few milliseconds, and few requests are longer."""


class Forward(msgspec.Struct, eq=False):
    """A request in the format named `format`; `fields` are its top-level fields, their values as they came.

    `decode` turns it into our `Request` (once, when a model of another format needs it); it raises `BadRequest`.
    `headers` are those of the caller that this format's providers understand (`anthropic-beta`, `idempotency-key`).
    """

    format: str
    fields: dict[str, msgspec.Raw]
    stream: bool
    decode: Callable[[], Request]
    headers: Mapping[str, str] = {}
    decoded: Request | None = None

    def request(self) -> Request:
        """This request in our types."""
        if self.decoded is None:
            self.decoded = self.decode()
        return self.decoded

    @property
    def is_large(self) -> bool:
        """Whether reading it in full takes long enough to hold up everyone else on the event loop."""
        return sum(map(len, self.fields.values())) > LARGE_BYTES

    def body(self, **changes: Any) -> bytes:
        """The JSON body, with some top-level fields replaced (None: left out)."""
        fields: dict[str, Any] = {**self.fields, **changes}
        return msgspec.json.encode({key: value for key, value in fields.items() if value is not None})


class Forwarded(Response, frozen=True):
    """An answer in the caller's own format: `body` is what the provider sent. `content` is not decoded."""

    body: bytes = b""
    content_type: str = "application/json"


class ForwardedPiece(msgspec.Struct, frozen=True, gc=False):
    """Whole events of a stream in the caller's own format, as the provider sent them."""

    data: bytes
    """Ready to be written to the caller; may hold several events."""
    pieces: tuple[Piece, ...] = ()
    """What was read out of them: usage, finish and start only."""
    is_head: bool = False
    """Whether they hold nothing of the answer itself, as the pieces of `models.piece` say it."""

    @property
    def text(self) -> str:
        return ""


def operation(x: object) -> str:
    """What a model is asked for, as traces call it."""
    return _OPERATIONS.get(x.format, "chat") if isinstance(x, Forward) else "chat"


_OPERATIONS = {"openai_embeddings": "embeddings", "anthropic_count_tokens": "count_tokens"}
