"""A store as a cache uses it: what fails there is counted and logged, and never the caller's trouble."""

from __future__ import annotations

import logging

from tidyllm import clock
from tidyllm.cache.backend import Backend, Lease
from tidyllm.cache.counts import Counts
from tidyllm.cache.entry import Corrupt, Entry
from tidyllm.errors import StoreDown

__all__ = ["Kept"]

_log = logging.getLogger("tidyllm.cache")
_REST = 1.0
"""Seconds that a store which cannot be reached is left alone: each request would wait for it again."""
_LATELY, _SMALL = 256, 16_384
"""Entries, and bytes of one: 4 MiB at most."""
_QUIET = 30.0
"""Seconds between two log lines on a store that fails: it may fail on every request."""


class Kept:
    """Entries in a backend."""

    def __init__(self, name: str, backend: Backend, counts: Counts) -> None:
        self.backend = backend
        self._name = name
        self._counts = counts
        self._peek = backend.peek
        self._lately: dict[bytes, tuple[bytes, Entry]] = {}
        """What was opened lately: a question that is asked again and again is checked and decoded once."""
        self._logged_at = float("-inf")
        self._rests_until = float("-inf")

    def peek(self, key: bytes) -> Entry | None:
        """What is kept in memory, at once."""
        data = self._peek(key)
        if data is None:
            return None
        lately = self._lately.get(key)
        if lately is not None and lately[0] is data:
            entry = lately[1]
        else:
            try:
                entry = Entry.open(key, data)
            except Corrupt:
                return None  # `get` finds it again, and says so
            if len(data) <= _SMALL:
                if len(self._lately) >= _LATELY:
                    self._lately.clear()
                self._lately[key] = data, entry
        return entry if entry.expires_at > clock.now() else None

    @property
    def resting(self) -> bool:
        """Whether the store failed just now, and is not asked."""
        return clock.monotonic() < self._rests_until

    async def get(self, key: bytes) -> Entry | None:
        """What is kept; None when there is nothing, it expired, cannot be read, or the store fails."""
        if self.resting:
            return None
        try:
            data = await self.backend.get(key)
        except Exception as error:  # noqa: BLE001 - whatever a store does, the step can be called
            self._failed("read", error)
            return None
        if data is None:
            return None
        entry = self._opened(key, data)
        if entry is None:
            await self.delete(key)
        return entry

    async def put(self, key: bytes, entry: Entry) -> None:
        """Keep it, if the store can."""
        if self.resting:
            return
        try:
            await self.backend.put(key, entry.seal(key), expires_at=entry.expires_at)
        except Exception as error:  # noqa: BLE001
            self._failed("write", error)
        else:
            self._counts.kept += 1

    async def delete(self, key: bytes) -> None:
        """Forget it, if the store can."""
        try:
            await self.backend.delete(key)
        except Exception as error:  # noqa: BLE001
            self._failed("delete", error)

    async def lead(self, key: bytes) -> Lease | Entry | None:
        """The right to make the call, among all workers; or what another one has kept meanwhile."""
        if self.resting:
            return None
        try:
            found = await self.backend.lead(key)
        except Exception as error:  # noqa: BLE001
            self._failed("lock", error)
            return None
        return self._opened(key, found) if isinstance(found, bytes) else found

    def _opened(self, key: bytes, data: bytes) -> Entry | None:
        try:
            entry = Entry.open(key, data)
        except Corrupt as error:
            self.corrupt(key, error)
            return None
        return entry if entry.expires_at > clock.now() else None

    def corrupt(self, key: bytes, error: Exception) -> None:
        """The body of an entry could not be read."""
        self._counts.corrupt += 1
        _log.warning(
            "cache %r: entry %s is corrupt and taken for a miss: %s", self._name, key.hex()[:16], error
        )

    def _failed(self, act: str, error: Exception) -> None:
        self._counts.store_failures += 1
        now = clock.monotonic()
        if isinstance(error, StoreDown):
            self._rests_until = now + _REST
        if now - self._logged_at >= _QUIET:
            self._logged_at = now
            _log.warning(
                "cache %r works without its store (%s failed, %d failures so far): %s",
                self._name,
                act,
                self._counts.store_failures,
                error,
            )
