"""Usage as Bedrock's Converse and Google's Gemini report it, to `Usage`: also for bills and records of calls that went
there by another way than through this package, which does not speak Gemini's format. It knows no prices.
"""

from __future__ import annotations

from typing import Any, cast

from tidyllm.models.checks import count_in, is_object
from tidyllm.models.response import Usage

__all__ = ["bedrock_usage", "gemini_usage"]


def bedrock_usage(raw: dict[str, Any]) -> Usage:
    """From the object `usage` of a Converse answer, or of the `metadata` at the end of a stream.

    Tokens read from and written to the cache are counted beside the prompt. `cacheDetails` tells the lifetimes apart;
    without it, tokens count as written for 5 minutes, which is the default.
    """
    fresh, read = count_in(raw, "inputTokens"), count_in(raw, "cacheReadInputTokens")
    written = count_in(raw, "cacheWriteInputTokens")
    hour = sum(
        count_in(part, "inputTokens") or 0
        for part in _objects(raw, "cacheDetails")
        if part.get("ttl") == "1h"
    )
    return Usage(
        input_tokens=None if fresh is None else fresh + (read or 0) + (written or 0),
        output_tokens=count_in(raw, "outputTokens"),
        cache_read_tokens=read,
        cache_write_5m_tokens=None if written is None else written - hour,
        cache_write_1h_tokens=hour or None,
        raw=raw,
    )


def gemini_usage(raw: dict[str, Any]) -> Usage:
    """From the object `usageMetadata` of an answer, or of the last piece of a stream.

    What tools of the provider read is counted beside the prompt, and reasoning beside the answer; both belong to them
    here. Cached tokens are inside the prompt.
    """
    prompt, tools = count_in(raw, "promptTokenCount"), count_in(raw, "toolUsePromptTokenCount") or 0
    answer, thoughts = count_in(raw, "candidatesTokenCount"), count_in(raw, "thoughtsTokenCount")
    cached = count_in(raw, "cachedContentTokenCount")
    heard, heard_before = _audio(raw, "promptTokensDetails"), _audio(raw, "cacheTokensDetails")
    if answer is None and thoughts is not None:
        answer = 0  # it only thought
    return Usage(
        input_tokens=None if prompt is None else prompt + tools,
        output_tokens=None if answer is None else answer + (thoughts or 0),
        cache_read_tokens=None if cached is None else cached - heard_before,
        reasoning_tokens=thoughts,
        audio_input_tokens=(heard - heard_before) or None,
        audio_output_tokens=_audio(raw, "candidatesTokensDetails") or None,
        audio_cache_read_tokens=heard_before or None,
        raw=raw,
    )


def _audio(raw: dict[str, Any], name: str) -> int:
    return sum(
        count_in(part, "tokenCount") or 0 for part in _objects(raw, name) if part.get("modality") == "AUDIO"
    )


def _objects(raw: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = raw.get(name)
    return (
        [item for item in cast("list[object]", value) if is_object(item)] if isinstance(value, list) else []
    )
