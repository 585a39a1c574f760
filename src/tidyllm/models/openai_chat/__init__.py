"""The format of OpenAI's chat completions, which most servers of models speak too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidyllm.errors import ModelError, TidyllmError
from tidyllm.models.format import Encoded
from tidyllm.models.openai_chat.decode_request import decode_request
from tidyllm.models.openai_chat.decode_response import decode_response
from tidyllm.models.openai_chat.encode_request import encode_request
from tidyllm.models.openai_chat.encode_response import encode_response
from tidyllm.models.openai_chat.errors import decode_error, encode_error
from tidyllm.models.openai_chat.marks import FORMAT
from tidyllm.models.openai_chat.stream_decoder import ChatStreamDecoder
from tidyllm.models.openai_chat.stream_encoder import ChatStreamEncoder
from tidyllm.models.openai_chat.usage import decode_usage
from tidyllm.models.request import Request
from tidyllm.models.response import Response, Usage

__all__ = ["OpenAIChat", "openai_chat"]


class OpenAIChat:
    """`POST /v1/chat/completions`, both directions."""

    @property
    def name(self) -> str:
        """`openai_chat`."""
        return FORMAT

    def encode_request(self, request: Request, *, stream: bool, lenient: bool = False) -> Encoded:
        return encode_request(request, stream=stream, lenient=lenient)

    def decode_response(self, body: dict[str, Any]) -> Response:
        return decode_response(body)

    def stream_decoder(self) -> ChatStreamDecoder:
        return ChatStreamDecoder()

    def decode_usage(self, raw: dict[str, Any]) -> Usage:
        return decode_usage(raw)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
        return decode_error(status, headers, body)

    def decode_request(self, body: dict[str, Any]) -> tuple[Request, bool]:
        return decode_request(body)

    def encode_response(self, response: Response) -> dict[str, Any]:
        return encode_response(response)

    def stream_encoder(self, request: Request) -> ChatStreamEncoder:
        return ChatStreamEncoder(request)

    def encode_error(self, error: TidyllmError) -> tuple[int, dict[str, Any]]:
        return encode_error(error)


openai_chat = OpenAIChat()
