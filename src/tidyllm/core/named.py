"""Calls by name: each gets a place of its own below the caller's, and the first one from a root is watched over.

It knows places, deadlines and cancellation, not what a step does.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from tidyllm.core.ambient import reset_current, set_current
from tidyllm.core.joined import joined
from tidyllm.core.watch import Watch
from tidyllm.errors import TimeoutExceeded

if TYPE_CHECKING:
    from tidyllm.core.context import Context
    from tidyllm.core.scope import Caller
    from tidyllm.core.step import Step

__all__ = ["call", "split_answer", "stream"]

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741


async def call(ctx: Context, step: Step[I, O], x: I, name: str, alone: bool) -> O:
    """Run `step` as the call `name` below `ctx`; `alone`: not while another of that name runs there."""
    calls = ctx.calls
    segment = calls.begin(name, alone, ctx)
    try:
        if ctx.scope.entered:
            return await ctx.run_child(step, x, segment)
        watch = _watch(ctx, step, streams=False)
        try:
            with watch:
                return await _entered(ctx, watch).run_child(step, x, segment)
        finally:
            watch.close()
    finally:
        calls.end(name, segment)


async def stream(ctx: Context, step: Step[I, Any], x: I, name: str, alone: bool) -> AsyncGenerator[Any, None]:
    """The pieces of `step` as the call `name` below `ctx`; see `call`."""
    calls = ctx.calls
    segment = calls.begin(name, alone, ctx)
    watch = None if ctx.scope.entered else _watch(ctx, step, streams=True)
    pieces = (_entered(ctx, watch) if watch else ctx).stream_child(step, x, segment)
    try:
        if watch is None:
            async for piece in pieces:
                yield piece
            return
        # Whoever is cancelled by the deadline tells nobody what he had: that has to be kept here.
        passed: list[Any] | None = None if ctx.deadline is None else []
        while True:
            # The reader's time between pieces is its own: neither clock nor cancellation reaches it there.
            try:
                with watch:
                    try:
                        piece = await anext(pieces)
                    except StopAsyncIteration:
                        return
            except TimeoutExceeded as error:
                if passed and error.clock == "deadline" and error.partial is None:
                    error.partial = joined(step, passed, error)
                raise
            if passed is not None:
                passed.append(piece)
            yield piece
    finally:
        try:
            await pieces.aclose()
        finally:
            if watch is not None:
                watch.close()
            calls.end(name, segment)


async def split_answer(caller: Caller, step: Step[I, O], x: I, child: Context) -> AsyncGenerator[Any, None]:
    """A stream through a caller that knows only whole calls: the answer's pieces, when it is whole."""
    token = set_current(child)
    try:
        answer = await caller(step, x, child)
    finally:
        reset_current(token)
    for piece in step.split(answer):
        yield piece


def _watch(ctx: Context, step: Step[Any, Any], *, streams: bool) -> Watch:
    return Watch(ctx.scope.switch, ctx.deadline, f"step {step.name!r}", streams=streams)


def _entered(ctx: Context, watch: Watch) -> Context:
    run = msgspec.structs.replace(ctx.scope, entered=True, watch=watch)
    watch.place = here = type(ctx)(run, ctx.parent, ctx.segment, ctx.span_id, ctx.deadline)
    return here
