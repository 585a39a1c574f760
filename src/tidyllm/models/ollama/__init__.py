"""Ollama's own format, `POST /api/chat`, towards the server only: no caller of a gateway speaks it.

What cannot be sent, and how silent truncation is found out, stands in `docs/wire/ollama.md`.
"""

from __future__ import annotations

from tidyllm.models.ollama.encode_request import encode_request
from tidyllm.models.ollama.errors import decode_error
from tidyllm.models.ollama.fields import FORMAT
from tidyllm.models.ollama.response import decode_response, decode_usage
from tidyllm.models.ollama.stream_decoder import OllamaStreamDecoder
from tidyllm.models.ollama.window import MIN_NUM_CTX, check_read, context_for

__all__ = ["MIN_NUM_CTX", "Ollama", "check_read", "context_for", "ollama"]


class Ollama:
    """Implements `ProviderFormat`; each method's words stand there. Events are lines: see `models/jsonl.py`."""

    name = FORMAT
    encode_request = staticmethod(encode_request)
    decode_response = staticmethod(decode_response)
    decode_usage = staticmethod(decode_usage)
    stream_decoder = OllamaStreamDecoder
    decode_error = staticmethod(decode_error)


ollama = Ollama()
"""The one object of this format; it has no state."""
