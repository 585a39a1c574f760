"""Which fields of a part's or message's `extra` belong to this format. It knows names only."""

from __future__ import annotations

from typing import Any, Final

from tidyllm.models.losses import Losses
from tidyllm.models.marks import MARKS

__all__ = ["FORMAT", "own_fields"]

FORMAT: Final = "anthropic"

_NOTES = MARKS | {"annotations", "index", "logprobs", "phase", "status"}
"""What formats note on parts and messages for themselves, or to comment on an answer: left out."""

_FOREIGN = _NOTES | {
    "audio", "function_call", "name", "reasoning", "reasoning_content", "reasoning_details", "refusal",
}  # fmt: skip
"""All fields known to be other formats'; Anthropic has none of these names on its messages and blocks."""


def own_fields(extra: dict[str, Any], where: str, losses: Losses) -> dict[str, Any]:
    """The fields but for those known to be another format's.

    :raises Unsupported: one of those says something, unless lenient.
    """
    if not extra or _FOREIGN.isdisjoint(extra):
        return extra
    kept: dict[str, Any] = {}
    for key, value in extra.items():
        if key not in _FOREIGN:
            kept[key] = value
        elif key not in _NOTES and value not in (None, "", []):
            losses.add(f"{where}.{key}")
    return kept
