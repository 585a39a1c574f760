"""A flag that one thread waits for and others set. It knows nothing of what they do."""

from __future__ import annotations

import threading

__all__ = ["Wake"]


class Wake:
    """A flag that one thread waits for: a lock, because `threading.Event` takes ten times as long to set."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        try:
            self._lock.release()
        except RuntimeError:
            pass  # it is set

    def clear(self) -> None:
        self._lock.acquire(blocking=False)

    def wait(self, seconds: float | None) -> None:
        """Until it is set, which clears it, or for so many seconds."""
        self._lock.acquire(timeout=-1 if seconds is None else seconds)
