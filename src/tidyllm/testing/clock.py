"""A clock that stands until a test moves it. It knows timers and the event loop, nothing of steps."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import heapq
import math
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from types import TracebackType
from typing import Any, Self

from tidyllm import clock
from tidyllm.errors import ConfigError

__all__ = ["FakeClock"]

_THREADS_SECONDS = 5.0
"""Real seconds: on a busy machine a thread starts late, and a step that hangs in one must still run out of time."""

_NEAR = 1e-9
"""Seconds. Three sleeps of 0.1 s and one move of 0.3 s differ by a rounding; the test means the same moment."""


class FakeClock:
    """`with FakeClock() as clock:` lets it tell the time for the whole process until the block ends.

    - `clock.advance(5)` moves it by 5 seconds and wakes what was due, in order, at the next turn of the event loop.
    - `autojump=True`: when every task waits, it jumps by itself to the next timer: a test of an hour's backoff takes no
      time. It looks at the queue of asyncio's own event loop, so it does not work on uvloop.
    - `threshold`: real seconds for which every task must have waited before it jumps. 0 is right for tests without
      sockets or processes; with them, more than the longest real answer takes (0.05), because a loop that waits for a
      socket looks idle. What asyncio runs in its threads (`to_thread`, the look-up of a host's name) is seen, and
      waited for up to 5 real seconds more.

    `monotonic` begins at 1,000 and `now` at 1,750,000,000 (June 2025), always.

    :raises ConfigError: a move backwards; autojump on an event loop that is not asyncio's own.
    """

    def __init__(self, *, autojump: bool = False, threshold: float | timedelta = 0.0) -> None:
        self._passed = 0.0
        self._timers: list[tuple[float, int, _Timer]] = []
        self._numbers = count()
        self._autojump = autojump
        self._threshold = clock.seconds(threshold)
        self._looking: set[asyncio.AbstractEventLoop] = set()
        self._installed = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._installed.enter_context(clock.use(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._installed.close()

    # -- what programs ask

    def monotonic(self) -> float:
        """Seconds since some moment; 1,000 at the beginning."""
        return 1_000.0 + self._passed

    def now(self) -> float:
        """Seconds since 1970 in UTC; 1,750,000,000 at the beginning."""
        return 1_750_000_000.0 + self._passed

    async def sleep(self, seconds: float) -> None:
        """Return when the clock was moved by `seconds`."""
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self.call_later(seconds, lambda: over.done() or over.set_result(None))
        try:
            await over
        finally:
            timer.cancel()

    def call_later(self, seconds: float, callback: Callable[[], object]) -> clock.Timer:
        """Call `callback` on the running event loop when the clock was moved by `seconds`."""
        loop = asyncio.get_running_loop()
        timer = _Timer(loop, callback)
        heapq.heappush(self._timers, (self._passed + max(seconds, 0.0), next(self._numbers), timer))
        if seconds <= 0:
            self._ring_due()
        elif self._autojump:
            self._look(loop)
        return timer

    # -- what a test does

    def advance(self, seconds: float | timedelta) -> None:
        """Move the clock. What was due runs at the next turn of its event loop, in order, and sees the new time."""
        step = clock.seconds(seconds)
        if not 0 <= step < math.inf:
            raise ConfigError(f"a clock cannot be moved by {step} s.", hint="Give seconds from 0 upwards.")
        self._passed += step
        self._ring_due()

    @property
    def timers(self) -> list[float]:
        """Seconds until each timer that has not rung yet, the next one first."""
        return sorted(due - self._passed for due, _, timer in self._timers if not timer.over)

    def _ring_due(self) -> None:
        while self._timers and self._timers[0][0] <= self._passed + _NEAR:
            due, _, timer = heapq.heappop(self._timers)
            self._passed = max(self._passed, due)
            timer.ring()

    # -- jumping

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop in self._looking:
            return
        queue: Any = getattr(loop, "_ready", None)  # of handles that run at this turn or the next
        if queue is None:
            raise ConfigError(
                f"FakeClock(autojump=True) cannot tell whether {type(loop).__name__} is idle.",
                hint="Use asyncio's own event loop, or move the clock with advance().",
            )
        idle_since: float | None = None
        threads = _Threads(loop)

        def look() -> None:
            nonlocal idle_since
            while self._timers and self._timers[0][2].over:
                heapq.heappop(self._timers)
            if not self._timers or loop.is_closed():
                self._looking.discard(loop)
                threads.leave()
                return
            if queue:
                idle_since = None
            elif idle_since is None:
                idle_since = loop.time()  # and once more, after the sockets had their turn
            elif loop.time() - idle_since >= self._threshold + (_THREADS_SECONDS if threads.working else 0):
                idle_since = None
                self._passed = max(self._passed, self._timers[0][0])
                self._ring_due()
            loop.call_soon(look)

        self._looking.add(loop)
        loop.call_soon(look)


class _Threads:
    """What an event loop runs in threads: `loop.run_in_executor` is listened to until `leave()`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.working: set[asyncio.Future[Any]] = set()
        run = loop.run_in_executor

        def listened(executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
            future = run(executor, func, *args)
            self.working.add(future)
            future.add_done_callback(self.working.discard)
            return future

        self._loop: Any = loop
        self._before = run
        self._loop.run_in_executor = listened

    def leave(self) -> None:
        self._loop.run_in_executor = self._before


class _Timer:
    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
        self._loop = loop
        self._callback = callback
        self._context = contextvars.copy_context()  # as the loop's own timers do
        self.over = False

    def cancel(self) -> None:
        self.over = True

    def ring(self) -> None:
        if self.over:
            return
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        try:
            call = self._loop.call_soon if here else self._loop.call_soon_threadsafe
            call(self._run, context=self._context)
        except RuntimeError:
            self.over = True  # that loop was closed, and whoever waited there is gone

    def _run(self) -> None:
        if not self.over:
            self.over = True
            self._callback()
