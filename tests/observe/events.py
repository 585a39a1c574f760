"""Events as core and models emit them, made by hand for tests of hooks."""

from __future__ import annotations

from typing import Any

from tidyllm.core import AttemptFinished, CallFinished, Context, step

__all__ = ["attempt", "call", "place"]


def place(*path: str, **options: Any) -> Context:
    """A watched context at `path`, in a run of its own."""
    ctx = Context.new(hooks=(lambda _: None,), **options)
    for segment in path:
        ctx = ctx.child(segment)
    return ctx


def call(
    name: str = "summarise", *, error: BaseException | None = None, ctx: Context | None = None
) -> CallFinished:
    """A call of the step `name` that took a quarter of a second."""
    return CallFinished(ctx or place(name), step(_same).named(name), 100.0, 100.25, error)


def attempt(
    model: str = "gpt-5.1",
    *,
    error: BaseException | None = None,
    first_piece: float | None = None,
    ctx: Context | None = None,
    provider: str = "openai",
    operation: str = "chat",
    **attributes: Any,
) -> AttemptFinished:
    """An attempt at the target `main` that took half a second."""
    where = ctx or place("summarise")
    return AttemptFinished(
        where, 0xABC, operation, provider, "main", model, 100.0, 100.5, error, first_piece, attributes
    )


def _same(x: int) -> int:
    return x
