"""What an answer repeats of its request: clients read there what held for it. It knows fields, not their meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

__all__ = ["NEUTRAL", "repeated"]

NEUTRAL: Final[dict[str, Any]] = {
    "background": False,
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": False,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
"""The fields that clients find in every answer, with what stands there where the request did not say."""

_REPEATED: Final = (
    "background", "instructions", "max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls",
    "prompt_cache_key", "prompt_cache_retention", "reasoning", "safety_identifier", "temperature", "text",
    "tool_choice", "tools", "top_logprobs", "top_p", "truncation", "user",
)  # fmt: skip
"""Not `store`: nothing is kept of an answer that another provider gave."""
_SECTIONS: Final = frozenset({"reasoning", "text"})


def repeated(asked: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    """The fields of an answer to a request with these fields, null ones as if they were not there."""
    fields = dict(NEUTRAL)
    for name in _REPEATED:
        value: object = msgspec.json.decode(asked[name]) if name in asked else None
        if value is None:
            continue
        if name in _SECTIONS and isinstance(value, dict):
            value = {**NEUTRAL[name], **cast("dict[str, Any]", value)}
        fields[name] = value
    return fields
