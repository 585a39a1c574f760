"""Tokens of a text and of a whole request. It knows no prices and no provider's address.

Two ways for a request: `bound_tokens` looks at the bytes and is for each call; `count_tokens` reads the whole body and
is for where the bound is too wide, such as near the end of a budget. Neither is ever below what a provider bills.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tidyllm.models import asked, bound
from tidyllm.models.catalog import Catalog
from tidyllm.models.model_info import ModelInfo
from tidyllm.tokens.encoding import encoded, utf8
from tidyllm.tokens.family import Family, family_of
from tidyllm.tokens.prompt import Prompt, Unreadable, read_prompt

__all__ = [
    "Count",
    "bound_text",
    "bound_tokens",
    "count_request",
    "count_text",
    "count_tokens",
    "input_counter",
]

_PER_MESSAGE = 4
"""Tokens that mark one message and its role at OpenAI; the byte bound of others adds as many as their marks have."""
_PER_MESSAGE_BYTES = 32
_PER_PART = 4
_PRIMING = 8
"""Tokens with which the answer begins: 3 at most models, recorded up to 5."""
_PER_TOOL = 16
_PER_OPTION = 64
"""Tokens with which a model is told of an option, such as how to think (recorded: 59)."""
_WITH_TOOLS = 400
"""Tokens around tools or a schema at OpenAI (recorded: up to 215); elsewhere up to 850 are recorded."""
_WITH_TOOLS_ELSEWHERE = 1_000
_PER_KNOWN_TOOL = 3_000
_LONGEST = 1_000_000
"""Bytes above which `input_counter` does not count: 30 ms on the event loop are enough."""

_read_fields = msgspec.json.Decoder(dict[str, Any]).decode
_read_heads = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Count(msgspec.Struct, frozen=True):
    """`tokens`, and whether that is the number (`exact`) or only never below it."""

    tokens: int
    exact: bool


def count_text(text: str, model: str) -> Count:
    """Tokens of `text` at `model` (`openai/gpt-5.1`, or `gpt-5.1`): exact for families whose ranks are public.

    Elsewhere, and for text that is none (half of a surrogate pair), it is the number of its UTF-8 bytes. Time grows
    with the length alone, whatever the text: 30 ms for a million characters.
    """
    encoding = family_of(model).encoding
    exact = None if encoding is None else encoded(text, encoding)
    return Count(bound_text(text), exact=not text) if exact is None else Count(exact, exact=True)


def bound_text(text: str) -> int:
    """The most tokens that `text` can be, at any model: its bytes of UTF-8."""
    return utf8(text)


def bound_tokens(body: bytes, info: ModelInfo) -> int | None:
    """The most input tokens that sending `body` to this model can be billed for, from its bytes alone.

    None when there is no bound: what is not in the body as text is bounded by the model's window, and without one, or
    with tools that the provider runs as often as it likes, by nothing.
    """
    try:
        fields = _read_heads(body)
    except (msgspec.DecodeError, RecursionError):
        fields = {}
    return bound.bound_tokens(body, asked.Asked.of(fields), info)


def count_tokens(
    body: bytes | Mapping[str, Any], format: str, model: str, *, info: ModelInfo | None = None
) -> Count | None:
    """The most input tokens of a request, closely: texts by the model's own ranks where they are public.

    - `body`: as it is sent, or decoded; `format`: its wire format; `model`: `kind/name` or the name alone.
    - `info`: for the window that bounds what is not in the body; default: what the catalogue knows of `model`.

    It is exact for embeddings of OpenAI only: providers do not publish their templates, so that the few tokens around
    each message, tools and pictures are bounded. None when there is no bound.
    """
    info = info or Catalog.default().find(model)
    window = None if info is None else info.context_window_tokens
    try:
        fields: Mapping[str, Any] = _read_fields(body) if isinstance(body, bytes) else body
        head = asked.Asked.of(fields)
        if head.own_calls is None:
            return None
        family = family_of(model)
        if format == "openai_embeddings":
            fields = {"input": fields.get("input")}
        prompt = read_prompt(fields)
        if head.own_calls or (prompt.images and family.image_tokens is None):
            raise Unreadable
    except (Unreadable, msgspec.DecodeError, RecursionError):
        whole = body if isinstance(body, bytes) else msgspec.json.encode(body)
        found = None if info is None else bound_tokens(whole, info)
        if found is None or window is None:
            return None if found is None else Count(found, exact=False)
        return Count(max(found, window), exact=False)
    if format == "openai_embeddings" and family.encoding is not None:
        sizes = [count_text(text, model) for text in prompt.texts]
        return Count(sum(s.tokens for s in sizes) + prompt.given_tokens, all(s.exact for s in sizes))
    return Count(_tokens(prompt, family) + head.known_tools * _PER_KNOWN_TOOL, exact=False)


def count_request(body: bytes | Mapping[str, Any], format: str, model: str) -> int | None:
    """`count_tokens` as a number: what to reserve for. None when there is no bound."""
    found = count_tokens(body, format, model)
    return None if found is None else found.tokens


def input_counter(body: bytes, info: ModelInfo) -> int | None:
    """For `tidyllm.models.bound.set_input_counter`: a closer count where a budget has no room for the wide bound."""
    if len(body) > _LONGEST:
        return None
    found = count_tokens(body, "", info.name, info=info)
    return None if found is None else found.tokens


def _tokens(prompt: Prompt, family: Family) -> int:
    tokens = prompt.given_tokens + prompt.images * (family.image_tokens or 0) + family.template_tokens
    tokens += prompt.options * _PER_OPTION
    tools = prompt.tools or prompt.schemas
    if family.encoding is None:
        tokens += sum(utf8(text) for text in prompt.texts) + prompt.messages * _PER_MESSAGE_BYTES
        return (
            tokens
            + prompt.parts * _PER_PART
            + prompt.tools * _PER_TOOL
            + (_WITH_TOOLS_ELSEWHERE if tools else 0)
        )
    for text in prompt.texts:
        exact = encoded(text, family.encoding)
        tokens += utf8(text) if exact is None else exact
    around = prompt.messages * _PER_MESSAGE + max(prompt.parts - prompt.messages, 0) * _PER_PART + _PRIMING
    return tokens + around + prompt.tools * _PER_TOOL + (_WITH_TOOLS if tools else 0)
