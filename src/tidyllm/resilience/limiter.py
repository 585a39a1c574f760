"""So many at once, and so many a second, in the order of arrival. It knows callers that wait, not what they do then.

One limiter may be used from several event loops and threads at the same time: its state is changed under a lock, and
each waiting caller is woken on the loop that it waits on.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from types import TracebackType

from tidyllm import clock
from tidyllm.errors import ConfigError, LimitExceeded
from tidyllm.resilience.bucket import TokenBucket
from tidyllm.resilience.checks import count, duration

__all__ = ["Limiter"]


class _Waiter:
    """One caller in the queue. `place` becomes True when it may go, False when its time to wait is over."""

    __slots__ = ("alarm", "granted", "loop", "place", "timed", "timer")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.place: asyncio.Future[bool] = self.loop.create_future()
        self.granted = False
        self.timed = False
        """Whether `timer` is set, or about to be on the caller's own loop."""
        self.timer: clock.Timer | None = None
        """Rings when there should be a token."""
        self.alarm: clock.Timer | None = None
        """Rings when the caller will not wait any longer."""

    def tell(self, answer: bool, /) -> None:
        if not self.place.done():
            self.place.set_result(answer)


class Limiter:
    """At most `concurrency` holders at once, and at most `rate` new ones a second on average.

    - `burst`: how many may start at once after a pause. Default: those of one second, and at least one.
    - `name`: what errors call it.

    `acquire()` waits its turn, `acquire_nowait()` refuses; who got in calls `release()`. Or `async with limiter:`.
    Strictly first come, first served: nobody overtakes, and who gives up waiting leaves no hole.

    :raises ConfigError: there is neither a concurrency nor a rate, or one is out of range.
    """

    def __init__(
        self,
        *,
        concurrency: int | None = None,
        rate: float | None = None,
        burst: int | None = None,
        name: str = "limit",
    ) -> None:
        if concurrency is None and rate is None:
            raise ConfigError(
                f"the limit {name!r} limits nothing.", hint="Give concurrency, rate (a second) or both."
            )
        if burst is not None and rate is None:
            raise ConfigError(f"the limit {name!r} has a burst but no rate.", where="Limit.burst")
        self.concurrency = None if concurrency is None else count("Limit.concurrency", concurrency)
        self.rate = None if rate is None else _rate(rate)
        self.burst = None if burst is None else count("Limit.burst", burst)
        self.name = name
        self._free = math.inf if self.concurrency is None else self.concurrency
        self._bucket = (
            None if self.rate is None else TokenBucket(self.rate, self.burst or max(math.ceil(self.rate), 1))
        )
        self._queue: OrderedDict[_Waiter, None] = OrderedDict()
        # `release` may be called by a destructor while this thread holds the lock.
        self._lock = threading.RLock()

    @property
    def waiting(self) -> int:
        """How many callers wait."""
        return len(self._queue)

    @property
    def free(self) -> float:
        """How many more may hold a place at once; `inf` without `concurrency`."""
        return self._free

    def acquire_nowait(self) -> None:
        """Take a place now.

        :raises LimitExceeded: there is none, or others wait already. `retry_after` is when a token comes, if known.
        """
        with self._lock:
            now = clock.monotonic()
            if self._queue or not self._take(now):
                raise self._refusal(self._known_wait(now), "the caller does not wait")

    async def acquire(
        self, *, max_wait: float | timedelta | None = None, deadline: float | None = None
    ) -> None:
        """Wait for a place, behind all who wait already.

        - `max_wait`: seconds to wait at most; None for no limit.
        - `deadline`: `clock.monotonic()` seconds. A wait that is known to last longer is refused at once; the deadline
          itself is watched by whoever set it.

        :raises LimitExceeded: `max_wait` has gone, or the wait for a token alone would pass `max_wait` or `deadline`.
        """
        with self._lock:
            now = clock.monotonic()
            if not self._queue and self._take(now):
                return
            patience = None if max_wait is None else duration("Limiter.max_wait", max_wait, zero=True)
            known = self._known_wait(now)
            if patience is not None and (known > patience or patience == 0):
                raise self._refusal(known, f"the caller waits at most {patience:g} s")
            if deadline is not None and known > deadline - now:
                raise self._refusal(known, f"the deadline is in {max(deadline - now, 0.0):.2f} s")
            waiter = _Waiter()
            self._queue[waiter] = None
            self._serve(now)
        if patience is not None:
            waiter.alarm = clock.call_later(patience, lambda: self._expire(waiter))
        try:
            granted = await waiter.place
        except BaseException:
            self._leave(waiter)
            raise
        finally:
            for timer in (waiter.timer, waiter.alarm):
                if timer is not None:
                    timer.cancel()
        if not granted:
            with self._lock:
                known = self._known_wait(clock.monotonic())
                raise self._refusal(
                    known, f"the caller has waited {patience or 0.0:g} s, the most that it would"
                )

    def release(self) -> None:
        """Give a place back; the next in the queue gets it."""
        with self._lock:
            self._free += 1
            if self._queue:
                self._serve(clock.monotonic())

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        settings = (
            ("concurrency", self.concurrency),
            ("rate", self.rate),
            ("burst", self.burst),
            ("name", self.name),
        )
        return f"Limiter({', '.join(f'{key}={value!r}' for key, value in settings if value is not None)})"

    # -- all below with the lock held

    def _take(self, now: float) -> bool:
        if not self._free or (self._bucket is not None and not self._bucket.take(now)):
            return False
        self._free -= 1
        return True

    def _serve(self, now: float) -> None:
        """Let in whoever may go, from the head of the queue."""
        while self._queue:
            head = next(iter(self._queue))
            if head.loop.is_closed():  # its program ended without cancelling it
                del self._queue[head]
            elif self._take(now):
                del self._queue[head]
                head.granted = True
                _on_loop_of(head, partial(head.tell, True))
            else:
                if self._free and self._bucket is not None and not head.timed:
                    head.timed = True
                    _on_loop_of(head, partial(self._set_timer, head, self._bucket.wait(now)))
                return

    def _known_wait(self, now: float) -> float:
        """Seconds that a newcomer waits at least: until there are tokens for all before it and for itself."""
        return 0.0 if self._bucket is None else self._bucket.wait(now, len(self._queue))

    def _refusal(self, known: float, why: str) -> LimitExceeded:
        limits = [
            f"{self.concurrency} at once" if self.concurrency is not None else "",
            f"{self.rate:g} a second" if self.rate is not None else "",
        ]
        ahead = f"{len(self._queue)} wait already" if self._queue else "it is full"
        token = f", a token comes in {known:.2f} s" if known else ""
        return LimitExceeded(
            f"limit {self.name!r} ({' and '.join(filter(None, limits))}) has no room: {ahead}{token}, and {why}.",
            retry_after=known or None,
        )

    # -- on the loop of the waiter

    def _set_timer(self, waiter: _Waiter, after: float) -> None:
        if not waiter.place.done():
            waiter.timer = clock.call_later(after, lambda: self._token_is_due(waiter))

    def _token_is_due(self, waiter: _Waiter) -> None:
        with self._lock:
            waiter.timed = False
            self._serve(clock.monotonic())

    def _expire(self, waiter: _Waiter) -> None:
        with self._lock:
            now = clock.monotonic()
            self._serve(now)  # the token may be due at this very moment
            if waiter in self._queue:
                del self._queue[waiter]
                waiter.tell(False)
                self._serve(now)

    def _leave(self, waiter: _Waiter) -> None:
        """The caller was cancelled: what it was given, or its place in the queue, is the next one's."""
        with self._lock:
            if waiter.granted:
                self._free += 1
                if self._bucket is not None:
                    self._bucket.give_back()
            else:
                self._queue.pop(waiter, None)
            self._serve(clock.monotonic())


def _on_loop_of(waiter: _Waiter, action: Callable[[], None]) -> None:
    if waiter.loop is _running_loop():
        action()
    else:
        waiter.loop.call_soon_threadsafe(action)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _rate(rate: float) -> float:
    if not 0 < rate < math.inf:
        raise ConfigError(f"{rate!r} is out of range; expected tokens a second, above 0.", where="Limit.rate")
    return float(rate)
