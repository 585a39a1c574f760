"""Limits within one process. It knows windows, not stores."""

from __future__ import annotations

from collections.abc import Sequence

from tidyllm import clock
from tidyllm.access.key import Subject
from tidyllm.access.recent import Used
from tidyllm.access.window import Denied, Window

__all__ = ["LocalLimits"]

_MANY = 10_000
_FOREVER = float("inf")


class LocalLimits:
    """Counts in memory: exact for one worker, forgotten when it ends. See `Backend`.

    - `used`: what was used in the last minute, as `used_lately` reads it from a ledger; None: nothing.
    """

    leases = False

    def __init__(self, used: Used | None = None) -> None:
        self._windows = {name: _window(seconds) for name, seconds in (used or {}).items()}

    async def enter(
        self, subjects: Sequence[Subject], tokens: int, place: str, lease_seconds: float
    ) -> tuple[int, ...] | Denied:
        """A place is held until it is left: when the process dies, so does the count."""
        return self.enter_now(subjects, tokens, place)

    def enter_now(self, subjects: Sequence[Subject], tokens: int, place: str) -> tuple[int, ...] | Denied:
        """The same without a wait: a coroutine for each call would cost more than the count."""
        now = clock.now()
        windows = [self._window(subject.name) for subject in subjects]
        for subject, window in zip(subjects, windows, strict=True):
            if denied := window.deny(subject, now, tokens):
                return denied
        pairs = zip(subjects, windows, strict=True)
        return tuple([window.take(subject, now, tokens, place, _FOREVER) for subject, window in pairs])

    async def leave(
        self, subjects: Sequence[Subject], seconds: Sequence[int], place: str, counted: int, used: int
    ) -> None:
        now = clock.now()
        for subject, second in zip(subjects, seconds, strict=True):
            self._window(subject.name).settle(now, second, place, counted, used)

    async def renew(self, places: Sequence[tuple[Subject, str]], lease_seconds: float) -> None:
        pass

    async def aclose(self) -> None:
        pass

    def _window(self, name: str) -> Window:
        window = self._windows.get(name)
        if window is None:
            if len(self._windows) >= _MANY:
                self._tidy()
            window = self._windows[name] = Window()
        return window

    def _tidy(self) -> None:
        """Drop the windows in which nothing is left."""
        now = clock.now()
        for name, window in list(self._windows.items()):
            window.forget(now)
            if window.idle:
                del self._windows[name]


def _window(used: dict[int, tuple[int, int]]) -> Window:
    seconds = sorted(used)
    return Window(seconds, [used[one][0] for one in seconds], [used[one][1] for one in seconds])
