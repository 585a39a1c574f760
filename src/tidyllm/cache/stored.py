"""Kept answers in the database, for all who share it. It knows rows and bounds, not what is kept."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tidyllm import clock
from tidyllm.cache.backend import Backend
from tidyllm.cache.memory import MemoryCache
from tidyllm.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from tidyllm.store import Store

__all__ = ["StoreCache"]

_log = logging.getLogger("tidyllm.cache")
_TOUCH = 60.0
"""Seconds: who is asked for again within them is not written again."""
_SWEEP = 256
"""Answers kept by this process between two looks at the bounds."""
_ROWS = 500


class StoreCache(Backend):
    """SQLite or Postgres, through the batching writer: keeping an answer waits for nothing.

    - `max_bytes`, `max_entries`: bounds over all who share the database; the least recently used go first. They are
      looked at every few hundred answers, so that they may be passed by as much for a while. 1 GB and a million.
    - `front_bytes`: memory of this process in front of it, where an answer is for up to `front_seconds`: what is
      deleted elsewhere may be given out here for as long. 16 MB and 30 s; 0 bytes: none.

    An answer that could not be written is logged and counted in `lost`.

    :raises ConfigError: a bound is out of range.
    """

    def __init__(
        self,
        store: Store,
        *,
        max_bytes: int = 1_000_000_000,
        max_entries: int = 1_000_000,
        front_bytes: int = 16_000_000,
        front_seconds: float = 30.0,
    ) -> None:
        for name, value in (("max_bytes", max_bytes), ("max_entries", max_entries)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
                raise ConfigError(
                    f"{value!r} is out of range; expected a whole number from 1 on.",
                    where=f"StoreCache.{name}",
                )
        self.store = store
        self.max_bytes = max_bytes
        self.max_entries = max_entries
        self.front_seconds = front_seconds
        self.lost = 0
        self._front = MemoryCache(front_bytes) if front_bytes else None
        self._since_sweep = 0

    def peek(self, key: bytes) -> bytes | None:
        return None if self._front is None else self._front.peek(key)

    async def get(self, key: bytes) -> bytes | None:
        from sqlalchemy import select

        from tidyllm.store.tables.cache import cache_entries as table

        def look(connection: Connection) -> Any:
            columns = select(table.c.value, table.c.expires_at, table.c.used_at)
            return connection.execute(columns.where(table.c.key == key)).first()

        row = await self.store.read(look)
        if row is None:
            return None
        now = clock.now()
        value, expires_at, used_at = bytes(row[0]), float(row[1]), float(row[2])
        if expires_at <= now:
            return None
        if now - used_at > _TOUCH:
            self._write(lambda connection: self._touch(connection, key, now))
        if self._front is not None:
            self._front.keep(key, value, expires_at=min(expires_at, now + self.front_seconds))
        return value

    async def put(self, key: bytes, value: bytes, *, expires_at: float) -> None:
        now = clock.now()
        row = {
            "key": key,
            "value": value,
            "size": len(value),
            "expires_at": expires_at,
            "used_at": now,
        }
        self._write(lambda connection: self._upsert(connection, row))
        if self._front is not None:
            self._front.keep(key, value, expires_at=min(expires_at, now + self.front_seconds))
        self._since_sweep += 1
        if self._since_sweep >= _SWEEP:
            self._since_sweep = 0
            self._write(lambda connection: self.sweep(connection, now))

    async def delete(self, key: bytes) -> None:
        from tidyllm.store.tables.cache import cache_entries as table

        if self._front is not None:
            self._front.forget(key)
        await self.store.write(
            lambda connection: connection.execute(table.delete().where(table.c.key == key))
        )

    async def clear(self) -> None:
        from tidyllm.store.tables.cache import cache_entries as table

        if self._front is not None:
            await self._front.clear()
        await self.store.write(lambda connection: connection.execute(table.delete()))

    def sweep(self, connection: Connection, now: float) -> None:
        """Delete what has expired, and the least recently used above the bounds."""
        from sqlalchemy import func, select

        from tidyllm.store.tables.cache import cache_entries as table

        connection.execute(table.delete().where(table.c.expires_at <= now))
        count, size = connection.execute(
            select(func.count(), func.coalesce(func.sum(table.c.size), 0)).select_from(table)
        ).one()
        while count > self.max_entries or size > self.max_bytes:
            oldest = connection.execute(
                select(table.c.key, table.c.size).order_by(table.c.used_at, table.c.key).limit(_ROWS)
            ).all()
            gone: list[bytes] = []
            for key, bytes_ in oldest:
                if count <= self.max_entries and size <= self.max_bytes:
                    break
                gone.append(key)
                count, size = count - 1, size - bytes_
            if not gone:
                return
            connection.execute(table.delete().where(table.c.key.in_(gone)))

    def _write(self, work: Callable[[Connection], None]) -> None:
        self.store.post(work, lost=self._lose)

    def _lose(self, error: BaseException) -> None:
        self.lost += 1
        if self.lost in (1, 10, 100) or self.lost % 1000 == 0:
            _log.warning("%d answers could not be kept in %s: %s", self.lost, self.store.name, error)

    def _touch(self, connection: Connection, key: bytes, now: float) -> None:
        from tidyllm.store.tables.cache import cache_entries as table

        connection.execute(table.update().where(table.c.key == key).values(used_at=now))

    def _upsert(self, connection: Connection, row: dict[str, Any]) -> None:
        from sqlalchemy.dialects import postgresql, sqlite

        from tidyllm.store.tables.cache import cache_entries as table

        insert = postgresql.insert if self.store.dialect == "postgresql" else sqlite.insert
        changed = {name: value for name, value in row.items() if name != "key"}
        connection.execute(
            insert(table).values(row).on_conflict_do_update(index_elements=["key"], set_=changed)
        )
