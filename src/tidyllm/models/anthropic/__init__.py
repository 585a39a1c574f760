"""The format of `POST /v1/messages`, spoken by Anthropic and by servers that copy it.

What is normalised and what cannot cross to other formats stands in `docs/wire/anthropic.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidyllm.errors import ModelError, TidyllmError
from tidyllm.models.anthropic.count_tokens import (
    decode_count_tokens,
    decode_count_tokens_request,
    encode_count_tokens,
    encode_count_tokens_response,
)
from tidyllm.models.anthropic.decode_request import decode_request
from tidyllm.models.anthropic.encode_request import DEFAULT_MAX_TOKENS, encode_request
from tidyllm.models.anthropic.errors import decode_error, encode_error
from tidyllm.models.anthropic.response import decode_response, encode_response
from tidyllm.models.anthropic.stream_decoder import AnthropicStreamDecoder
from tidyllm.models.anthropic.stream_encoder import AnthropicStreamEncoder
from tidyllm.models.anthropic.usage import decode_usage
from tidyllm.models.format import Encoded, StreamDecoder, StreamEncoder
from tidyllm.models.request import Request
from tidyllm.models.response import Response, Usage

__all__ = [
    "DEFAULT_MAX_TOKENS",
    "Anthropic",
    "anthropic",
    "decode_count_tokens",
    "decode_count_tokens_request",
    "encode_count_tokens",
    "encode_count_tokens_response",
]


class Anthropic:
    """Implements `WireFormat`; each method's words stand there."""

    name = "anthropic"

    def encode_request(self, request: Request, *, stream: bool, lenient: bool = False) -> Encoded:
        return encode_request(request, stream=stream, lenient=lenient)

    def decode_response(self, body: dict[str, Any]) -> Response:
        return decode_response(body)

    def decode_usage(self, raw: dict[str, Any]) -> Usage:
        """Usage from a `usage` object alone, for answers that are passed on."""
        return decode_usage(raw)

    def stream_decoder(self) -> StreamDecoder:
        return AnthropicStreamDecoder()

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
        return decode_error(status, headers, body)

    def decode_request(self, body: dict[str, Any]) -> tuple[Request, bool]:
        return decode_request(body)

    def encode_response(self, response: Response) -> dict[str, Any]:
        return encode_response(response)

    def stream_encoder(self, request: Request) -> StreamEncoder:
        return AnthropicStreamEncoder(request)

    def encode_error(self, error: TidyllmError) -> tuple[int, dict[str, Any]]:
        return encode_error(error)


anthropic = Anthropic()
"""The one object of this format; it has no state."""
