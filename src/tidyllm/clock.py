"""The only door to time. It knows nothing of steps or models.

Call through the module (`clock.monotonic()`), never `from tidyllm.clock import monotonic`: a test replaces the
functions of this module with those of its own clock, and a name imported earlier would keep the old one.
"""

from __future__ import annotations

import asyncio
import contextlib
import time as _time
from collections.abc import Callable, Coroutine, Generator
from datetime import timedelta
from typing import Any, Protocol

__all__ = ["Clock", "Timer", "call_later", "monotonic", "now", "seconds", "sleep", "use"]


class Timer(Protocol):
    """Something that will ring, unless it is cancelled."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """What a clock must be able to do; `tidyllm.testing.FakeClock` is the other one."""

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean something."""
        ...

    def now(self) -> float:
        """Seconds since 1970 in UTC, for records."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after at least `seconds`."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` on the running event loop after `seconds`."""
        ...


def _call_later(seconds: float, callback: Callable[[], object]) -> Timer:
    return asyncio.get_running_loop().call_later(seconds, callback)


monotonic: Callable[[], float] = _time.monotonic
now: Callable[[], float] = _time.time
sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep
call_later: Callable[[float, Callable[[], object]], Timer] = _call_later


@contextlib.contextmanager
def use(clock: Clock) -> Generator[Clock]:
    """Let `clock` tell the time for the whole process within the `with` block. For tests: it is not per task."""
    global monotonic, now, sleep, call_later
    before = monotonic, now, sleep, call_later
    monotonic, now, sleep, call_later = clock.monotonic, clock.now, clock.sleep, clock.call_later
    try:
        yield clock
    finally:
        monotonic, now, sleep, call_later = before


def seconds(value: float | timedelta) -> float:
    """A duration given as seconds or as `timedelta`, in seconds."""
    return value.total_seconds() if isinstance(value, timedelta) else float(value)
