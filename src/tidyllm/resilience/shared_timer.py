"""One timer for all calls that may take equally long. It knows which call is overdue, not what it does.

An `Alarm` gives each call a timer of its own, which is most of the price of a `Timeout`. Calls with the same limit end
in the order in which they began, so one timer, set for the oldest, serves them all: a call only writes down when it
is overdue. When the timer rings and the oldest has ended meanwhile, it is set again for the next.
"""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Any

from tidyllm import clock
from tidyllm.errors import StepError, TimeoutExceeded

__all__ = ["SharedTimer"]


class SharedTimer:
    """`with timer.start(now, what): await …` raises `TimeoutExceeded("total")` when `seconds` have gone.

    Several event loops may use it; each has a timer of its own. A cancellation from outside passes through untouched,
    also when it comes at the same moment.
    """

    def __init__(self, seconds: float, setting: str = "total") -> None:
        self.seconds = seconds
        self.setting = setting
        self._queue: _Queue | None = None
        """The one used last: nearly always there is only one loop."""
        self._queues: dict[asyncio.AbstractEventLoop, _Queue] = {}
        self._lock = threading.Lock()

    def start(self, now: float, what: str) -> _Timed:
        """The clock of one call that begins at `now` (`clock.monotonic()`); `what` goes into the error."""
        task: asyncio.Task[Any] | None = asyncio.current_task()
        if task is None:
            raise StepError("a Timeout was started outside of any asyncio task.")
        queue, loop = self._queue, task.get_loop()
        if queue is None or queue.loop is not loop:
            queue = self._queue = self._queue_of(loop)
        timed = _Timed(queue, task, now + self.seconds, self, what)
        queue.calls[timed] = None
        # Not only None: a timer on a clock that is no longer in use would never ring.
        if queue.set_by is not clock.call_later:
            queue.set(self.seconds)
        return timed

    def _queue_of(self, loop: asyncio.AbstractEventLoop) -> _Queue:
        with self._lock:
            if loop not in self._queues:
                for other in [one for one in self._queues if one.is_closed()]:
                    del self._queues[other]
                self._queues[loop] = _Queue(loop)
            return self._queues[loop]


class _Queue:
    """The calls of one loop, the oldest first, and the timer that is set for the oldest or an older one."""

    __slots__ = ("calls", "loop", "set_by")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.calls: dict[_Timed, None] = {}
        self.set_by: object = None
        """What set the timer; None while it is not set."""

    def set(self, after: float) -> None:
        self.set_by = clock.call_later
        clock.call_later(after, self.ring)

    def ring(self) -> None:
        self.set_by = None
        now = clock.monotonic()
        overdue: list[_Timed] = []
        for timed in self.calls:
            if timed.due > now:
                self.set(timed.due - now)
                break
            overdue.append(timed)
        for timed in overdue:
            del self.calls[timed]
            timed.ring()


class _Timed:
    """One call under way."""

    __slots__ = ("_cancelling", "_queue", "_rang", "_task", "_timer", "_what", "due")

    def __init__(
        self, queue: _Queue, task: asyncio.Task[Any], due: float, timer: SharedTimer, what: str
    ) -> None:
        self.due = due
        self._queue = queue
        self._task = task
        self._cancelling = task.cancelling()
        self._timer = timer
        self._what = what
        self._rang = False

    def ring(self) -> None:
        self._rang = True
        self._task.cancel()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._rang:
            del self._queue.calls[self]
            return
        # When someone else cancelled the task too, the count stays above what it was: theirs wins.
        if self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            timer = self._timer
            raise TimeoutExceeded("total", timer.seconds, what=self._what, setting=timer.setting) from error
