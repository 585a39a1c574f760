"""A clock around a block of code. It knows nothing of steps: it rings, and the block ends with `TimeoutExceeded`.

This is `asyncio.timeout` without its two coroutines, with our clock and our error: half the price on the hot path.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

from tidyllm import clock
from tidyllm.errors import TimeoutExceeded

__all__ = ["Alarm"]


class Alarm:
    """`with Alarm(5.0, "total", 5.0, "step 'fetch'"): await …` raises `TimeoutExceeded` when 5 s have gone.

    `after` is the seconds from now (0 or less rings at the next turn of the event loop); `kind`, `seconds` and `what`
    go into the error. A cancellation from outside passes through untouched, also when it comes at the same moment.
    """

    __slots__ = ("_after", "_cancelling", "_kind", "_rang", "_seconds", "_task", "_timer", "_what")

    def __init__(self, after: float, kind: str, seconds: float, what: str) -> None:
        self._after = after
        self._kind = kind
        self._seconds = seconds
        self._what = what
        self._rang = False

    def __enter__(self) -> None:
        task: asyncio.Task[Any] | None = asyncio.current_task()
        if task is None:
            raise RuntimeError("an Alarm needs a running asyncio task")
        self._task = task
        self._cancelling = task.cancelling()
        self._timer = clock.call_later(max(self._after, 0.0), self._ring)

    def _ring(self) -> None:
        self._rang = True
        self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if not self._rang:
            return
        # When someone else cancelled the task too, the count stays above what it was: theirs wins.
        if self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutExceeded(self._kind, self._seconds, what=self._what) from error
