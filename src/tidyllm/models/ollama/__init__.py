"""Ollama's own format, `POST /api/chat`, towards the server only: no caller of a gateway speaks it.

What cannot be sent, and how silent truncation is found out, stands in `docs/wire/ollama.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidyllm.errors import ModelError
from tidyllm.models.format import Encoded, StreamDecoder
from tidyllm.models.ollama.encode_request import encode_request
from tidyllm.models.ollama.errors import decode_error
from tidyllm.models.ollama.response import decode_response, decode_usage
from tidyllm.models.ollama.stream_decoder import OllamaStreamDecoder
from tidyllm.models.ollama.window import MIN_NUM_CTX, check_read, context_for
from tidyllm.models.request import Request
from tidyllm.models.response import Response, Usage

__all__ = ["MIN_NUM_CTX", "Ollama", "check_read", "context_for", "ollama"]


class Ollama:
    """Implements `ProviderFormat`; each method's words stand there. Events are lines: see `models/jsonl.py`."""

    name = "ollama"

    def encode_request(self, request: Request, *, stream: bool, lenient: bool = False) -> Encoded:
        return encode_request(request, stream=stream, lenient=lenient)

    def decode_response(self, body: dict[str, Any]) -> Response:
        return decode_response(body)

    def decode_usage(self, raw: dict[str, Any]) -> Usage:
        return decode_usage(raw)

    def stream_decoder(self) -> StreamDecoder:
        return OllamaStreamDecoder()

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
        return decode_error(status, headers, body)


ollama = Ollama()
"""The one object of this format; it has no state."""
