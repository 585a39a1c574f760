"""What the gateway must know of a request before it passes it on, per endpoint: enough to refuse nonsense by name.

The fields that are not listed here are none of its business: they are passed on as they came.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from tidyllm.errors import BadRequest, Unsupported
from tidyllm.gateway.asgi import Headers
from tidyllm.gateway.half_pair import half_pair
from tidyllm.models.formats import wire_format
from tidyllm.models.forward import Forward
from tidyllm.models.request import Request

__all__ = ["PATHS", "parse"]

Number = float | None
MOST_TOKENS = 10_000_000
"""Of one answer: a hundred times what models write at most, and a number that every sum of money can take in."""
MOST_ANSWERS = 1_000
"""To one request: providers give at most 128."""
Tokens = Annotated[int, msgspec.Meta(ge=1, le=MOST_TOKENS)] | None
Answers = Annotated[int, msgspec.Meta(ge=1, le=MOST_ANSWERS)] | None


MOST = 100_000
"""Messages of a conversation, parts of a message, tools: a hundred times what models can take in, and no more than one
process can go through in a second."""


class _Part(msgspec.Struct, gc=False):
    type: str


_Parts = Annotated[list[_Part], msgspec.Meta(max_length=MOST)]
_Tools = Annotated[list[dict[str, msgspec.Raw]], msgspec.Meta(max_length=MOST)]


class _Message(msgspec.Struct, gc=False):
    role: str
    content: str | _Parts | None = None


class _Chat(msgspec.Struct):
    model: str
    messages: Annotated[list[_Message], msgspec.Meta(min_length=1, max_length=MOST)]
    stream: bool | None = None
    temperature: Number = None
    top_p: Number = None
    max_tokens: Tokens = None
    max_completion_tokens: Tokens = None
    n: Answers = None
    tools: _Tools | None = None
    stream_options: dict[str, msgspec.Raw] | None = None


class _Item(msgspec.Struct, gc=False):
    type: str | None = None
    role: str | None = None


_Items = Annotated[list[_Item], msgspec.Meta(max_length=MOST)]


class _Responses(msgspec.Struct):
    model: str
    input: str | _Items | None = None
    stream: bool | None = None
    instructions: str | _Items | None = None
    temperature: Number = None
    top_p: Number = None
    max_output_tokens: Tokens = None
    tools: _Tools | None = None
    prompt: dict[str, msgspec.Raw] | None = None
    previous_response_id: str | None = None
    conversation: str | dict[str, msgspec.Raw] | None = None


class _Block(msgspec.Struct, gc=False):
    role: str
    content: str | _Parts


class _CountTokens(msgspec.Struct):
    model: str
    messages: Annotated[list[_Block], msgspec.Meta(min_length=1, max_length=MOST)]
    system: str | _Parts | None = None
    tools: _Tools | None = None


class _Messages(_CountTokens, kw_only=True):
    max_tokens: Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]
    """0 is taken: it fills the provider's cache and asks for nothing."""
    stream: bool | None = None
    temperature: Number = None
    top_p: Number = None


class _Embeddings(msgspec.Struct):
    model: str
    input: str | list[str | int | list[int]]


_HEADS: Mapping[str, Any] = {
    name: msgspec.json.Decoder(head).decode
    for name, head in (
        ("openai_chat", _Chat),
        ("openai_responses", _Responses),
        ("anthropic", _Messages),
        ("anthropic_count_tokens", _CountTokens),
        ("openai_embeddings", _Embeddings),
    )
}
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

PATHS: Mapping[str, str] = {
    "/v1/chat/completions": "openai_chat",
    "/v1/responses": "openai_responses",
    "/v1/messages": "anthropic",
    "/v1/messages/count_tokens": "anthropic_count_tokens",
    "/v1/embeddings": "openai_embeddings",
}
"""The endpoint at each path: a format, or something that belongs to one."""

