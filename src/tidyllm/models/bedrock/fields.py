"""The name of this format, and what may stand in `extra` of parts. Names only."""

from __future__ import annotations

from typing import Any, Final

from tidyllm.models.losses import Losses
from tidyllm.models.marks import MARKS

__all__ = ["FORMAT", "known_fields", "mark_of"]

FORMAT: Final = "bedrock"

_NOTES: Final = MARKS | {"annotations", "caller", "citations", "index", "logprobs", "phase", "status"}
"""Fields that comment on an answer, or are another format's notes: no model ever reads them."""


def known_fields(extra: dict[str, Any], where: str, losses: Losses, *known: str) -> None:
    """Refuse the fields of `extra` that say something, but for those named in `known`.

    :raises Unsupported: unless lenient.
    """
    for key, value in extra.items():
        if key not in known and key not in _NOTES and value not in (None, "", [], {}):
            losses.add(f"{where}.{key}")


def mark_of(extra: dict[str, Any]) -> dict[str, Any]:
    """What this format noted on a part when it was read."""
    mark: object = extra.get(FORMAT)
    return mark if isinstance(mark, dict) else {}  # pyright: ignore[reportUnknownVariableType]
