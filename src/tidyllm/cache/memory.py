"""Kept answers in the memory of this process. It knows sizes and who was asked for last, not what is kept."""

from __future__ import annotations

from threading import Lock

from tidyllm import clock
from tidyllm.cache.backend import Backend
from tidyllm.errors import ConfigError

__all__ = ["MemoryCache"]

_OVERHEAD = 250
"""Bytes that Python needs for an entry beside its value: key, tuple, two numbers, a place in the dictionary."""


class MemoryCache(Backend):
    """The least recently used entries go when there are more than `max_entries`, or more than `max_bytes` in all.

    - `max_bytes`: default 64 MB, some ten thousand answers. An entry that needs more than an eighth is not kept.
    - `max_entries`: default 100,000.

    It may be used from several threads and event loops.

    :raises ConfigError: a bound is below 1.
    """

    def __init__(self, max_bytes: int = 64_000_000, max_entries: int = 100_000) -> None:
        for name, value in (("max_bytes", max_bytes), ("max_entries", max_entries)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
                raise ConfigError(
                    f"{value!r} is out of range; expected a whole number from 1 on.",
                    where=f"MemoryCache.{name}",
                )
        self.max_bytes = max_bytes
        self.max_entries = max_entries
        self.bytes = 0
        """Bytes that are kept now, with what Python needs for them."""
        self._kept: dict[bytes, tuple[bytes, float]] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def peek(self, key: bytes) -> bytes | None:
        with self._lock:
            kept = self._kept.pop(key, None)
            if kept is None:
                return None
            if kept[1] <= clock.now():
                self.bytes -= len(kept[0]) + _OVERHEAD
                return None
            self._kept[key] = kept  # a dictionary keeps the order of insertion: last is the latest used
            return kept[0]

    async def get(self, key: bytes) -> bytes | None:
        return self.peek(key)

    async def put(self, key: bytes, value: bytes, *, expires_at: float) -> None:
        self.keep(key, value, expires_at=expires_at)

    def keep(self, key: bytes, value: bytes, *, expires_at: float) -> None:
        """As `put`, at once."""
        size = len(value) + _OVERHEAD
        with self._lock:
            self._forget(key)
            if size * 8 > self.max_bytes:
                return
            self._kept[key] = (value, expires_at)
            self.bytes += size
            while self.bytes > self.max_bytes or len(self._kept) > self.max_entries:
                self._forget(next(iter(self._kept)))

    async def delete(self, key: bytes) -> None:
        self.forget(key)

    def forget(self, key: bytes) -> None:
        """As `delete`, at once."""
        with self._lock:
            self._forget(key)

    async def clear(self) -> None:
        with self._lock:
            self._kept.clear()
            self.bytes = 0

    def _forget(self, key: bytes) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self.bytes -= len(kept[0]) + _OVERHEAD
