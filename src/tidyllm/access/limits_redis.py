"""Limits in Redis, for many workers on many machines. It knows one script a question, and no tables.

The scripts do the sums of `window.Window` on a hash (`r<second>`, `t<second>`, their sums `R` and `T`, the oldest and
newest second `o` and `n`) and on a sorted set of places by when each ends. Time is the server's.

A mark in Redis, the time when it was made, says that its counters are whole. Where it is missing Redis was restarted
or flushed: then whoever comes first reads the last minute of all keys and teams in the ledger, and writes it there
together with the mark. Places come back with the next renewal.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import json

from tidyllm.access.key import Subject
from tidyllm.access.recent import used_lately
from tidyllm.access.window import SPAN, Denied, What
from tidyllm.errors import StoreDown

if TYPE_CHECKING:
    from tidyllm.store import Store
    from tidyllm.store.shared import SharedState

__all__ = ["RedisLimits"]

_NOW = """
local now = tonumber(ARGV[1])
if now == nil then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end
local span = SPAN
local function number(value) return tonumber(value or 0) or 0 end
local function fields(key, from, to)
  local names = {}
  for second = from, to do
    names[#names + 1] = 'r' .. second
    names[#names + 1] = 't' .. second
  end
  return names
end
local function present(key, newest)
  local second = math.max(math.floor(now), newest)
  if newest == 0 then redis.call('HSET', key, 'o', second) end
  redis.call('HSET', key, 'n', second)
  redis.call('EXPIRE', key, 2 * span)
  return second
end
""".replace("SPAN", str(SPAN))

_ENTER = (
    """
local whole = 0
if #KEYS % 2 == 1 then
  whole = redis.call('GET', KEYS[#KEYS])
  if not whole then return {-1} end
end
"""
    + _NOW
    + """
local tokens, place, lease = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local oldest = math.floor(now) - span + 1
local newest = {}

local function wait(key, from, to, offset, excess)
  local counts = redis.call('HMGET', key, unpack(fields(key, from, to)))
  for at = 0, to - from do
    excess = excess - number(counts[2 * at + offset])
    if excess <= 0 then return tostring(from + at + span - now) end
  end
  return ''
end

for i = 1, #KEYS / 2 do
  local key = KEYS[2 * i - 1]
  local rpm, tpm, places = tonumber(ARGV[2 + 3 * i]), tonumber(ARGV[3 + 3 * i]), tonumber(ARGV[4 + 3 * i])
  newest[i] = 0
  if rpm >= 0 or tpm >= 0 then
    local state = redis.call('HMGET', key, 'R', 'T', 'o', 'n')
    local requests, used, first, last = number(state[1]), number(state[2]), number(state[3]), number(state[4])
    if last > 0 and last < oldest then
      redis.call('DEL', key)
      requests, used, first, last = 0, 0, 0, 0
    elseif last > 0 and first < oldest then
      local names = fields(key, first, oldest - 1)
      local counts = redis.call('HMGET', key, unpack(names))
      for at = 1, #counts, 2 do
        requests = requests - number(counts[at])
        used = used - number(counts[at + 1])
      end
      redis.call('HDEL', key, unpack(names))
      first = oldest
      redis.call('HSET', key, 'R', requests, 'T', used, 'o', first)
    end
    newest[i] = last
    if rpm >= 0 and requests + 1 > rpm then
      return {0, i, 1, requests, wait(key, first, last, 1, requests + 1 - rpm)}
    end
    if tpm >= 0 and used + tokens > tpm then
      if tokens > tpm then return {0, i, 2, used, ''} end
      return {0, i, 2, used, wait(key, first, last, 2, used + tokens - tpm)}
    end
  end
  if places >= 0 then
    redis.call('ZREMRANGEBYSCORE', KEYS[2 * i], '-inf', now)
    local inside = redis.call('ZCARD', KEYS[2 * i])
    if inside + 1 > places then return {0, i, 3, inside, ''} end
  end
end

local answer = {1}
for i = 1, #KEYS / 2 do
  local key = KEYS[2 * i - 1]
  local second = math.max(math.floor(now), newest[i])
  if tonumber(ARGV[2 + 3 * i]) >= 0 or tonumber(ARGV[3 + 3 * i]) >= 0 then
    present(key, newest[i])
    redis.call('HINCRBY', key, 'r' .. second, 1)
    redis.call('HINCRBY', key, 'R', 1)
    redis.call('HINCRBY', key, 't' .. second, tokens)
    redis.call('HINCRBY', key, 'T', tokens)
  end
  if tonumber(ARGV[4 + 3 * i]) >= 0 then
    redis.call('ZADD', KEYS[2 * i], now + lease, place)
    redis.call('PEXPIRE', KEYS[2 * i], math.ceil(lease * 2000))
  end
  answer[i + 1] = second
end
if #KEYS % 2 == 1 then answer[#answer + 1] = tonumber(whole) end
return answer
"""
)

_LEAVE = (
    _NOW
    + """
local place, counted, used = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
-- What was counted before the counters were lost was lost with them: all that was used is missing now.
if #KEYS % 2 == 1 and redis.call('GET', KEYS[#KEYS]) ~= ARGV[#ARGV] then counted = 0 end
for i = 1, #KEYS / 2 do
  local key = KEYS[2 * i - 1]
  local second, counts = tonumber(ARGV[3 + 2 * i]), tonumber(ARGV[4 + 2 * i])
  redis.call('ZREM', KEYS[2 * i], place)
  if counts == 1 and used < counted then
    local there = number(redis.call('HGET', key, 't' .. second))
    local back = math.min(counted - used, there)
    if back > 0 then
      redis.call('HINCRBY', key, 't' .. second, -back)
      redis.call('HINCRBY', key, 'T', -back)
    end
  elseif counts == 1 and used > counted then
    local at = present(key, number(redis.call('HGET', key, 'n')))
    redis.call('HINCRBY', key, 't' .. at, used - counted)
    redis.call('HINCRBY', key, 'T', used - counted)
  end
end
return 1
"""
)

_RENEW = (
    _NOW
    + """
local lease = tonumber(ARGV[2])
for i = 1, #KEYS do
  redis.call('ZADD', KEYS[i], now + lease, ARGV[2 + i])
  redis.call('PEXPIRE', KEYS[i], math.ceil(lease * 2000))
end
return 1
"""
)

_FILL = (
    _NOW
    + """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('SET', KEYS[1], string.format('%.0f', now * 1000))
for i = 2, #KEYS do
  local oldest, newest, requests, tokens = nil, 0, 0, 0
  redis.call('DEL', KEYS[i])
  for second, used in pairs(cjson.decode(ARGV[i])) do
    local at = tonumber(second)
    redis.call('HSET', KEYS[i], 'r' .. second, used[1], 't' .. second, used[2])
    oldest, newest = math.min(oldest or at, at), math.max(newest, at)
    requests, tokens = requests + used[1], tokens + used[2]
  end
  redis.call('HSET', KEYS[i], 'R', requests, 'T', tokens, 'o', oldest, 'n', newest)
  redis.call('EXPIRE', KEYS[i], 2 * span)
end
return 1
"""
)

_WHAT: tuple[What, ...] = ("requests_per_minute", "tokens_per_minute", "concurrency")


_MANY = 10_000
"""Sets of subjects that are remembered."""
_AGAIN = 2
"""Times that counters are rebuilt for one call: a Redis that is flushed again and again counts nothing."""


class RedisLimits:
    """Counts in Redis: exact for all workers that share it. See `Backend`.

    - `store`: whose ledger knows what was used before Redis lost its counters; None: nobody does, they begin at 0.
    - `prefix` begins the name of each key in Redis. `now`: another clock than the server's, for tests.
    """

    leases = True

    def __init__(
        self,
        shared: SharedState,
        store: Store | None = None,
        *,
        prefix: str = "tidyllm:limit:",
        now: Callable[[], float] | None = None,
    ) -> None:
        from tidyllm.store.shared import Script

        self._shared = shared
        self._store = store
        self._fill = Script(_FILL)
        self._filling: asyncio.Future[None] | None = None
        self._prefix = prefix
        self._now = now
        self._enter = Script(_ENTER)
        self._leave = Script(_LEAVE)
        self._renew = Script(_RENEW)
        self._known: dict[tuple[Subject, ...], tuple[tuple[str, ...], tuple[int, ...]]] = {}

    async def enter(
        self, subjects: Sequence[Subject], tokens: int, place: str, lease_seconds: float
    ) -> tuple[int, ...] | Denied:
        keys, limits = self._told(tuple(subjects))
        arguments = (self._time(), tokens, place, lease_seconds, *limits)

        def give_back(answer: list[Any]) -> None:
            if answer[0] == 1:
                self._post_leave(subjects, answer[1:], place, tokens, 0)

        run = self._shared.run
        answer: list[Any] = await run(self._enter, keys, arguments, late=give_back)
        for _ in range(_AGAIN):
            if answer[0] != -1:
                break
            await self._rebuilt()
            answer = await run(self._enter, keys, arguments, late=give_back)
        if answer[0] == -1:
            raise StoreDown(f"{self._shared.name} forgets what it is told.", hint="Give it more memory.")
        if answer[0] == 1:
            return tuple(answer[1:])
        which, what = int(answer[1]) - 1, _WHAT[int(answer[2]) - 1]
        limit: int = getattr(subjects[which], what)
        return Denied(
            subjects[which].name, what, int(answer[3]), limit, float(answer[4]) if answer[4] else None
        )

    async def leave(
        self, subjects: Sequence[Subject], seconds: Sequence[int], place: str, counted: int, used: int
    ) -> None:
        self._post_leave(subjects, seconds, place, counted, used)

    def _post_leave(
        self, subjects: Sequence[Subject], seconds: Sequence[int], place: str, counted: int, used: int
    ) -> None:
        arguments: list[str | int | float] = [self._time(), place, counted, used]
        for one, second in zip(subjects, seconds, strict=False):
            arguments += [
                second,
                int(one.requests_per_minute is not None or one.tokens_per_minute is not None),
            ]
        keys, _ = self._told(tuple(subjects))
        if len(seconds) > len(subjects):
            arguments.append(seconds[-1])
        elif self._store is not None:
            keys = keys[:-1]  # it was let in elsewhere: nothing tells whether the counters are the same ones
        self._shared.post(self._leave, keys, arguments)

    async def renew(self, places: Sequence[tuple[Subject, str]], lease_seconds: float) -> None:
        keys = [f"{self._prefix}{one.name}:places" for one, _ in places]
        await self._shared.run(
            self._renew, keys, [self._time(), lease_seconds, *(place for _, place in places)]
        )

    async def aclose(self) -> None:
        pass  # what was posted is waited for where the connection is closed

    async def _rebuilt(self) -> None:
        """Counters are what the ledger says; all who ask meanwhile wait for the same reading."""
        filling = self._filling
        if filling is None or filling.done() or filling.get_loop() is not asyncio.get_running_loop():
            filling = self._filling = asyncio.ensure_future(self._rebuild())
        await asyncio.shield(filling)

    async def _rebuild(self) -> None:
        assert self._store is not None
        used = await self._store.read(used_lately)
        keys = [self._prefix + "whole", *(f"{self._prefix}{name}:minute" for name in used)]
        told = [json.encode(seconds).decode() for seconds in used.values()]
        if await self._shared.run(self._fill, keys, [self._time(), *told]) and used:
            what = "the limits of %d keys and teams in %s were lost, and are rebuilt from the ledger"
            logging.getLogger("tidyllm.access").warning(what, len(used), self._shared.name)

    def _time(self) -> str:
        return "" if self._now is None else repr(self._now())

    def _told(self, subjects: tuple[Subject, ...]) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """The keys of the subjects in Redis, and what the script is told of their limits."""
        told = self._known.get(subjects)
        if told is None:
            if len(self._known) >= _MANY:
                self._known.clear()
            keys = [f"{self._prefix}{one.name}:{part}" for one in subjects for part in ("minute", "places")]
            if self._store is not None:
                keys.append(self._prefix + "whole")
            limits = [
                -1 if limit is None else limit
                for one in subjects
                for limit in (one.requests_per_minute, one.tokens_per_minute, one.concurrency)
            ]
            told = self._known[subjects] = tuple(keys), tuple(limits)
        return told