_OF_ANTHROPIC = ("anthropic-beta", "anthropic-version", "idempotency-key")
_OF_OPENAI = ("idempotency-key", "openai-beta", "x-client-request-id")
_PASSED_ON: Mapping[str, tuple[str, ...]] = {
    endpoint: _OF_ANTHROPIC if endpoint.startswith("anthropic") else _OF_OPENAI for endpoint in PATHS.values()
}
"""Headers of the caller which mean something to a provider of the same format, and nothing of who he is."""

_ONLY_PASSED_ON: Mapping[str, tuple[str, str]] = {
    "openai_embeddings": ("the provider of this model makes no embeddings.", "Use another model."),
    "anthropic_count_tokens": (
        "the provider of this model counts no tokens.",
        "Only providers of Anthropic's format do, and nothing is guessed here.",
    ),
}
"""What is not turned into another format, and what to say then."""

_TOO_DEEP = "the body is nested too deeply."


class NotOffered(Unsupported):
    """A provider has no endpoint for this. Another target of the same route may have one."""

    def __init__(self, message: str, hint: str) -> None:
        BadRequest.__init__(self, message, field="model", hint=hint)
        self.format = ""


def parse(endpoint: str, body: bytes, headers: Headers) -> tuple[str, Forward]:
    """The model's name and the request, ready to be passed on.

    :raises BadRequest: it is not JSON, not an object, or a field is missing or of a wrong type; `field` names it.
    """
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise BadRequest(f"the body is not UTF-8: {error.reason} at byte {error.start:,}.") from error
    try:
        fields = _fields(body)
        head = _HEADS[endpoint](body)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error
    except msgspec.DecodeError as error:
        if (half := half_pair(body)) is not None:
            raise BadRequest(
                f"{half.field or 'the body'}: {half.escape} is an invalid unicode escape: half of a surrogate pair.",
                field=half.field,
                hint="Send the character itself, or both halves.",
            ) from error
        raise BadRequest(f"the body is not JSON: {error}.") from error
    except RecursionError as error:
        raise BadRequest(_TOO_DEEP) from error
    if isinstance(head, _Responses) and not (
        head.input is not None or head.prompt or head.previous_response_id or head.conversation
    ):
        raise BadRequest("input is missing.", field="input")
    stream = bool(getattr(head, "stream", False))
    return head.model, Forward(
        endpoint, fields, stream, lambda: _decode(endpoint, fields), _passed(endpoint, headers)
    )


def _passed(endpoint: str, headers: Headers) -> dict[str, str]:
    passed: dict[str, str] = {}
    for name in _PASSED_ON[endpoint]:
        value = headers.joined(name)
        if value is not None and value.isascii():
            passed[name] = value
    return passed


def _decode(endpoint: str, fields: dict[str, msgspec.Raw]) -> Request:
    if endpoint in _ONLY_PASSED_ON:
        raise NotOffered(*_ONLY_PASSED_ON[endpoint])
    body: dict[str, Any] = {}
    for name, value in fields.items():
        try:
            body[name] = msgspec.json.decode(value)
        except msgspec.DecodeError as error:
            raise BadRequest(f"{name}: this is not JSON: {error}.", field=name) from error
        except RecursionError as error:
            raise BadRequest(_TOO_DEEP, field=name) from error
    return wire_format(endpoint).decode_request(body)[0]


def _invalid(message: str) -> BadRequest:
    text, _, path = message.partition(" - at `")
    field = path.rstrip("`").removeprefix("$").removeprefix(".")
    missing = re.search(r"required field `([^`]+)`", text)
    if missing:
        field = f"{field}.{missing[1]}" if field else missing[1]
        return BadRequest(f"{field} is missing.", field=field)
    said = f"{text[:1].lower()}{text[1:]}"
    if not field:
        return BadRequest(f"the body is not what this endpoint takes: {said}.")
    return BadRequest(f"{field}: {said}.", field=field)
