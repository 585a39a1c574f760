"""The count of tokens to `Usage` and back, in the shapes of this format's many servers. It knows no prices."""

from __future__ import annotations

from typing import Any

from tidyllm.models.checks import count_in, is_count, is_object, object_in
from tidyllm.models.response import Usage

__all__ = ["decode_usage", "encode_usage", "usage_in"]

_CACHED = ("prompt_cache_hit_tokens", "num_cached_tokens", "cached_tokens", "cache_read_input_tokens")
"""Where others than OpenAI put it: DeepSeek, Mistral, Together and Moonshot, servers in front of Anthropic."""


def usage_in(body: dict[str, Any]) -> Usage | None:
    """The usage in an answer or in a chunk of a stream; Groq has also put it into its own object."""
    raw: object = body.get("usage")
    if not raw and is_object(own := body.get("x_groq")):
        raw = own.get("usage")
    return decode_usage(raw) if raw and is_object(raw) else None


def decode_usage(raw: dict[str, Any]) -> Usage:
    """Usage from the object `usage`. What is absent or no number of tokens stays None.

    Tokens of the total which are neither prompt nor completion are reasoning that the server counts apart (xAI says
    so in the details, Gemini does not): they belong to the output. Tokens written to the cache are counted for 5
    minutes: the format does not tell lifetimes apart.
    """
    prompt, completion = count_in(raw, "prompt_tokens"), count_in(raw, "completion_tokens")
    total = count_in(raw, "total_tokens")
    details, answer = object_in(raw, "prompt_tokens_details"), object_in(raw, "completion_tokens_details")
    cached = count_in(details, "cached_tokens")
    if cached is None:
        cached = next((count for name in _CACHED if (count := count_in(raw, name)) is not None), None)
    written = count_in(details, "cache_write_tokens")
    if written is None:
        written = count_in(raw, "cache_creation_input_tokens")
    reasoning = count_in(answer, "reasoning_tokens")
    if prompt is not None and completion is not None and total is not None:
        apart = total - prompt - completion
        if apart > 0 and (apart == reasoning or (reasoning is None and not cached and not written)):
            completion += apart
    return Usage(
        input_tokens=prompt,
        output_tokens=completion,
        cache_read_tokens=cached,
        cache_write_5m_tokens=written,
        reasoning_tokens=reasoning,
        audio_input_tokens=count_in(details, "audio_tokens"),
        audio_output_tokens=count_in(answer, "audio_tokens"),
        raw=raw,
    )


def encode_usage(usage: Usage) -> dict[str, Any] | None:
    """The object `usage` for a caller, who needs three numbers: 0 where they are unknown. None when all are.

    A count that came in this format goes out as it came.
    """
    if is_count(usage.raw.get("prompt_tokens")) and is_count(usage.raw.get("completion_tokens")):
        raw = usage.raw
        return raw if "total_tokens" in raw else {**raw, "total_tokens": usage.total_tokens}
    if usage.input_tokens is None and usage.output_tokens is None:
        return None
    data: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens or 0,
        "completion_tokens": usage.output_tokens or 0,
        "total_tokens": (usage.input_tokens or 0) + (usage.output_tokens or 0),
    }
    written = [w for w in (usage.cache_write_5m_tokens, usage.cache_write_1h_tokens) if w is not None]
    details = {
        "cached_tokens": usage.cache_read_tokens,
        "cache_write_tokens": sum(written) if written else None,
        "audio_tokens": usage.audio_input_tokens,
    }
    answer = {"reasoning_tokens": usage.reasoning_tokens, "audio_tokens": usage.audio_output_tokens}
    for name, counts in (("prompt_tokens_details", details), ("completion_tokens_details", answer)):
        if known := {key: count for key, count in counts.items() if count is not None}:
            data[name] = known
    return data
