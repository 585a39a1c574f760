"""One call, told to the hooks when it ended. It knows how a call ends, not what it was for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, TypeVar

from tidyllm import clock
from tidyllm.core.ambient import reset_current, set_current
from tidyllm.core.events import CallFinished, Hook, deliver

if TYPE_CHECKING:
    from tidyllm.core.context import Context
    from tidyllm.core.step import Step

__all__ = ["record", "record_stream"]

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741


async def record(ctx: Context, step: Step[I, O], x: I) -> O:
    """Run `step` at the place `ctx`, which is ambient, and tell the hooks when it ended."""
    hooks = ctx.scope.hooks
    if not hooks:
        return await step.invoke(x, ctx)
    started = clock.monotonic()
    try:
        answer = await step.invoke(x, ctx)
    except BaseException as error:
        deliver(hooks, CallFinished(ctx, step, started, clock.monotonic(), _cause(ctx, error)))
        raise
    deliver(hooks, CallFinished(ctx, step, started, clock.monotonic()))
    return answer


async def record_stream(
    ctx: Context, step: Step[I, Any], x: I, *, hooks: tuple[Hook, ...] | None = None
) -> AsyncGenerator[Any, None]:
    """The pieces of `step` at the place `ctx`, made ambient for each; the hooks are told when the stream ended.

    `hooks`: default: those of the run.
    """
    hooks = ctx.scope.hooks if hooks is None else hooks
    started = clock.monotonic()
    first: float | None = None
    count = 0
    failure: BaseException | None = None
    pieces = step.invoke_stream(x, ctx)
    try:
        while True:
            token = set_current(ctx)
            try:
                piece = await anext(pieces)
            except StopAsyncIteration:
                return
            finally:
                reset_current(token)
            if hooks:
                if not count:
                    first = clock.monotonic()
                count += 1
            yield piece
    except BaseException as error:
        failure = error
        raise
    finally:
        try:
            await _close(pieces, ctx)
        except BaseException as error:
            failure = error
            raise
        finally:
            if hooks:
                cause = None if failure is None else _cause(ctx, failure)
                deliver(hooks, CallFinished(ctx, step, started, clock.monotonic(), cause, first, count))
            failure = None  # a frame that holds its own exception is garbage that only the collector finds


async def _close(pieces: AsyncGenerator[Any, None], ctx: Context) -> None:
    token = set_current(ctx)
    try:
        await pieces.aclose()
    finally:
        reset_current(token)


def _cause(ctx: Context, error: BaseException) -> BaseException:
    """What the record says of a call that ended with `error`."""
    if isinstance(error, GeneratorExit):
        return asyncio.CancelledError("the reader left the stream")
    watch = ctx.scope.watch
    if isinstance(error, asyncio.CancelledError) and watch is not None and ctx.parent is watch.place:
        # The call that entered the run fails by the deadline; what it had started was cancelled.
        return watch.expired or error
    return error
