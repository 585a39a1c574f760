"""The format of `POST /v1/messages`, spoken by Anthropic and by servers that copy it.

What is normalised and what cannot cross to other formats stands in `docs/wire/anthropic.md`.
"""

from __future__ import annotations

from tidyllm.models.anthropic.count_tokens import (
    decode_count_tokens,
    decode_count_tokens_request,
    encode_count_tokens,
    encode_count_tokens_response,
)
from tidyllm.models.anthropic.decode_request import decode_request
from tidyllm.models.anthropic.encode_request import DEFAULT_MAX_TOKENS, encode_request
from tidyllm.models.anthropic.errors import decode_error, encode_error
from tidyllm.models.anthropic.fields import FORMAT
from tidyllm.models.anthropic.response import decode_response, encode_response
from tidyllm.models.anthropic.stream_decoder import AnthropicStreamDecoder
from tidyllm.models.anthropic.stream_encoder import AnthropicStreamEncoder
from tidyllm.models.anthropic.usage import decode_usage

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

    name = FORMAT
    encode_request = staticmethod(encode_request)
    decode_response = staticmethod(decode_response)
    stream_decoder = AnthropicStreamDecoder
    decode_usage = staticmethod(decode_usage)
    decode_error = staticmethod(decode_error)
    decode_request = staticmethod(decode_request)
    encode_response = staticmethod(encode_response)
    stream_encoder = AnthropicStreamEncoder
    encode_error = staticmethod(encode_error)


anthropic = Anthropic()
"""The one object of this format; it has no state."""
