"""Bedrock's Converse and ConverseStream, towards AWS only: no caller of a gateway speaks it.

What is normalised, where calls go and how they are signed stands in `docs/wire/bedrock.md`.
"""

from __future__ import annotations

from tidyllm.models.bedrock.encode_request import encode_request
from tidyllm.models.bedrock.errors import decode_error
from tidyllm.models.bedrock.eventstream import FrameParser
from tidyllm.models.bedrock.fields import FORMAT
from tidyllm.models.bedrock.response import decode_response
from tidyllm.models.bedrock.stream_decoder import BedrockStreamDecoder
from tidyllm.models.pricing_usage import bedrock_usage

__all__ = ["Bedrock", "FrameParser", "bedrock"]


class Bedrock:
    """Implements `ProviderFormat`; each method's words stand there. Events are frames: see `eventstream.py`."""

    name = FORMAT
    encode_request = staticmethod(encode_request)
    decode_response = staticmethod(decode_response)
    decode_usage = staticmethod(bedrock_usage)
    stream_decoder = BedrockStreamDecoder
    decode_error = staticmethod(decode_error)


bedrock = Bedrock()
"""The one object of this format; it has no state."""
