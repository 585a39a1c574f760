"""Kept answers in Redis, and who of all workers makes the call. It knows keys and locks, not what is kept."""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
from typing import TYPE_CHECKING, Any

from tidyllm import clock
from tidyllm.cache.backend import Backend, Lease
from tidyllm.cache.memory import MemoryCache
from tidyllm.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from tidyllm.store import Script, SharedState

__all__ = ["RedisCache"]

_log = logging.getLogger("tidyllm.cache")

# Members of the sorted sets are the digests; an entry's own key is the prefix before it.
_GET = """
local value = redis.call('GET', KEYS[1])
if value then redis.call('ZADD', KEYS[2], 'XX', ARGV[2], ARGV[1]) end
return value
"""
_FORGET = """
local function forget(key)
  local size = tonumber(redis.call('HGET', KEYS[4], key) or '0')
  redis.call('DEL', KEYS[1] .. key)
  redis.call('ZREM', KEYS[2], key)
  redis.call('ZREM', KEYS[3], key)
  redis.call('HDEL', KEYS[4], key)
  return redis.call('HINCRBY', KEYS[4], 'bytes', 0 - size)
end
"""
_PUT = (
    _FORGET
    + """
for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', ARGV[4], 'LIMIT', 0, 100)) do forget(key) end
forget(ARGV[1])
redis.call('SET', KEYS[1] .. ARGV[1], ARGV[2], 'PX', ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
redis.call('ZADD', KEYS[3], ARGV[5], ARGV[1])
redis.call('HSET', KEYS[4], ARGV[1], #ARGV[2])
local bytes = redis.call('HINCRBY', KEYS[4], 'bytes', #ARGV[2])
local count = redis.call('ZCARD', KEYS[2])
local most = 1000
while (bytes > tonumber(ARGV[6]) or count > tonumber(ARGV[7])) and most > 0 do
  local oldest = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
  if not oldest then break end
  bytes = forget(oldest)
  count = count - 1
  most = most - 1
end
return bytes
"""
)
_DELETE = _FORGET + "return forget(ARGV[1])"
_CLEAR = (
    _FORGET
    + """
local some = redis.call('ZRANGE', KEYS[2], 0, 999)
for _, key in ipairs(some) do forget(key) end
return #some
"""
)
_LEAD = """
local value = redis.call('GET', KEYS[1])
if value then return value end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return 0
"""
_RENEW = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"

_FIRST_LOOK = 0.005
_LAST_LOOK = 0.1
"""Seconds between two looks of a worker that waits for another's call: short at first, and never long."""


class RedisCache(Backend):
    """Redis: shared by all workers, and one call among all of them for equal questions at once.

    - `max_bytes`, `max_entries`: bounds over all workers; the least recently used go first. 1 GB and a million.
    - `lock_seconds`: how long a worker that died holds up the others; a living one renews its lock. 10 s.
    - `space`: caches of two spaces on one Redis do not see each other.
    - `front_bytes`, `front_seconds`: memory in front of it, as in `StoreCache`. 16 MB and 30 s; 0 bytes: none.

    :raises ConfigError: a bound is out of range.
    """

    def __init__(
        self,
        shared: SharedState,
        *,
        space: str = "answers",
        max_bytes: int = 1_000_000_000,
        max_entries: int = 1_000_000,
        lock_seconds: float = 10.0,
        front_bytes: int = 16_000_000,
        front_seconds: float = 30.0,
    ) -> None:
        from tidyllm.store import Script

        for name, value in (("max_bytes", max_bytes), ("max_entries", max_entries)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
                raise ConfigError(
                    f"{value!r} is out of range; expected a whole number from 1 on.",
                    where=f"RedisCache.{name}",
                )
        if not (math.isfinite(lock_seconds) and lock_seconds > 0):
            raise ConfigError(
                f"{lock_seconds!r} is out of range; expected seconds above 0.",
                where="RedisCache.lock_seconds",
            )
        self.shared = shared
        self.max_bytes = max_bytes
        self.max_entries = max_entries
        self.lock_seconds = lock_seconds
        self.front_seconds = front_seconds
        self._front = MemoryCache(front_bytes) if front_bytes else None
        # The braces keep all keys on one node of a cluster.
        root = f"{{tidyllm:cache:{space}}}:".encode()
        self._entry = root + b"e:"
        self._lock = root + b"l:"
        self._keys = [self._entry, root + b"used", root + b"ends", root + b"sizes"]
        self._scripts: dict[str, Script] = {
            "get": Script(_GET),
            "put": Script(_PUT),
            "delete": Script(_DELETE),
            "clear": Script(_CLEAR),
            "lead": Script(_LEAD),
            "renew": Script(_RENEW),
            "release": Script(_RELEASE),
        }

    def peek(self, key: bytes) -> bytes | None:
        return None if self._front is None else self._front.peek(key)

    async def get(self, key: bytes) -> bytes | None:
        value = await self.run("get", [self._entry + key, self._keys[1]], [key, clock.now()])
        if value is not None and self._front is not None:
            self._front.keep(key, value, expires_at=clock.now() + self.front_seconds)
        return value

    async def put(self, key: bytes, value: bytes, *, expires_at: float) -> None:
        now = clock.now()
        left = max(round((expires_at - now) * 1000), 1)
        await self.run(
            "put", self._keys, [key, value, left, now, expires_at, self.max_bytes, self.max_entries]
        )
        if self._front is not None:
            self._front.keep(key, value, expires_at=min(expires_at, now + self.front_seconds))

    async def delete(self, key: bytes) -> None:
        if self._front is not None:
            self._front.forget(key)
        await self.run("delete", self._keys, [key])

    async def clear(self) -> None:
        if self._front is not None:
            await self._front.clear()
        while await self.run("clear", self._keys, []):
            pass

    async def lead(self, key: bytes) -> Lease | bytes | None:
        token = secrets.token_hex(16)
        lock, pause = self._lock + key, _FIRST_LOOK
        while True:
            found = await self.run(
                "lead", [self._entry + key, lock], [token, round(self.lock_seconds * 1000)]
            )
            if isinstance(found, bytes):
                return found
            if found == 1:
                return _Lease(self, lock, token)
            await clock.sleep(pause)
            pause = min(pause * 1.5, _LAST_LOOK)

    async def run(self, name: str, keys: list[bytes], args: list[Any]) -> Any:
        """Run one of its scripts."""
        return await self.shared.run(self._scripts[name], keys, args)


class _Lease:
    """A lock that renews itself until it is released, or its loop ends."""

    def __init__(self, cache: RedisCache, lock: bytes, token: str) -> None:
        self._cache = cache
        self._lock = lock
        self._token = token
        self._task: asyncio.Task[None] | None = None
        self._timer = clock.call_later(cache.lock_seconds / 3, self._ring)

    def _ring(self) -> None:
        self._task = asyncio.ensure_future(self._renew())

    async def _renew(self) -> None:
        held = 0
        try:
            held = await self._cache.run(
                "renew", [self._lock], [self._token, round(self._cache.lock_seconds * 1000)]
            )
        except StoreError as error:
            _log.warning(
                "the lock of a call could not be renewed, so that another worker may repeat it: %s", error
            )
            held = 1  # it may be there yet, when Redis is back
        if held:
            self._timer = clock.call_later(self._cache.lock_seconds / 3, self._ring)

    async def release(self) -> None:
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        try:
            await asyncio.shield(self._cache.run("release", [self._lock], [self._token]))
        except StoreError:
            pass  # it ends by itself
