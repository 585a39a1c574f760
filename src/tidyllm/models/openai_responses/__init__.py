"""OpenAI's Responses format (`POST /v1/responses`), in both directions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidyllm.errors import ModelError, TidyllmError
from tidyllm.models.format import Encoded, StreamDecoder, StreamEncoder
from tidyllm.models.openai_responses.decode_request import decode_request
from tidyllm.models.openai_responses.decode_response import decode_response
from tidyllm.models.openai_responses.encode_request import encode_request
from tidyllm.models.openai_responses.encode_response import encode_response
from tidyllm.models.openai_responses.errors import decode_error, encode_error
from tidyllm.models.openai_responses.marks import FORMAT
from tidyllm.models.openai_responses.stream_decoder import Decoder
from tidyllm.models.openai_responses.stream_encoder import Encoder
from tidyllm.models.openai_responses.usage import decode_usage
from tidyllm.models.request import Request
from tidyllm.models.response import Response, Usage

__all__ = ["OpenAIResponses", "openai_responses"]


class OpenAIResponses:
    """The Responses format as a `WireFormat`."""

    name = FORMAT

    def encode_request(self, request: Request, *, stream: bool, lenient: bool = False) -> Encoded:
        return encode_request(request, stream=stream, lenient=lenient)

    def decode_response(self, body: dict[str, Any]) -> Response:
        return decode_response(body)

    def decode_usage(self, usage: dict[str, Any]) -> Usage:
        """The object `usage` of an answer."""
        return decode_usage(usage)

    def stream_decoder(self) -> StreamDecoder:
        return Decoder()

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
        return decode_error(status, headers, body)

    def decode_request(self, body: dict[str, Any]) -> tuple[Request, bool]:
        return decode_request(body)

    def encode_response(self, response: Response) -> dict[str, Any]:
        return encode_response(response)

    def stream_encoder(self, request: Request) -> StreamEncoder:
        return Encoder()

    def encode_error(self, error: TidyllmError) -> tuple[int, dict[str, Any]]:
        return encode_error(error)


openai_responses = OpenAIResponses()
