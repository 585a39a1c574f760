"""What the gateway must know of a request before it passes it on, per format: enough to refuse nonsense by name.

The fields that are not listed here are none of its business: they are passed on as they came.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from tidyllm.errors import BadRequest, Unsupported
from tidyllm.models.formats import wire_format
from tidyllm.models.forward import Forward
from tidyllm.models.request import Request

__all__ = ["PATHS", "parse"]

Number = float | None
Positive = Annotated[int, msgspec.Meta(ge=1)] | None
Tokens = Annotated[int, msgspec.Meta(ge=0)] | None


class _Part(msgspec.Struct):
    type: str


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None


class _Chat(msgspec.Struct):
    model: str
    messages: Annotated[list[_Message], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    temperature: Number = None
    top_p: Number = None
    max_tokens: Positive = None
    max_completion_tokens: Positive = None
    n: Positive = None
    tools: list[dict[str, msgspec.Raw]] | None = None
    stream_options: dict[str, msgspec.Raw] | None = None


class _Item(msgspec.Struct):
    type: str | None = None
    role: str | None = None


class _Responses(msgspec.Struct):
    model: str
    input: str | list[_Item]
    stream: bool | None = None
    instructions: str | list[_Item] | None = None
    temperature: Number = None
    top_p: Number = None
    max_output_tokens: Positive = None
    tools: list[dict[str, msgspec.Raw]] | None = None


class _Block(msgspec.Struct):
    role: str
    content: str | list[_Part]


class _CountTokens(msgspec.Struct):
    model: str
    messages: Annotated[list[_Block], msgspec.Meta(min_length=1)]


class _Messages(_CountTokens, kw_only=True):
    max_tokens: Annotated[int, msgspec.Meta(ge=1)]
    stream: bool | None = None
    system: str | list[_Part] | None = None
    temperature: Number = None
    top_p: Number = None
    tools: list[dict[str, msgspec.Raw]] | None = None


class _Embeddings(msgspec.Struct):
    model: str
    input: str | list[str | int | list[int]]


_HEADS: Mapping[str, Any] = {
    name: msgspec.json.Decoder(head)
    for name, head in (
        ("openai_chat", _Chat),
        ("openai_responses", _Responses),
        ("anthropic", _Messages),
        ("anthropic_count_tokens", _CountTokens),
        ("openai_embeddings", _Embeddings),
    )
}
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])

PATHS: Mapping[str, str] = {
    "/v1/chat/completions": "openai_chat",
    "/v1/responses": "openai_responses",
    "/v1/messages": "anthropic",
    "/v1/messages/count_tokens": "anthropic_count_tokens",
    "/v1/embeddings": "openai_embeddings",
}
"""The format each path speaks."""

# Headers of the caller which mean something to the providers of the same format.
_PASSED_ON = ("anthropic-beta", "anthropic-version", "openai-beta", "idempotency-key", "x-stainless-helper-method")


def parse(format: str, body: bytes, headers: Mapping[str, str]) -> tuple[str, Forward]:
    """The model's name and the request, ready to be passed on.

    :raises BadRequest: it is not JSON, not an object, or a field is missing or of a wrong type; `field` names it.
    """
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"the body is not UTF-8: {error.reason} at byte {error.start}.") from error
    try:
        fields = _FIELDS.decode(body)
        head = _HEADS[format].decode(body)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error
    except msgspec.DecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}.") from error
    except RecursionError as error:
        raise BadRequest("the body is nested too deeply.") from error
    stream = bool(getattr(head, "stream", False))
    passed = {name: headers[name] for name in _PASSED_ON if name in headers}
    return head.model, Forward(format, fields, stream, lambda: _decode(format, fields), passed)


def _decode(format: str, fields: dict[str, msgspec.Raw]) -> Request:
    if format in ("openai_embeddings", "anthropic_count_tokens"):
        raise Unsupported(format, format="target's", why="no target of this model speaks it", hint="Use another model.")
    try:
        body = {key: msgspec.json.decode(value) for key, value in fields.items()}
    except RecursionError as error:
        raise BadRequest("the body is nested too deeply.") from error
    return wire_format(format).decode_request(body)[0]


def _invalid(message: str) -> BadRequest:
    text, _, path = message.partition(" - at `")
    field = path.rstrip("`").removeprefix("$").removeprefix(".")
    missing = re.search(r"required field `([^`]+)`", text)
    if missing:
        field = f"{field}.{missing[1]}" if field else missing[1]
        return BadRequest(f"{field} is missing.", field=field)
    if not field:
        return BadRequest(f"the body is not what this endpoint takes: {text[:1].lower()}{text[1:]}.")
    return BadRequest(f"{field}: {text[:1].lower()}{text[1:]}.", field=field)
