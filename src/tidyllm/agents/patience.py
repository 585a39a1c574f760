"""The clock of an agent's turn: it interrupts what takes too long, and stands still while a person is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

from tidyllm import clock
from tidyllm.core import Alarm

__all__ = ["Patience"]


class Patience:
    """Working time of one turn, of an agent and with it of those above: `with patience.waiting():` around a question.

    `seconds` None: it only measures.
    """

    __slots__ = ("_alarm", "_since", "_waiting", "_worked", "above")

    def __init__(self, above: Patience | None) -> None:
        self.above = above
        self._alarm: _Pausable | None = None
        self._since = 0.0
        self._worked = 0.0
        self._waiting = 0

    @contextmanager
    def turn(self, seconds: float | None, limit: float, mark: str) -> Generator[None]:
        """One turn, for at most `seconds`; `limit` and `mark` go into the error.

        :raises TimeoutExceeded: they have passed; its `what` is `mark`.
        """
        self._worked = 0.0
        self._since = clock.monotonic()
        if seconds is None:
            yield
            return
        alarm = self._alarm = _Pausable(seconds, "total", limit, mark)
        try:
            with alarm:
                yield
        finally:
            self._alarm = None

    @property
    def worked(self) -> float:
        """Seconds of this turn so far."""
        return self._worked if self._waiting else self._worked + clock.monotonic() - self._since

    @contextmanager
    def waiting(self) -> Generator[None]:
        """While a person thinks, no clock of this agent or one above it runs."""
        at: Patience | None = self
        while at is not None:
            at.pause()
            at = at.above
        try:
            yield
        finally:
            at = self
            while at is not None:
                at.go_on()
                at = at.above

    def pause(self) -> None:
        """One more question is open."""
        if not self._waiting:
            self._worked = self.worked
            if self._alarm is not None:
                self._alarm.pause(self._worked)
        self._waiting += 1

    def go_on(self) -> None:
        """It was answered."""
        self._waiting -= 1
        if not self._waiting:
            self._since = clock.monotonic()
            if self._alarm is not None:
                self._alarm.go_on()


class _Pausable(Alarm):
    """A clock that can be stopped for a while, from its own event loop: an agent in a thread leaves it alone."""

    __slots__ = ("_left",)

    @property
    def _here(self) -> bool:
        return self._task is not None and self._task.get_loop() is asyncio.get_running_loop()

    def pause(self, passed: float) -> None:
        """Stop it; so much has passed."""
        self._left = max(self._after - passed, 0.0)
        if self._timer is not None and self._here:
            self._timer.cancel()

    def go_on(self) -> None:
        """Let it run again, for what is left."""
        if self._here:
            self._timer = clock.call_later(self._left, self._ring)
