"""What an answer tells, in one shape for the official SDK's objects and for ours, so that they can be compared."""

from __future__ import annotations

from typing import Any

from openai.types.responses import Response as SDKResponse

from tidyllm.models.fold import fold
from tidyllm.models.openai_responses import openai_responses
from tidyllm.models.piece import Piece
from tidyllm.models.request import Request
from tidyllm.models.response import Response
from tidyllm.models.sse import EventParser

__all__ = ["decoded", "encoded_stream", "pieces_of", "told_by_sdk", "told_by_us"]


def told_by_sdk(answer: SDKResponse) -> dict[str, Any]:
    """What the SDK says of an answer."""
    reasoning = ""
    for item in answer.output:
        if item.type == "reasoning":
            texts = [part.text for part in item.content or []]
            texts = texts if any(texts) else [part.text for part in item.summary]
            reasoning += "\n\n".join(filter(None, texts))
    usage = answer.usage
    return {
        "id": answer.id,
        "model": answer.model,
        "text": answer.output_text,
        "reasoning": reasoning,
        "calls": [
            (item.call_id, item.name, item.arguments)
            for item in answer.output
            if item.type == "function_call"
        ],
        "usage": usage
        and {
            "input": usage.input_tokens,
            "output": usage.output_tokens,
            "cached": usage.input_tokens_details.cached_tokens,
            "reasoning": usage.output_tokens_details.reasoning_tokens,
        },
    }


def told_by_us(answer: Response) -> dict[str, Any]:
    """What we say of the same."""
    usage = answer.usage
    return {
        "id": answer.id,
        "model": answer.model,
        "text": answer.text,
        "reasoning": answer.reasoning,
        "calls": [(call.id, call.name, call.raw_arguments) for call in answer.tool_calls],
        "usage": None
        if usage.input_tokens is None
        else {
            "input": usage.input_tokens,
            "output": usage.output_tokens,
            "cached": usage.cache_read_tokens,
            "reasoning": usage.reasoning_tokens,
        },
    }


def pieces_of(body: bytes) -> list[Piece]:
    """The pieces of a whole stream, which must have come to its end."""
    parser, decoder = EventParser(), openai_responses.stream_decoder()
    pieces = [piece for event in [*parser.feed(body), *parser.close()] for piece in decoder.feed(event)]
    assert decoder.done
    return pieces


def decoded(body: bytes) -> Response:
    """The answer that a whole stream tells."""
    return fold(pieces_of(body))


def encoded_stream(pieces: list[Piece]) -> bytes:
    """The stream that tells these pieces to a caller."""
    encoder = openai_responses.stream_encoder(Request(""))
    return b"".join(encoder.feed(piece) for piece in pieces) + encoder.end()
