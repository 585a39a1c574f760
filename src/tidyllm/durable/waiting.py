"""What a program of a durable run waits for: signals, time, and the knowledge whether it is new. All of it survives."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeVar, overload

from tidyllm import clock
from tidyllm.core import Context, step
from tidyllm.durable.codec import Codec
from tidyllm.durable.replay import join
from tidyllm.durable.session import Session
from tidyllm.durable.types import UNKNOWN
from tidyllm.errors import RunError

__all__ = ["now", "signalled", "sleep", "versioned"]

T = TypeVar("T")


@overload
async def signalled(name: str, ctx: Context, *, type: type[T]) -> T: ...
@overload
async def signalled(name: str, ctx: Context) -> Any: ...
async def signalled(name: str, ctx: Context, *, type: Any = UNKNOWN) -> Any:
    """Wait for the next `run.signal(name, value)` and return its value, as `type`.

    :raises RunError: there is no durable run around this.
    """
    session = _session(ctx, "signalled")
    segment = ctx.calls.begin(f"signal:{name}", True, ctx)
    try:
        text = await session.receive(join(ctx.place(segment).path), name)
    finally:
        ctx.calls.end(f"signal:{name}", segment)
    return Codec(type, f"signal {name!r}").decode(text)


async def sleep(seconds: float | timedelta, ctx: Context) -> None:
    """Sleep until so many seconds after this was first reached; a crash does not begin it anew."""
    until = await ctx.call(_moment, clock.seconds(seconds), "sleep")
    await clock.sleep(max(until - clock.now(), 0.0))


async def now(ctx: Context) -> float:
    """Seconds since 1970, as they were when this was first reached."""
    return await ctx.call(_moment, 0.0, "now")


@step(name="moment")
async def _moment(seconds: float) -> float:
    return clock.now() + seconds


def versioned(name: str, ctx: Context | None = None) -> bool:
    """Whether the code behind this belongs to this run: false in a run that had gone past this place before the code
    was there. The answer is recorded, so that a run never changes its mind. Outside of a run it is true.

    `ctx`: default: the step that is running.
    """
    at = Context.current() if ctx is None else ctx
    caller = None if at is None else at.scope.caller
    if at is None or not isinstance(caller, Session):
        return True
    return caller.decide(join(at.path), name)


def _session(ctx: Context, what: str) -> Session:
    caller = ctx.scope.caller
    if not isinstance(caller, Session):
        raise RunError(
            f"{what} was called in {ctx.where!r}, outside of a durable run.",
            hint="Start it with Runtime(…).start(…).",
        )
    return caller
