"""Who watches over a run that is under way: its deadline rings, and `ctx.cancel()` finds its tasks.

It knows tasks and clocks, nothing of steps or paths.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tidyllm import clock
from tidyllm.core.alarm import Alarm, StreamAlarm
from tidyllm.errors import TimeoutExceeded

if TYPE_CHECKING:
    from tidyllm.core.context import Context

__all__ = ["Switch", "Watch"]


class Switch:
    """Turns a run off: what is under way is cancelled, what starts later ends at once."""

    __slots__ = ("reason", "watches")

    def __init__(self) -> None:
        self.reason: str | None = None
        self.watches: set[Watch] = set()

    def cancel(self, reason: str) -> None:
        """Cancel every task that entered the run; from any thread."""
        if self.reason is None:
            self.reason = reason
        for watch in tuple(self.watches):
            watch.cancel(reason)


class Watch:
    """Guards one entry into a run: `with watch:` around the call, or around the wait for each piece of a stream.

    A run that was cancelled never ends as a success, even if a step swallowed the cancellation.

    :raises TimeoutExceeded: the deadline passed before or while the block ran.
    :raises asyncio.CancelledError: the run was cancelled before or while the block ran.
    """

    __slots__ = ("_alarm", "_cancels", "_deadline", "_streams", "_switch", "_task", "_what", "place")

    def __init__(self, switch: Switch | None, deadline: float | None, what: str, *, streams: bool) -> None:
        self.place: Context | None = None
        """The context that was entered."""
        self._switch = switch
        self._deadline = deadline
        self._what = what
        self._streams = streams
        self._alarm: Alarm | None = None
        self._task: asyncio.Task[Any] | None = None
        self._cancels = 0

    def __enter__(self) -> None:
        switch = self._switch
        if switch is not None and switch.reason is not None:
            raise asyncio.CancelledError(switch.reason)
        if self._alarm is None and self._deadline is not None:
            left = self._deadline - clock.monotonic()
            if left <= 0:
                raise TimeoutExceeded("deadline", 0.0, what=self._what)
            self._alarm = (StreamAlarm if self._streams else Alarm)(left, "deadline", left, self._what)
        if self._alarm is not None:
            self._alarm.__enter__()
        if switch is not None:
            self._task = asyncio.current_task()
            self._cancels = 0
            switch.watches.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        switch, task, self._task = self._switch, self._task, None
        if switch is not None:
            switch.watches.discard(self)
        try:
            if self._alarm is not None:
                self._alarm.__exit__(kind, error, trace)
        finally:
            # The task may be the caller's own, which lives on: what we cancelled we take back.
            if task is not None:
                for _ in range(self._cancels):
                    task.uncancel()
        if kind is None and switch is not None and switch.reason is not None:
            raise asyncio.CancelledError(switch.reason)

    def close(self) -> None:
        """The call or the stream is over."""
        self.place = None  # it refers to us
        if isinstance(self._alarm, StreamAlarm):
            self._alarm.close()

    @property
    def expired(self) -> TimeoutExceeded | None:
        """The error of the deadline, when that is what cancels the task now."""
        return None if self._alarm is None else self._alarm.expired

    def cancel(self, reason: str) -> None:
        """Cancel the task inside, if there is one; from any thread."""
        task = self._task
        if task is None:
            return
        loop = task.get_loop()
        try:
            here = asyncio.get_running_loop() is loop
        except RuntimeError:
            here = False
        if not here:
            try:
                loop.call_soon_threadsafe(self._deliver, task, reason)
            except RuntimeError:
                pass  # that loop was closed meanwhile, and its tasks with it
        elif asyncio.current_task() is task:
            # Before 3.13, a task that cancels itself and then ends without waiting keeps a cancellation in store.
            loop.call_soon(self._deliver, task, reason)
        else:
            self._deliver(task, reason)

    def _deliver(self, task: asyncio.Task[Any], reason: str) -> None:
        if self._task is task:
            self._cancels += 1
            task.cancel(reason)
