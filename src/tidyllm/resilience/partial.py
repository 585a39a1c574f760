"""What is left of a stream that broke. It knows how to join pieces, not why the stream broke.

Wrappers that promise `StreamInterrupted` keep references to the pieces that passed, so that the error can hold the
answer so far; pieces are handed on at once all the same. One wrapper of a stack is enough: a step that says
`reports_partial = True` promises that any failure after its first piece is already a `StreamInterrupted` with its
partial answer, and whoever wraps it keeps nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tidyllm.core import Step
from tidyllm.core.joined import joined
from tidyllm.errors import ModelError, StreamInterrupted, TidyllmError

__all__ = ["collector", "interrupted", "reports_partial"]


def reports_partial(step: Step[Any, Any]) -> bool:
    """Whether a failure of this step's stream after its first piece always comes with the partial answer."""
    return bool(getattr(step, "reports_partial", False))


def collector(step: Step[Any, Any]) -> list[Any] | None:
    """A list for the pieces of `step` that passed; None when `step` keeps them itself."""
    return None if reports_partial(step) else []


def interrupted(step: Step[Any, Any], pieces: Sequence[Any] | None, error: Exception) -> StreamInterrupted:
    """What to raise to the reader of a stream of `step` that broke with `error` after `pieces`.

    An error that is a `StreamInterrupted` already is given back, with its partial answer filled in where it had none.
    """
    if isinstance(error, StreamInterrupted):
        if error.partial is None and pieces:
            error.partial = joined(step, pieces, error)
        return error
    where: dict[str, Any] = {}
    if isinstance(error, ModelError):
        known = ("provider", "model", "status", "code", "request_id", "provider_message", "retry_after")
        where = {name: getattr(error, name) for name in known}
    count = "some" if pieces is None else str(len(pieces))
    said = error.message if isinstance(error, TidyllmError) else str(error)
    broken = StreamInterrupted(
        f"the stream of {step.name!r} broke after {count} pieces ({type(error).__name__}: {said}).",
        hint="`partial` is the answer so far; a new call starts from the beginning.",
        **where,
    )
    if pieces:
        broken.partial = joined(step, pieces, broken)
    broken.__cause__ = error
    return broken
