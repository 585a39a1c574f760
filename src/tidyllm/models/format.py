"""What a wire format must be able to do. Pure: it turns bodies and events into our types and back; it sends nothing.

Each format (`openai_chat`, `openai_responses`, `anthropic`, `bedrock`, `ollama`) is a folder with `request.py`,
`response.py`, `stream.py`, `errors.py`, and one object in its `__init__`. The client uses the half that speaks to
providers (`ProviderFormat`), the gateway the half that speaks to callers as well (`WireFormat`; `bedrock` and `ollama`
have only the first). Crossing formats is decoding with one and encoding with another.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

import msgspec

from tidyllm.errors import ModelError, TidyllmError
from tidyllm.models.piece import Piece
from tidyllm.models.request import Request
from tidyllm.models.response import Response, Usage
from tidyllm.models.sse import Event

__all__ = ["NOTHING_ASKED", "Encoded", "ProviderFormat", "StreamDecoder", "StreamEncoder", "WireFormat"]


NOTHING_ASKED: Mapping[str, msgspec.Raw] = MappingProxyType({})
"""Where the caller's own fields are not known."""


class Encoded(msgspec.Struct, frozen=True):
    """A body ready to be sent; `dropped` names the fields left out because the format has no place for them."""

    body: dict[str, Any]
    dropped: tuple[str, ...] = ()


class StreamDecoder(Protocol):
    """Events of one stream in, pieces out. It holds the state of one answer."""

    @property
    def done(self) -> bool:
        """Whether the end marker of the format was seen. A stream that ends before it was cut."""
        ...

    def feed(self, event: Event) -> list[Piece]:
        """The pieces in one event, often none or one.

        :raises BadAnswer: the event is not what the format promises.
        :raises ModelError: the event is the provider's own error, mapped to its class.
        """
        ...


class StreamEncoder(Protocol):
    """Pieces of one stream in, bytes for the caller out, ready to be written."""

    def feed(self, piece: Piece) -> bytes:
        """The events for this piece, possibly none."""
        ...

    def end(self) -> bytes:
        """The closing events and the end marker. Call it only after `Finish`."""
        ...

    def error(self, error: TidyllmError, *, request_id: str | None = None) -> bytes:
        """An error event in this format. No end marker follows it.

        `request_id`: what the caller knows this request by; only Anthropic's format has a place for it.
        """
        ...


class ProviderFormat(Protocol):
    """One wire format, towards providers."""

    @property
    def name(self) -> str:
        """`openai_chat`, `openai_responses`, `anthropic`, `bedrock` or `ollama`."""
        ...

    def encode_request(self, request: Request, *, stream: bool, lenient: bool = False) -> Encoded:
        """:raises Unsupported: a field has no place in this format, unless `lenient` (then it is reported)."""
        ...

    def decode_response(self, body: dict[str, Any]) -> Response:
        """:raises BadAnswer: the body is not what the format promises.
        :raises ModelError: the body is the provider's own error (some send them with status 200)."""
        ...

    def stream_decoder(self) -> StreamDecoder: ...

    def decode_usage(self, raw: dict[str, Any]) -> Usage:
        """The usage object of this format alone, for answers that are passed on without being decoded."""
        ...

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
        """The most specific error for a status other than 2xx. Header names are lower case."""
        ...


class WireFormat(ProviderFormat, Protocol):
    """One wire format, both directions."""

    def decode_request(self, body: dict[str, Any]) -> tuple[Request, bool]:
        """The request, and whether it asks for a stream.

        :raises BadRequest: a field is missing or of a wrong type; `error.field` names it (`messages[0].role`)."""
        ...

    def encode_response(
        self, response: Response, asked: Mapping[str, msgspec.Raw] = NOTHING_ASKED
    ) -> dict[str, Any]:
        """The body of an answer. `asked`: the caller's own fields, for a format whose answers repeat them."""
        ...

    def stream_encoder(
        self, request: Request, asked: Mapping[str, msgspec.Raw] = NOTHING_ASKED
    ) -> StreamEncoder:
        """For one stream; `asked` as above."""
        ...

    def encode_error(self, error: TidyllmError) -> tuple[int, dict[str, Any]]:
        """HTTP status and body of an error in this format."""
        ...
