"""Finding a key by its secret, cheaply: most calls cost one hash and one look into a dictionary.

What was found is kept in memory under the hash of its secret. Every change of a key gives it a new version, and one row
of the store has the newest: each process reads that row at most every `fresh_seconds`, as long as keys are asked for,
and forgets the keys that changed. So a revoked key is refused everywhere within `fresh_seconds`.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from hashlib import sha256
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from tidyllm import clock
from tidyllm.access.key import Key
from tidyllm.access.rows import key_of
from tidyllm.access.secret import looks_right
from tidyllm.access.teams import find_organisation, find_team
from tidyllm.errors import AuthError, StoreDown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from tidyllm.store import Store

__all__ = ["Lookup"]

V = TypeVar("V")


class _Found(NamedTuple):
    key: Key
    ends_at: float | None
    """Of this secret."""
    good_until: float
    """Of this memory, on the monotonic clock."""


class _News(NamedTuple):
    version: int
    changed: Sequence[str]


class Lookup:
    """Keys by their secrets.

    - `fresh_seconds`: how old knowledge of changes may be; from half of it on it is renewed in the background.
    - `keep_seconds`: how long a key is kept at most; a change is noticed earlier.
    - `unknown_seconds`: how long a secret that opens nothing is refused without asking the store.
    - `size`: how many keys, and how many unknown secrets, are kept; the ones used longest ago make room.
    - `on_store_down`: `allow` answers with the keys that are in memory while the store is away, for `keep_seconds`;
      `refuse` answers with none. A key that is not in memory is refused in both cases.
    """

    def __init__(
        self,
        store: Store,
        *,
        fresh_seconds: float = 1.0,
        keep_seconds: float = 300.0,
        unknown_seconds: float = 30.0,
        size: int = 10_000,
        on_store_down: Literal["refuse", "allow"] = "refuse",
    ) -> None:
        self._store = store
        self.fresh_seconds = fresh_seconds
        self.keep_seconds = keep_seconds
        self.unknown_seconds = unknown_seconds
        self.size = size
        self.on_store_down = on_store_down
        self._found: OrderedDict[bytes, _Found] = OrderedDict()
        self._unknown: OrderedDict[bytes, float] = OrderedDict()
        self._version = -1
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def find(self, secret: str) -> Key:
        """The key that this secret opens.

        :raises AuthError: there is none, or it is revoked or expired.
        :raises StoreDown: it is not in memory, or the memory is too old, and the store cannot be asked.
        """
        name = sha256(secret.encode("utf-8", "surrogatepass")).digest()
        now = clock.monotonic()
        age = now - self._read_at
        if age > self.fresh_seconds / 2 and (self._found or self._unknown):
            reading = self._read_soon()
            if age > self.fresh_seconds:
                await self._wait_for(reading)
        found = self._found.get(name)
        if found is None or found.good_until <= now:
            found = await self._load(secret, name)
        else:
            self._found.move_to_end(name)
        return _good(found)

    def _read_soon(self) -> asyncio.Task[None]:
        loop = asyncio.get_running_loop()
        if self._reading is None or self._reading.done() or self._reading.get_loop() is not loop:
            self._reading = loop.create_task(self._read_news())
            self._reading.add_done_callback(_looked_at)
        return self._reading

    async def _wait_for(self, reading: asyncio.Task[None]) -> None:
        try:
            await asyncio.shield(reading)
        except StoreDown:
            if self.on_store_down == "refuse":
                raise

    async def _read_news(self) -> None:
        started, seen = clock.monotonic(), self._version
        news = await self._store.read(lambda conn: _news(conn, seen))
        if news.version < seen:  # another database is behind the address, or an older state of this one
            self._found.clear()
        if news.version != seen:
            changed = set(news.changed)
            for name, found in list(self._found.items()):
                if found.key.id in changed:
                    del self._found[name]
            self._unknown.clear()
            self._version = news.version
        self._read_at = started

    async def _load(self, secret: str, name: bytes) -> _Found:
        if not looks_right(secret) or self._unknown.get(name, 0.0) > clock.monotonic():
            raise _unknown()
        while True:
            started, seen = clock.monotonic(), self._version
            version, loaded = await self._store.read(lambda conn: _load(conn, name.hex()))
            if not self._found and not self._unknown:
                self._version, self._read_at = version, started
            # Else a change may have been noticed meanwhile, perhaps of this very key.
            if version >= self._version or seen == self._version:
                break
        if loaded is None:
            _keep(self._unknown, name, started + self.unknown_seconds, self.size)
            raise _unknown()
        found = _Found(*loaded, started + self.keep_seconds)
        _keep(self._found, name, found, self.size)
        return found


def _keep(kept: OrderedDict[bytes, V], name: bytes, value: V, size: int) -> None:
    kept[name] = value
    kept.move_to_end(name)
    if len(kept) > size:
        kept.popitem(last=False)


def _looked_at(task: asyncio.Task[None]) -> None:
    """A failure that nobody waited for is met again by the next one who asks."""
    if not task.cancelled():
        task.exception()


def _news(conn: Connection, seen: int) -> _News:
    import sqlalchemy as sa

    from tidyllm.store.tables.access import key_version, keys

    version = conn.execute(sa.select(key_version.c.version)).scalar_one()
    if version == seen:
        return _News(version, ())
    return _News(version, conn.execute(sa.select(keys.c.id).where(keys.c.version > seen)).scalars().all())


def _load(conn: Connection, digest: str) -> tuple[int, tuple[Key, float | None] | None]:
    """The version first: what is read after it is at least as new."""
    import sqlalchemy as sa

    from tidyllm.store.tables.access import key_secrets, key_version, keys

    version = conn.execute(sa.select(key_version.c.version)).scalar_one()
    query = (
        sa.select(keys, key_secrets.c.ends_at)
        .join(key_secrets, key_secrets.c.key_id == keys.c.id)
        .where(key_secrets.c.digest == digest)
    )
    row = conn.execute(query).mappings().first()
    if row is None:
        return version, None
    team = None if row["team"] is None else find_team(conn, row["team"])
    above = None if team is None or team.organisation is None else find_organisation(conn, team.organisation)
    return version, (key_of(row, team, above), row["ends_at"])


def _good(found: _Found) -> Key:
    now = clock.now()
    key = found.key
    state = key.state(now)
    if state == "revoked":
        raise AuthError(f"the key {key.prefix}… is revoked.", hint="Ask whoever gave it out for a new one.")
    if state == "expired":
        raise AuthError(f"the key {key.prefix}… has expired.", hint="Ask whoever gave it out for a new one.")
    if found.ends_at is not None and found.ends_at <= now:
        raise AuthError(
            f"the key {key.id} was rotated, and its old secret is no longer good.", hint="Use the new secret."
        )
    return key


def _unknown() -> AuthError:
    return AuthError(
        "the API key is wrong.", hint="It is a key of this gateway that is wanted, not a provider's."
    )
