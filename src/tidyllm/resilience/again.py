"""A step that runs once more within one call. It knows places in the tree of the run, not why it runs again.

What runs again does so at a place of its own below the call (`fetch/retry`, then `fetch/retry#2`), so that the calls
inside it are not taken for those of the first time. It is no call of its own: there is still one record.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, TypeVar

from tidyllm.core import Context, Step

__all__ = ["run_again", "stream_again"]

I = TypeVar("I")  # noqa: E741 - the field's name for an input type
O = TypeVar("O")  # noqa: E741


async def run_again(ctx: Context, step: Step[I, O], x: I, why: str) -> O:
    """Run `step` at a new place below `ctx`, called `why` and numbered."""
    calls = ctx.calls
    segment = calls.begin(why, False, ctx)
    try:
        return await ctx.place(segment).run_here(step, x)
    finally:
        calls.end(why, segment)


async def stream_again(ctx: Context, step: Step[I, Any], x: I, why: str) -> AsyncGenerator[Any, None]:
    """The pieces of `step` at a new place below `ctx`, called `why` and numbered."""
    calls = ctx.calls
    segment = calls.begin(why, False, ctx)
    pieces = ctx.place(segment).stream_here(step, x)
    try:
        async for piece in pieces:
            yield piece
    finally:
        try:
            await pieces.aclose()
        finally:
            calls.end(why, segment)
