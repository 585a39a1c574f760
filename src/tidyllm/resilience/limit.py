"""A gate before a step. It knows when a call may start and when it has ended, not how the queue works."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any, TypeVar, final

from tidyllm.core import Context, Wrapper, as_step
from tidyllm.errors import ConfigError
from tidyllm.resilience.checks import optional_duration
from tidyllm.resilience.limiter import Limiter
from tidyllm.resilience.partial import reports_partial
from tidyllm.resilience.wrapped import Wrapped, renamed

__all__ = ["Limit"]

I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)


@final
class Limit(Wrapper[I_contra, O_co]):
    """Lets at most `concurrency` calls of `step` run at once and at most `rate` start a second; others wait in line.

    - `burst`: how many may start at once after a pause. Default: those of one second, and at least one.
    - `max_wait`: seconds to wait at most; then `LimitExceeded`. Default: until the deadline. 0 refuses at once.
    - `name`: what errors call the limit; default: the step's name.
    - `limiter`: one that is shared with other steps, instead of the settings above but `max_wait`.

    A wait that is known to last longer than `max_wait` or the deadline is refused at once, with `retry_after`. A
    stream keeps its place until it ends. The place is held while the step inside waits for anything, so inside a
    `Retry` (`Retry(Limit(call))`) pauses between attempts hold none.

    :raises ConfigError: there is nothing to limit, or an argument is out of range.
    """

    def __init__(
        self,
        step: Wrapped[I_contra, O_co],
        concurrency: int | None = None,
        rate: float | None = None,
        *,
        burst: int | None = None,
        max_wait: float | timedelta | None = None,
        name: str | None = None,
        limiter: Limiter | None = None,
    ) -> None:
        super().__init__(as_step(step))
        self.max_wait = optional_duration("Limit.max_wait", max_wait, zero=True)
        if limiter is None:
            limiter = Limiter(concurrency=concurrency, rate=rate, burst=burst, name=name or self.name)
            settings = (("concurrency", concurrency), ("rate", rate), ("burst", burst), ("name", name))
            self._given = "".join(f", {key}={value!r}" for key, value in settings if value is not None)
        elif not (concurrency is rate is burst is name is None):
            raise ConfigError(
                "a Limit takes either a limiter or settings for one of its own.", where="Limit.limiter"
            )
        else:
            self._given = f", limiter={limiter!r}"
        self.limiter = limiter
        self.reports_partial = reports_partial(self.inner)

    async def invoke(self, x: I_contra, ctx: Context) -> O_co:
        limiter = self.limiter
        await limiter.acquire(max_wait=self.max_wait, deadline=ctx.deadline)
        try:
            return await self.inner.invoke(x, ctx)
        finally:
            limiter.release()

    async def invoke_stream(self, x: I_contra, ctx: Context) -> AsyncGenerator[Any, None]:
        await self.limiter.acquire(max_wait=self.max_wait, deadline=ctx.deadline)
        try:
            pieces = self.inner.invoke_stream(x, ctx)
            try:
                async for piece in pieces:
                    yield piece
            finally:
                await pieces.aclose()
        finally:
            self.limiter.release()

    def __repr__(self) -> str:
        wait = "" if self.max_wait is None else f", max_wait={self.max_wait!r}"
        return f"Limit({self.inner!r}{self._given}{wait}){renamed(self, self.inner.name)}"
