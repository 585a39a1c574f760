"""`POST /v1/messages/count_tokens`: how many tokens a prompt has. Pure; it sends nothing."""

from __future__ import annotations

from typing import Any

from tidyllm.errors import BadAnswer
from tidyllm.models.anthropic.decode_request import decode_turns
from tidyllm.models.anthropic.encode_request import encode_request
from tidyllm.models.anthropic.errors import is_error, stream_error
from tidyllm.models.checks import is_count
from tidyllm.models.format import Encoded
from tidyllm.models.request import Request

__all__ = [
    "decode_count_tokens",
    "decode_count_tokens_request",
    "encode_count_tokens",
    "encode_count_tokens_response",
]

_NOT_COUNTED = ("max_tokens", "metadata", "stop_sequences", "stream", "temperature", "top_k", "top_p")
"""Fields of a call that this endpoint does not know: they do not change the prompt."""


def encode_count_tokens(request: Request, *, lenient: bool = False) -> Encoded:
    """The body that asks how many tokens this request's prompt has.

    :raises Unsupported: a field has no place in this format, unless `lenient`.
    """
    encoded = encode_request(request, stream=False, lenient=lenient)
    body = {key: value for key, value in encoded.body.items() if key not in _NOT_COUNTED}
    return Encoded(body, encoded.dropped)


def decode_count_tokens(body: dict[str, Any]) -> int:
    """The number of tokens in the answer.

    :raises BadAnswer: there is none.
    :raises ModelError: the body is an error.
    """
    if is_error(body):
        raise stream_error(body)
    tokens: object = body.get("input_tokens")
    if not is_count(tokens):
        raise BadAnswer("the answer has no number `input_tokens`; expected a count of tokens.")
    return tokens


def decode_count_tokens_request(body: dict[str, Any]) -> Request:
    """A caller's question, as the request whose prompt is to be counted.

    :raises BadRequest: a field is missing or of a wrong type.
    """
    return decode_turns(body, None)


def encode_count_tokens_response(tokens: int) -> dict[str, Any]:
    """The answer to a caller's question."""
    return {"input_tokens": tokens}
