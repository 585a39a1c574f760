"""Clocks around blocks of code. They know nothing of steps: one rings, and the block ends with `TimeoutExceeded`.

This is `asyncio.timeout` without its two coroutines, with our clock and our error: half the price on the hot path.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

from tidyllm import clock
from tidyllm.errors import StepError, TimeoutExceeded

__all__ = ["Alarm", "StreamAlarm"]


class Alarm:
    """`with Alarm(5.0, "total", 5.0, "step 'fetch'"): await …` raises `TimeoutExceeded` when 5 s have gone.

    `after` is the seconds from now (0 or less rings at the next turn of the event loop); `kind`, `seconds` and `what`
    go into the error. A cancellation from outside passes through untouched, also when it comes at the same moment;
    of two alarms that ring at the same moment, the outer one's error is raised.

    :raises StepError: no asyncio task is running.
    """

    __slots__ = ("_after", "_cancelling", "_kind", "_rang", "_seconds", "_task", "_timer", "_what")

    def __init__(self, after: float, kind: str, seconds: float, what: str) -> None:
        self._after = after
        self._kind = kind
        self._seconds = seconds
        self._what = what
        self._rang = False
        self._task: asyncio.Task[Any] | None = None
        self._timer: clock.Timer | None = None

    def __enter__(self) -> None:
        self._task = task = _this_task()
        self._cancelling = task.cancelling()
        self._timer = clock.call_later(max(self._after, 0.0), self._ring)

    def _ring(self) -> None:
        self._rang = True
        if self._task is not None:
            self._task.cancel()

    @property
    def expired(self) -> TimeoutExceeded | None:
        """The error that this block is about to end with: it rang, and nobody else cancelled the task."""
        if self._rang and self._task is not None and self._task.cancelling() == self._cancelling + 1:
            return self._error()
        return None

    def _error(self) -> TimeoutExceeded:
        return TimeoutExceeded(self._kind, self._seconds, what=self._what)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        task, self._task = self._task, None
        # When someone else cancelled the task too, the count stays above what it was: theirs wins.
        if self._rang and task is not None:
            mine = task.uncancel() <= self._cancelling
            if mine and kind is not None and issubclass(kind, asyncio.CancelledError):
                raise self._error() from error


class StreamAlarm(Alarm):
    """One clock over a whole stream: `with alarm:` around the wait for each piece, `close()` at the end.

    Between pieces, while the reader works, it may ring without harm; the next `with` then raises `TimeoutExceeded`.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        if self._rang:
            raise self._error()
        self._task = task = _this_task()
        self._cancelling = task.cancelling()
        if self._timer is None:
            self._timer = clock.call_later(max(self._after, 0.0), self._ring)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rang:
            super().__exit__(kind, error, trace)
        self._task = None

    def close(self) -> None:
        """The stream is over: ring no more."""
        if self._timer is not None:
            self._timer.cancel()


def _this_task() -> asyncio.Task[Any]:
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop
        task = None
    if task is None:
        raise StepError("a clock was started outside of any asyncio task.", hint="Use it in a coroutine.")
    return task
