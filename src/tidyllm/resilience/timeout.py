"""Clocks around a step. It knows how long the step took, not what it did."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any, TypeVar, final

from tidyllm import clock
from tidyllm.core import Context, Wrapper, as_step
from tidyllm.core.context import reset_current, set_current
from tidyllm.core.head import is_head
from tidyllm.errors import ConfigError, TimeoutExceeded
from tidyllm.resilience.checks import optional_duration
from tidyllm.resilience.partial import interrupted, reports_partial
from tidyllm.resilience.shared_timer import SharedTimer
from tidyllm.resilience.stream_clocks import StreamClocks
from tidyllm.resilience.wrapped import Wrapped, renamed

__all__ = ["Timeout"]

I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)


@final
class Timeout(Wrapper[I_contra, O_co]):
    """Cancels `step` and raises `TimeoutExceeded` when one of its clocks runs out.

    - `total`: seconds for the whole call.
    - `first_piece`: seconds until the first piece of a stream that holds something of the answer: who answers and what
      the prompt took are told before a model has thought, and do not stop this clock.
    - `gap`: seconds between two pieces of a stream.
    - `setting`: what `total` is called where it was written, for the error's text (a route calls it `deadline`).

    There are no defaults: what is slow for one step is quick for another. A call that is not streamed has only `total`.
    `error.clock` says which one it was. Inside a `Retry` each attempt gets fresh clocks.

    A stream whose clock runs out after its first piece gives `StreamInterrupted`, from the `TimeoutExceeded`, with the
    answer so far in `partial`. Errors of the step itself pass as they are.

    The clocks of a stream measure the step, never its reader: they run while the reader waits for a piece and stand
    while it works on one. So a slow reader cannot make a target look broken (five of them would open its breaker).
    The deadline of the context counts everything, and the step inside sees it shrunk to `total` from the start.

    :raises ConfigError: no clock is given, or one is out of range.
    """

    def __init__(
        self,
        step: Wrapped[I_contra, O_co],
        total: float | timedelta | None = None,
        first_piece: float | timedelta | None = None,
        gap: float | timedelta | None = None,
        *,
        setting: str = "total",
    ) -> None:
        super().__init__(as_step(step))
        self.total = optional_duration("Timeout.total", total)
        self.first_piece = optional_duration("Timeout.first_piece", first_piece)
        self.gap = optional_duration("Timeout.gap", gap)
        if self.total is self.first_piece is self.gap is None:
            raise ConfigError(
                f"the Timeout around {self.name!r} has no clock.",
                hint="Give total, first_piece or gap, in seconds.",
            )
        self.setting = setting
        self.reports_partial = reports_partial(self.inner)
        self._what = f"step {self.name!r}"
        self._timer = None if self.total is None else SharedTimer(self.total, setting)

    async def invoke(self, x: I_contra, ctx: Context) -> O_co:
        timer = self._timer
        if timer is None:
            return await self.inner.invoke(x, ctx)
        now = clock.monotonic()
        here = ctx.until(now + timer.seconds)
        if here is ctx:  # the run ends no later, and whoever set its deadline watches it
            return await self.inner.invoke(x, ctx)
        token = set_current(here)
        try:
            with timer.start(now, self._what):
                return await self.inner.invoke(x, here)
        finally:
            reset_current(token)

    async def invoke_stream(self, x: I_contra, ctx: Context) -> AsyncGenerator[Any, None]:
        here = ctx if self.total is None else ctx.until(clock.monotonic() + self.total)
        pieces = self.inner.invoke_stream(x, here)
        clocks = StreamClocks(self.total, self.first_piece, self.gap, self._what, self.setting)
        waiting = True
        # What runs out cancels the step, and a cancelled step tells nobody what it had: that has to be kept here.
        passed: list[Any] = []
        try:
            while True:
                try:
                    with clocks:
                        token = set_current(here)
                        try:
                            piece = await anext(pieces)
                        except StopAsyncIteration:
                            return
                        finally:
                            reset_current(token)
                except TimeoutExceeded as error:
                    if waiting or not clocks.overdue:
                        raise
                    raise interrupted(self, passed, error) from error
                passed.append(piece)
                if waiting:
                    waiting = is_head(piece)
                    if waiting:
                        clocks.still_first()
                yield piece
        finally:
            clocks.stop()
            await pieces.aclose()

    def named(self, name: str) -> Timeout[I_contra, O_co]:
        twin = super().named(name)
        twin._what = f"step {name!r}"
        return twin

    def __repr__(self) -> str:
        settings = (("total", self.total), ("first_piece", self.first_piece), ("gap", self.gap))
        given = "".join(f", {name}={value!r}" for name, value in settings if value is not None)
        if self.setting != "total":
            given += f", setting={self.setting!r}"
        return f"Timeout({self.inner!r}{given}){renamed(self, self.inner.name)}"
