"""A switch before a step: when it keeps failing, calls are refused at once. It knows no state (see `breaker_state`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any, TypeVar, final

from tidyllm.core import BreakerChanged, Context, Wrapper, as_step
from tidyllm.core.head import is_head
from tidyllm.resilience.breakers import BREAKERS, Breaker, Breakers
from tidyllm.resilience.checks import count, duration
from tidyllm.resilience.partial import reports_partial
from tidyllm.resilience.policy import Errors, counts_against_target, describe, judge
from tidyllm.resilience.wrapped import Wrapped, renamed

__all__ = ["CircuitBreaker"]

I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)


@final
class CircuitBreaker(Wrapper[I_contra, O_co]):
    """Refuses calls of `step` with `BreakerOpen` after `failures` failures within `window` seconds.

    After `cooldown` seconds exactly one call, the probe, is let through: it decides whether the breaker closes or stays
    open for another `cooldown`. A probe that is cancelled decides nothing and leaves its place to the next call.
    Results of calls that were admitted before the last change are ignored.

    - `failures`, `window`: 5 within 30 s: more than one unlucky caller, sooner than users complain.
    - `cooldown`: 10 s: providers' short outages last seconds; one probe in ten seconds hurts nobody.
    - `name`: steps that name the same breaker share it, in the whole process; settings must be equal. Default: a
      breaker of its own, called like the step.
    - `counts`: the errors that count: a class, several, or a function of the error. Default: what says that the target
      is broken. The caller's faults, refusals, rate limits and an expired deadline do not; cancellation never does.
    - `breakers`: where the name is looked up; default: one registry for the process.

    Put it inside `Retry`: it is asked before every attempt. The call of a stream succeeds when the stream ends; a
    reader who leaves early says nothing of the target. The probe alone succeeds with its first piece that holds
    something of the answer: a stream may take minutes, and others would be refused all the while. Should it break
    later, that counts as any failure does. Put a `Timeout` inside, because a probe that hangs holds its place.

    :raises ConfigError: an argument is out of range, or the name is taken with other settings.
    """

    def __init__(
        self,
        step: Wrapped[I_contra, O_co],
        failures: int = 5,
        window: float | timedelta = 30.0,
        cooldown: float | timedelta = 10.0,
        *,
        name: str | None = None,
        counts: Errors | None = None,
        breakers: Breakers = BREAKERS,
    ) -> None:
        super().__init__(as_step(step))
        settings: dict[str, Any] = {
            "failures": count("CircuitBreaker.failures", failures),
            "window": duration("CircuitBreaker.window", window),
            "cooldown": duration("CircuitBreaker.cooldown", cooldown, zero=True),
        }
        self.counts = counts
        self.breaker = Breaker(self.name, **settings) if name is None else breakers.get(name, **settings)
        self.reports_partial = reports_partial(self.inner)
        self._is_shared = name is not None
        self._counts = judge("CircuitBreaker.counts", counts, counts_against_target)
        self._state = self.breaker.state

    async def invoke(self, x: I_contra, ctx: Context) -> O_co:
        ticket = self._state.ticket or self._admit(ctx)
        try:
            answer = await self.inner.invoke(x, ctx)
        except BaseException as error:
            self._failed(ticket, error, ctx)
            raise
        if ticket != self._state.ticket:
            self._finished(ticket, ctx, failed=False)
        return answer

    async def invoke_stream(self, x: I_contra, ctx: Context) -> AsyncGenerator[Any, None]:
        ticket = self._state.ticket or self._admit(ctx)
        over = begun = False
        pieces = self.inner.invoke_stream(x, ctx)
        try:
            while True:
                # Only what the step raises counts, not what a reader throws into this generator.
                try:
                    piece = await anext(pieces)
                except StopAsyncIteration:
                    over = True
                    self._finished(ticket, ctx, failed=False)
                    return
                except BaseException as error:
                    over = True
                    self._failed(ticket, error, ctx)
                    raise
                if not begun and not is_head(piece):
                    begun = True
                    if ticket != self._state.ticket:
                        self._finished(ticket, ctx, failed=False)
                        ticket = self._state.ticket or ticket
                yield piece
        finally:
            if not over:
                self._finished(ticket, ctx, failed=None)
            await pieces.aclose()

    def _admit(self, ctx: Context) -> int:
        ticket, changed = self.breaker.admit()
        if changed:
            self._tell(ctx)
        return ticket

    def _failed(self, ticket: int, error: BaseException, ctx: Context) -> None:
        failed: bool | None = None
        try:
            if isinstance(error, Exception) and self._counts(error):
                failed = True
        finally:  # also when `counts` itself raises: a probe must not keep its place
            self._finished(ticket, ctx, failed=failed)

    def _finished(self, ticket: int, ctx: Context, *, failed: bool | None) -> None:
        if self.breaker.finished(ticket, failed=failed):
            self._tell(ctx)

    def _tell(self, ctx: Context) -> None:
        if ctx.watched:
            ctx.emit(BreakerChanged(ctx, self.breaker.name, self.breaker.status))

    def __repr__(self) -> str:
        options: list[str] = []
        failures, window, cooldown = self.breaker.settings
        for name, value, default in (
            ("failures", failures, 5),
            ("window", window, 30.0),
            ("cooldown", cooldown, 10.0),
        ):
            if value != default:
                options.append(f", {name}={value!r}")
        if self._is_shared:
            options.append(f", name={self.breaker.name!r}")
        if self.counts is not None:
            options.append(f", counts={describe(self.counts)}")
        return f"CircuitBreaker({self.inner!r}{''.join(options)}){renamed(self, self.inner.name)}"
