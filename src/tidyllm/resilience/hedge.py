"""A second try beside the first one when that is slow. It knows which try was first, not what the step does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from datetime import timedelta
from typing import Any, Generic, TypeVar, final

from tidyllm import clock
from tidyllm.core import Context, Wrapper, as_step
from tidyllm.core.group import failures, note, stop
from tidyllm.core.head import MOST_HEADS, is_head
from tidyllm.resilience.again import run_again, stream_again
from tidyllm.resilience.checks import count, duration
from tidyllm.resilience.partial import reports_partial
from tidyllm.resilience.wrapped import Wrapped, renamed

__all__ = ["Hedge"]

I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)
T = TypeVar("T")


@final
class Hedge(Wrapper[I_contra, O_co]):
    """Starts `step` once more when it has not answered after `delay` seconds; the first answer wins.

    - `delay`: seconds. Take what 95 of 100 calls need: then one call in twenty costs double.
    - `max_hedges`: further tries at most, each `delay` seconds after the one before.

    The losers are cancelled and waited for. It is no retry: a try that fails starts no other one. Its error is raised
    when no other try is running; else theirs is waited for. When all fail the first error is raised, with a note of
    each other one.
    Streams race to their first piece, those that only announce the answer not counted; the losers' streams are closed
    then.

    The step must bear being run twice: both tries may reach the provider, and both may cost.

    :raises ConfigError: an argument is out of range.
    """

    def __init__(
        self,
        step: Wrapped[I_contra, O_co],
        delay: float | timedelta,
        max_hedges: int = 1,
    ) -> None:
        super().__init__(as_step(step))
        self.delay = duration("Hedge.delay", delay, zero=True)
        self.max_hedges = count("Hedge.max_hedges", max_hedges)
        self.reports_partial = reports_partial(self.inner)

    async def invoke(self, x: I_contra, ctx: Context) -> O_co:
        def one_try(number: int) -> Coroutine[Any, Any, O_co]:
            return self.inner.invoke(x, ctx) if number == 1 else run_again(ctx, self.inner, x, "hedge")

        race = _Race(one_try, self.max_hedges + 1, self.delay)
        try:
            return (await race.winner()).result()
        finally:
            await race.stop()

    async def invoke_stream(self, x: I_contra, ctx: Context) -> AsyncGenerator[Any, None]:
        streams: list[AsyncGenerator[Any, None]] = []

        async def first_piece(number: int) -> tuple[AsyncGenerator[Any, None], tuple[Any, ...]]:
            """The stream of one try with its first piece and what came before that; fewer if it ended."""
            first: list[Any] = []
            inner = self.inner
            pieces = inner.invoke_stream(x, ctx) if number == 1 else stream_again(ctx, inner, x, "hedge")
            streams.append(pieces)
            async for piece in pieces:
                first.append(piece)
                if not is_head(piece) or len(first) > MOST_HEADS:
                    break
            return pieces, tuple(first)

        race = _Race(first_piece, self.max_hedges + 1, self.delay)
        try:
            try:
                pieces, first = (await race.winner()).result()
            finally:
                await race.stop()
            for loser in streams:
                if loser is not pieces:
                    await loser.aclose()
            for piece in first:
                yield piece
            async for piece in pieces:
                yield piece
        finally:
            for one in streams:
                await one.aclose()

    def __repr__(self) -> str:
        hedges = "" if self.max_hedges == 1 else f", max_hedges={self.max_hedges}"
        return f"Hedge({self.inner!r}, delay={self.delay!r}{hedges}){renamed(self, self.inner.name)}"


class _Race(Generic[T]):
    """Tries that start one after the other, until one of them succeeds or all that started have failed.

    Each try is a task in a copy of the caller's context variables: a timer's callback runs in such a copy, too.
    """

    def __init__(self, start: Callable[[int], Coroutine[Any, Any, T]], tries: int, delay: float) -> None:
        self._start = start
        self._tries = tries
        self._delay = delay
        self._tasks: list[asyncio.Task[T]] = []
        self._bell = asyncio.Event()
        self._timer: clock.Timer | None = None
        self._next_try()

    async def winner(self) -> asyncio.Task[T]:
        """The first task that succeeded; the first one that failed when no task is running any more."""
        failed: list[asyncio.Task[T]] = []
        while True:
            await self._bell.wait()
            self._bell.clear()
            for task in self._tasks:
                if task.done() and task not in failed:
                    if not task.cancelled() and task.exception() is None:
                        return task
                    failed.append(task)
            if len(failed) == len(self._tasks):
                if not failed[0].cancelled() and (error := failed[0].exception()) is not None:
                    note(error, failures(failed))
                return failed[0]

    async def stop(self) -> None:
        """Cancel what still runs and wait until it has ended."""
        if self._timer is not None:
            self._timer.cancel()
        try:
            await stop(self._tasks)
        finally:
            self._tasks = []  # their errors refer to frames that hold this race: else all of it is garbage

    def _next_try(self) -> None:
        self._timer = None
        number = len(self._tasks) + 1
        task = asyncio.create_task(self._start(number), name=f"try {number}")
        task.add_done_callback(lambda _: self._bell.set())
        self._tasks.append(task)
        if len(self._tasks) < self._tries:
            self._timer = clock.call_later(self._delay, self._next_try)
