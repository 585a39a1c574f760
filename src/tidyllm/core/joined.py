"""What had come of a stream that an error ended, put together for that error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidyllm.core.step import Step

__all__ = ["joined"]


def joined(step: Step[Any, Any], pieces: Sequence[Any], error: Exception) -> Any:
    """The answer so far; None, and a note on `error`, where the step's `join` cannot do with a part."""
    try:
        return step.join(pieces)
    except Exception as problem:  # noqa: BLE001 - a `join` of the user's on half an answer: the first error matters
        error.add_note(f"The {len(pieces)} pieces could not be joined: {type(problem).__name__}: {problem}")
        return None
