"""The token counts of this format to `Usage` and back. It knows nothing of answers or prices."""

from __future__ import annotations

from typing import Any, cast

from tidyllm.models.checks import count_in, object_in
from tidyllm.models.response import Usage

__all__ = ["decode_usage", "encode_usage"]


def decode_usage(raw: object) -> Usage:
    """Usage from the object `usage`. What is absent or no number of tokens stays None.

    Tokens written to the cache are kept for 30 minutes or 12 hours; they are counted as the shorter and the
    longer of our two lifetimes, and as the shorter where it is not said.
    """
    if not isinstance(raw, dict):
        return Usage()
    usage = cast("dict[str, Any]", raw)
    prompt = object_in(usage, "input_tokens_details")
    answer = object_in(usage, "output_tokens_details")
    written = count_in(prompt, "cache_write_tokens")
    long = count_in(object_in(prompt, "cache_write_tokens_details"), "ttl_12h_tokens")
    return Usage(
        input_tokens=count_in(usage, "input_tokens"),
        output_tokens=count_in(usage, "output_tokens"),
        cache_read_tokens=count_in(prompt, "cached_tokens"),
        cache_write_5m_tokens=written if written is None or not long else max(written - long, 0),
        cache_write_1h_tokens=long,
        reasoning_tokens=count_in(answer, "reasoning_tokens"),
        audio_input_tokens=count_in(prompt, "audio_tokens"),
        audio_output_tokens=count_in(answer, "audio_tokens"),
        raw=usage,
    )


def encode_usage(usage: Usage) -> dict[str, Any] | None:
    """The object `usage` for a caller; None when neither side was counted.

    The format needs numbers, so a part that the provider did not say is 0 here, as everywhere in this format.
    """
    if usage.input_tokens is None and usage.output_tokens is None:
        return None
    taken, given = usage.input_tokens or 0, usage.output_tokens or 0
    own = (
        "input_tokens_details" in usage.raw
    )  # else it is another format's, whose words may mean something else
    raw = usage.raw if own else {}
    prompt: dict[str, Any] = {
        **object_in(raw, "input_tokens_details"),
        "cached_tokens": usage.cache_read_tokens or 0,
    }
    answer: dict[str, Any] = {
        **object_in(raw, "output_tokens_details"),
        "reasoning_tokens": usage.reasoning_tokens or 0,
    }
    if not own or usage.cache_write_5m_tokens is not None or usage.cache_write_1h_tokens is not None:
        prompt["cache_write_tokens"] = (usage.cache_write_5m_tokens or 0) + (usage.cache_write_1h_tokens or 0)
    for details, count in ((prompt, usage.audio_input_tokens), (answer, usage.audio_output_tokens)):
        if count is not None:
            details["audio_tokens"] = count
    return {
        **raw,
        "input_tokens": taken,
        "input_tokens_details": prompt,
        "output_tokens": given,
        "output_tokens_details": answer,
        "total_tokens": taken + given,
    }
