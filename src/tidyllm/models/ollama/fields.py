"""Ollama has no place for fields of parts, messages and tools. Only their names."""

from __future__ import annotations

from typing import Any, Final

from tidyllm.models.losses import Losses
from tidyllm.models.marks import MARKS

__all__ = ["FORMAT", "no_fields"]

FORMAT: Final = "ollama"

_NOTES = MARKS | {
    "annotations", "cache_control", "caller", "citations", "index", "logprobs", "phase", "status",
}  # fmt: skip
"""Fields of parts and messages that comment on an answer, or tell how to cache: no model ever reads them."""


def no_fields(extra: dict[str, Any], where: str, losses: Losses) -> None:
    """Refuse the fields of `extra` that say something.

    :raises Unsupported: unless lenient.
    """
    for key, value in extra.items():
        if key not in _NOTES and value not in (None, "", [], {}):
            losses.add(f"{where}.{key}")
