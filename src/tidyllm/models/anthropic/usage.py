"""Anthropic's count of tokens to `Usage` and back. It knows nothing of answers or prices.

Anthropic counts the prompt in three parts that exclude each other (fresh, written to the cache, read from
it); `Usage` has the whole and two of the parts.
"""

from __future__ import annotations

from typing import Any

from tidyllm.models.checks import count_in, is_object
from tidyllm.models.response import Usage

__all__ = ["decode_usage", "encode_usage"]

_OWN = ("fallback_credit", "inference_geo", "iterations", "server_tool_use", "service_tier", "speed")
"""Fields of the usage object that no other format has: they are written back from `Usage.raw`."""


def decode_usage(raw: object) -> Usage:
    """Usage from the object `usage`. What is absent or no number of tokens stays None.

    Where the lifetime of cached tokens is not said, as at the end of a stream, they count as written for
    5 minutes, which is the default.
    """
    if not is_object(raw):
        return Usage()
    read = count_in(raw, "cache_read_input_tokens")
    written = count_in(raw, "cache_creation_input_tokens")
    five, hour = _lifetimes(raw.get("cache_creation"), written)
    fresh = count_in(raw, "input_tokens")
    details: object = raw.get("output_tokens_details")
    return Usage(
        input_tokens=None if fresh is None else fresh + (read or 0) + (five or 0) + (hour or 0),
        output_tokens=count_in(raw, "output_tokens"),
        cache_read_tokens=read,
        cache_write_5m_tokens=five,
        cache_write_1h_tokens=hour,
        reasoning_tokens=count_in(details, "thinking_tokens") if is_object(details) else None,
        raw=raw,
    )


def encode_usage(usage: Usage) -> dict[str, Any]:
    """The object `usage` for a caller, who needs numbers for input and output: 0 where they are unknown."""
    read, five, hour = usage.cache_read_tokens, usage.cache_write_5m_tokens, usage.cache_write_1h_tokens
    written = None if five is None and hour is None else (five or 0) + (hour or 0)
    fresh = (usage.input_tokens or 0) - (read or 0) - (written or 0)
    data: dict[str, Any] = {
        "input_tokens": max(fresh, 0),
        "output_tokens": usage.output_tokens or 0,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
    }
    if written is not None:
        split = {"ephemeral_5m_input_tokens": five or 0, "ephemeral_1h_input_tokens": hour or 0}
        data["cache_creation"] = split
    if usage.reasoning_tokens is not None:
        data["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    for key in _OWN:
        if key in usage.raw:
            data[key] = usage.raw[key]
    return data


def _lifetimes(split: object, written: int | None) -> tuple[int | None, int | None]:
    """Tokens written for 5 minutes and for 1 hour. `written`, their sum, is the newer count in a stream."""
    five = count_in(split, "ephemeral_5m_input_tokens") if is_object(split) else None
    hour = count_in(split, "ephemeral_1h_input_tokens") if is_object(split) else None
    if written is None or written == (five or 0) + (hour or 0):
        return (0, hour) if written == 0 and five is None else (five, hour)
    hour = None if hour is None else min(hour, written)
    return written - (hour or 0), hour
