"""What the body of a request says about its own cost, in any format. It reads a few fields and sends nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from tidyllm.models.model_info import ModelInfo
from tidyllm.models.pricing import STANDARD, at_most_usd

__all__ = ["Asked", "bound_usd"]

_MOST = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_TIERS = ("service_tier", "speed", "inference_geo")

# Keys of JSON, never words inside a text: those have a backslash before the quote.
_ELSEWHERE = re.compile(
    rb'(?<!\\)"(?:images?|image_url|input_image|files?|file_id|file_data|input_file|document|audio|input_audio'
    rb'|previous_response_id|conversation|prompt|container|mcp_servers)"'
)
_TOOLS = re.compile(rb'(?<!\\)"tools"')
_OF_TOOLS = 1_000
"""Tokens that a provider puts before the prompt when tools are given (Anthropic names up to 850)."""


class Asked(msgspec.Struct, frozen=True):
    """A few fields of a request, wherever its format keeps them; None where it does not say."""

    max_tokens: int | None = None
    answers: int = 1
    tiers: tuple[str, ...] = ()
    temperature: float | None = None
    top_p: float | None = None

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Asked:
        """From a body's top-level fields, decoded or raw."""
        most = next((number for name in _MOST if (number := _number(body, name)) is not None), None)
        if most is None and isinstance(options := _value(body, "options"), dict):
            most = _number(options, "num_predict")  # pyright: ignore[reportUnknownArgumentType]
        answers = _number(body, "n")
        tiers = tuple(tier for name in _TIERS if isinstance(tier := _value(body, name), str))
        return cls(
            None if most is None else int(most),
            1 if answers is None else max(int(answers), 1),
            tiers,
            _number(body, "temperature"),
            _number(body, "top_p"),
        )


def bound_usd(
    body: bytes, asked: Asked, info: ModelInfo | None, *, operation: str = "chat"
) -> Decimal | None:
    """The most that sending `body` can cost in US dollars; None when that is not known.

    No tokenizer makes more tokens than there are bytes of UTF-8. What is not in the body as text (images, files, an
    earlier answer that the provider keeps) is bounded by the model's window.
    """
    if info is None:
        return None
    most = 0 if operation == "embeddings" else asked.max_tokens or info.max_output_tokens
    into = len(body) + (_OF_TOOLS if _TOOLS.search(body) else 0)
    if _ELSEWHERE.search(body):
        window = info.context_window_tokens
        into = None if window is None else max(into, window)
    if most is None or into is None:
        return None
    if any(tier not in STANDARD and tier != "auto" and tier not in info.service for tier in asked.tiers):
        return None
    # Which tier serves is the provider's choice once the caller has named one.
    tiers = (None, *info.service) if asked.tiers else (None,)
    bounds = [at_most_usd(into, most * asked.answers, info, tier=tier) for tier in tiers]
    known = [bound for bound in bounds if bound is not None]
    return max(known) if bounds[0] is not None else None


def _value(body: Mapping[str, Any], name: str) -> object:
    value: object = body.get(name)
    if isinstance(value, msgspec.Raw):
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return None
    return value


def _number(body: Mapping[str, Any], name: str) -> Any:
    value = _value(body, name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
