"""The three clocks of one stream. They know when the reader waits and for how long, not what the pieces are.

An `Alarm` for each piece would cost a timer for each piece. Here one timer serves a whole stream: each wait only
writes down when it is overdue, and the timer, when it rings early, is set again for the rest.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

from tidyllm import clock
from tidyllm.errors import StepError, TimeoutExceeded

__all__ = ["StreamClocks"]


class StreamClocks:
    """`with clocks: piece = await anext(pieces)` for each piece in turn, `clocks.stop()` at the end.

    `total` seconds for all waits together, `first_piece` for the first one, `gap` for each later one; None for no such
    clock. `what` goes into the error. After a piece that only announces the answer, `clocks.still_first()`: the clock
    of the first piece then goes on. A cancellation from outside passes through untouched, also when it comes at the
    same moment.
    """

    __slots__ = (
        "_cancelling", "_due", "_first", "_first_left", "_gap", "_kind", "_left", "_limit", "_rang", "_rings",
        "_setting", "_started", "_task", "_timer", "_total", "_what", "overdue",
    )  # fmt: skip

    def __init__(
        self,
        total: float | None,
        first_piece: float | None,
        gap: float | None,
        what: str,
        setting: str = "total",
    ) -> None:
        self._total = total
        self._gap = gap
        self._what = what
        self._setting = setting
        """What the setting of `total` is called."""
        self.overdue = False
        """Whether a clock ran out and the stream ended by that."""
        self._left = total
        """Seconds of `total` that are not used up."""
        self._first = self._first_left = first_piece
        self._limit = first_piece
        self._kind = "first_piece"
        """The clock of this wait, and its setting."""
        self._started = 0.0
        self._due = 0.0
        """When the wait that is under way is overdue."""
        self._task: asyncio.Task[Any] | None = None
        """Who waits; None while the reader has the word, and in a wait without a clock."""
        self._cancelling = 0
        self._timer: clock.Timer | None = None
        self._rings = 0.0
        """When the timer rings."""
        self._rang = False

    def __enter__(self) -> None:
        limit, left = self._limit, self._left
        if left is not None and (limit is None or left < limit):
            limit = left
        if limit is None:
            return
        task: asyncio.Task[Any] | None = asyncio.current_task()
        if task is None:
            raise StepError("a stream with a Timeout was read outside of any asyncio task.")
        self._task = task
        self._cancelling = task.cancelling()
        self._started = now = clock.monotonic()
        self._due = due = now + limit
        if self._timer is None or due < self._rings:
            self._arm(limit, due)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if task is not None:
            if self._rang:
                self._rang = False
                # When someone else cancelled the task too, the count stays above what it was: theirs wins.
                if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
                    self.overdue = True
                    raise self._error() from error
            waited = clock.monotonic() - self._started
            if self._left is not None:
                self._left = max(self._left - waited, 0.0)
            if self._first_left is not None:
                self._first_left = max(self._first_left - waited, 0.0)
        self._limit, self._kind = self._gap, "gap"

    def still_first(self) -> None:
        """The piece that came was not the first one yet. Without a clock for that one, the gap's goes on."""
        if self._first_left is not None:
            self._limit, self._kind = self._first_left, "first_piece"

    def stop(self) -> None:
        """The stream is over: no timer stays behind."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, after: float, rings: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = clock.call_later(after, self._ring)
        self._rings = rings

    def _ring(self) -> None:
        self._timer = None
        if self._task is None:
            return  # the reader has the word; its next wait sets a timer again
        rest = self._due - clock.monotonic()
        if rest > 0:
            self._arm(rest, self._due)
            return
        self._rang = True
        self._task.cancel()

    def _error(self) -> TimeoutExceeded:
        limit = self._limit
        if self._total is not None and self._left is not None and (limit is None or self._left < limit):
            return TimeoutExceeded("total", self._total, what=self._what, setting=self._setting)
        seconds = self._first if self._kind == "first_piece" else limit
        assert seconds is not None
        return TimeoutExceeded(self._kind, seconds, what=self._what)
