"""OpenAI's Responses format, `POST /v1/responses`.

What is normalised and what cannot cross to other formats stands in `docs/wire/openai_responses.md`.
"""

from __future__ import annotations

from tidyllm.models.openai_responses.decode_request import decode_request
from tidyllm.models.openai_responses.decode_response import decode_response
from tidyllm.models.openai_responses.encode_request import encode_request
from tidyllm.models.openai_responses.encode_response import encode_response
from tidyllm.models.openai_responses.errors import decode_error, encode_error
from tidyllm.models.openai_responses.marks import FORMAT
from tidyllm.models.openai_responses.stream_decoder import ResponsesStreamDecoder
from tidyllm.models.openai_responses.stream_encoder import ResponsesStreamEncoder
from tidyllm.models.openai_responses.usage import decode_usage

__all__ = ["OpenAIResponses", "openai_responses"]


class OpenAIResponses:
    """Implements `WireFormat`; each method's words stand there."""

    name = FORMAT
    encode_request = staticmethod(encode_request)
    decode_response = staticmethod(decode_response)
    stream_decoder = ResponsesStreamDecoder
    decode_usage = staticmethod(decode_usage)
    decode_error = staticmethod(decode_error)
    decode_request = staticmethod(decode_request)
    encode_response = staticmethod(encode_response)
    stream_encoder = ResponsesStreamEncoder
    encode_error = staticmethod(encode_error)


openai_responses = OpenAIResponses()
"""The one object of this format; it has no state."""
