"""The format of OpenAI's chat completions, which most servers of models speak too.

What is normalised and what cannot cross to other formats stands in `docs/wire/openai_chat.md`.
"""

from __future__ import annotations

from tidyllm.models.openai_chat.decode_request import decode_request
from tidyllm.models.openai_chat.decode_response import decode_response
from tidyllm.models.openai_chat.encode_request import encode_request
from tidyllm.models.openai_chat.encode_response import encode_response
from tidyllm.models.openai_chat.errors import decode_error, encode_error
from tidyllm.models.openai_chat.marks import FORMAT
from tidyllm.models.openai_chat.stream_decoder import ChatStreamDecoder
from tidyllm.models.openai_chat.stream_encoder import ChatStreamEncoder
from tidyllm.models.openai_chat.usage import decode_usage

__all__ = ["OpenAIChat", "openai_chat"]


class OpenAIChat:
    """Implements `WireFormat`; each method's words stand there."""

    name = FORMAT
    encode_request = staticmethod(encode_request)
    decode_response = staticmethod(decode_response)
    stream_decoder = ChatStreamDecoder
    decode_usage = staticmethod(decode_usage)
    decode_error = staticmethod(decode_error)
    decode_request = staticmethod(decode_request)
    encode_response = staticmethod(encode_response)
    stream_encoder = ChatStreamEncoder
    encode_error = staticmethod(encode_error)


openai_chat = OpenAIChat()
"""The one object of this format; it has no state."""
