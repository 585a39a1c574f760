"""The same step again after a failure. It knows when and how often (see `schedule`), not what the step does."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from typing import Any, TypeVar, final

from tidyllm import clock
from tidyllm.core import Context, Retrying, Wrapper, as_step
from tidyllm.core.head import MOST_HEADS, is_head
from tidyllm.errors import Refused, StreamInterrupted
from tidyllm.resilience.again import run_again, stream_again
from tidyllm.resilience.checks import count, duration, factor
from tidyllm.resilience.partial import collector, interrupted
from tidyllm.resilience.policy import Errors, describe, judge, worth_retrying
from tidyllm.resilience.schedule import GiveUp, Schedule
from tidyllm.resilience.wrapped import Wrapped, renamed

__all__ = ["Retry"]

I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)


@final
class Retry(Wrapper[I_contra, O_co]):
    """Tries `step` again when it failed and another try can help.

    - `attempts`: tries in all, the first one included. 3: two blips in a row are common, three mean an outage.
    - `base`: upper bound of the first pause in seconds. 0.25: most blips are shorter.
    - `cap`: upper bound of a pause in seconds. 8: a caller who waits longer has given up himself.
    - `on`: the errors to act on: a class, several, or a function of the error. Default: what the error itself says
      (`error.retryable`), and the builtin ConnectionError and TimeoutError.
    - `longest_wait`: the longest pause in seconds that a target may ask for (`error.retry_after`); beyond it the error
      goes to the caller at once. 60: the windows of rate limits are a minute long.
    - `multiplier`: by which that bound grows with each attempt, at least 1. 2: it doubles.
    - `jitter`: False waits just the bound; callers that failed together then come back together.
    - `rng`: gives floats from 0 to 1 for the jitter.

    The pause after attempt n is drawn evenly from [0, min(cap, base * multiplier**(n-1))]; a pause that was asked for
    is waited in full, with the drawn one on top. When the next attempt would start at or after the deadline, there is
    none.
    The error of the last attempt is raised, with a note that says why there was no other. When that one was only
    refused by ourselves (the failures opened a breaker inside), it is the failure before it: that says what went wrong.

    A stream is tried again only while nothing of it has reached the reader; pieces that only announce the answer are
    held back until its first one. After that any failure is `StreamInterrupted`, from the error, with the answer so
    far in `partial`.

    :raises ConfigError: an argument is out of range.
    """

    reports_partial = True

    def __init__(
        self,
        step: Wrapped[I_contra, O_co],
        attempts: int = 3,
        base: float | timedelta = 0.25,
        cap: float | timedelta = 8.0,
        on: Errors | None = None,
        *,
        longest_wait: float | timedelta = 60.0,
        multiplier: float = 2.0,
        jitter: bool = True,
        rng: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(as_step(step))
        self.schedule = Schedule(
            count("Retry.attempts", attempts),
            duration("Retry.base", base, zero=True),
            duration("Retry.cap", cap, zero=True),
            duration("Retry.longest_wait", longest_wait, zero=True),
            factor("Retry.multiplier", multiplier),
            bool(jitter),
        )
        self.on = on
        self._worth = judge("Retry.on", on, worth_retrying)
        self._rng = rng

    async def invoke(self, x: I_contra, ctx: Context) -> O_co:
        try:
            return await self.inner.invoke(x, ctx)
        except Exception as error:  # noqa: BLE001 - which ones it acts on is decided later
            failure = error
        try:
            return await self._again(x, ctx, failure)
        finally:
            del failure  # it refers to this frame: kept here, it would be garbage for the collector

    async def _again(self, x: I_contra, ctx: Context, failure: Exception) -> O_co:
        attempt, real = 1, None
        try:
            while True:
                pause = self._pause(attempt, failure, ctx)
                if pause is None:
                    raise _told(failure, real)
                await clock.sleep(pause)
                attempt += 1
                try:
                    return await run_again(ctx, self.inner, x, "retry")
                except Exception as error:  # noqa: BLE001 - which ones it acts on is decided later
                    real, failure = _real(failure, real), error
        finally:
            del failure, real

    async def invoke_stream(self, x: I_contra, ctx: Context) -> AsyncGenerator[Any, None]:
        attempt = 1
        real: Exception | None = None
        try:
            while True:
                failure: Exception | None = None
                inner = self.inner
                passed = collector(inner)
                begun = False
                heads: list[Any] = []
                pieces = inner.invoke_stream(x, ctx) if attempt == 1 else stream_again(ctx, inner, x, "retry")
                try:
                    while True:
                        # Only what the step raises is caught here, not what a reader throws into this generator.
                        try:
                            piece = await anext(pieces)
                        except StopAsyncIteration:
                            break
                        except Exception as error:  # noqa: BLE001 - which ones it acts on is decided later
                            failure = error
                            break
                        if passed is not None:
                            passed.append(piece)
                        if not begun:
                            if is_head(piece) and len(heads) < MOST_HEADS:
                                heads.append(piece)
                                continue
                            begun = True
                            for head in heads:
                                yield head
                        yield piece
                    if failure is None:
                        if not begun:
                            for head in heads:
                                yield head
                        return
                finally:
                    await pieces.aclose()
                try:
                    if begun:
                        raise interrupted(inner, passed, failure)
                    pause = self._pause(attempt, failure, ctx, streaming=True)
                    if pause is None:
                        raise _told(failure, real)
                    real = _real(failure, real)
                finally:
                    del failure
                await clock.sleep(pause)
                attempt += 1
        finally:
            del real

    def _pause(
        self, attempt: int, error: Exception, ctx: Context, *, streaming: bool = False
    ) -> float | None:
        """Seconds to wait for the next attempt; None when there is none, and `error` is to be raised."""
        # Nothing has reached the reader: a stream that says it broke was not seen by anyone.
        if not (
            self._worth(error) or (streaming and self.on is None and isinstance(error, StreamInterrupted))
        ):
            return None
        remaining = None if ctx.deadline is None else ctx.deadline - clock.monotonic()
        pause = self.schedule.after(attempt, asked=_asked(error), remaining=remaining, rng=self._rng)
        if isinstance(pause, GiveUp):
            if self.schedule.attempts > 1:
                error.add_note(f"Retry of {self.name!r} gave up: {pause.reason}.")
            return None
        if ctx.watched:
            ctx.emit(Retrying(ctx, self.name, attempt, error, pause))
        return pause

    def __repr__(self) -> str:
        plan, options = self.schedule, list[str]()
        for name, value, default in (
            ("attempts", plan.attempts, 3),
            ("base", plan.base, 0.25),
            ("cap", plan.cap, 8.0),
            ("longest_wait", plan.longest_wait, 60.0),
            ("multiplier", plan.multiplier, 2.0),
            ("jitter", plan.jitter, True),
        ):
            if value != default:
                options.append(f", {name}={value!r}")
        if self.on is not None:
            options.append(f", on={describe(self.on)}")
        return f"Retry({self.inner!r}{''.join(options)}){renamed(self, self.inner.name)}"


def _real(error: Exception, before: Exception | None) -> Exception | None:
    """The latest failure that was no refusal of our own."""
    return before if isinstance(error, Refused) else error


def _told(error: Exception, real: Exception | None) -> Exception:
    """What the caller gets, who can do nothing with a breaker that his own attempts have opened."""
    if real is None or not isinstance(error, Refused):
        return error
    real.add_note(f"A further attempt was refused ({type(error).__name__}): {error.message}")
    return real


def _asked(error: Exception) -> float | None:
    """The pause in seconds that an error asks for; errors of other libraries may carry anything under that name."""
    asked = getattr(error, "retry_after", None)
    return float(asked) if isinstance(asked, int | float) and asked > 0 else None
