"""Counters of budgets in Redis, in front of those in the database. It says no early; the database has the last word.

A reservation is checked and added here in one script over the whole path, before its intent is written. So an
exhausted budget is refused without work for the database, and who waits does not ask it either. The database decides
once more in the transaction that writes the intent: whatever happens to Redis, the cap holds. While far less is used
than a budget allows, nobody waits for what the script says: the next call hears of it. Counters that are not
in Redis (it was restarted, they expired) are read from the ledger's; those that refuse are read anew when they are
older than a few seconds, so that what a crash left in them is forgotten. While Redis is away the database decides
alone; that is logged, and `degraded` says so.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from sqlalchemy import Connection

from tidyllm import clock
from tidyllm.errors import StoreError
from tidyllm.money.account import Account, Held, exceeded
from tidyllm.money.local import free_at
from tidyllm.money.sql import native
from tidyllm.money.turn import Added, Passed, Turn
from tidyllm.store import Store
from tidyllm.store.shared import Script, SharedState
from tidyllm.store.turns import Turns

__all__ = ["Gate"]

_KEY = "tidyllm:budget:"
_POLL, _LONGEST_POLL = 0.02, 0.25
"""Seconds between two looks while calls under way are in the way; each pause is longer than the one before."""
_TRUSTED = 3.0
"""Seconds for which a refusal stands on counters that nobody compared with the ledger's."""
_PAUSE = 1.0
"""Seconds for which a Redis that was away is not asked."""
_MANY = 10_000
"""Accounts that are remembered."""
_KEPT = 86_400
"""Seconds after which counters are read from the ledger again, at the latest."""

_ENTER = Script("""
local amount = tonumber(ARGV[1])
local room = {'in'}
for i = 1, #KEYS do
  local at = redis.call('HGET', KEYS[i], 'at')
  if not at then return {'empty', i} end
  local limit, own, first = ARGV[3 * i - 1], tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1])
  room[i + 1] = ''
  if limit ~= '' then
    local spent, reserved = 0, 0
    local all = redis.call('HGETALL', KEYS[i])
    for j = 1, #all, 2 do
      local slot = tonumber(string.sub(all[j], 3))
      -- Of a calendar window just one slot counts, whatever an earlier window left behind.
      if slot and (slot == own or (first < own and slot >= first)) then
        if string.sub(all[j], 1, 2) == 's:' then spent = spent + tonumber(all[j + 1])
        else reserved = reserved + tonumber(all[j + 1]) end
      end
    end
    if spent + reserved + amount > tonumber(limit) then
      local answer = 'refuse'
      if reserved > 0 and spent + amount <= tonumber(limit) then answer = 'wait' end
      return {answer, i, string.format('%.0f', spent), string.format('%.0f', reserved), at}
    end
    room[i + 1] = string.format('%.0f', tonumber(limit) - spent - reserved - amount)
  end
end
for i = 1, #KEYS do redis.call('HINCRBY', KEYS[i], 'r:' .. ARGV[3 * i], ARGV[1]) end
return room
""")

_LEAVE = Script("""
for i = 1, #KEYS do
  if redis.call('HEXISTS', KEYS[i], 'at') == 1 then
    if ARGV[1] ~= '0' then redis.call('HINCRBY', KEYS[i], 'r:' .. ARGV[i + 2], '-' .. ARGV[1]) end
    redis.call('HINCRBY', KEYS[i], 's:' .. ARGV[i + 2], ARGV[2])
  end
end
""")

_FILL = Script("""
if redis.call('HEXISTS', KEYS[1], 'at') == 0 then
  redis.call('HSET', KEYS[1], unpack(ARGV, 2))
  redis.call('EXPIRE', KEYS[1], ARGV[1])
end
""")

_READ = (
    "SELECT slot, spent_nanos + doubt_nanos, reserved_nanos FROM budget_counters"
    " JOIN budgets ON budgets.id = budget_counters.budget_id WHERE name = ? AND slot "
)

_AMPLE = 4
"""Nobody waits while more than one part in so many of each limit is free."""


class Gate:
    """The counters of one Redis, filled from one store."""

    def __init__(self, shared: SharedState, store: Store) -> None:
        self._shared = shared
        self._store = store
        self.degraded = False
        """Redis is away: the database decides alone."""
        self._ask_again_at = float("-inf")
        self._room: dict[str, tuple[float, int]] = {}
        """By account with a limit: when Redis told what is free of it, and how much of that we have left."""
        self._turns = Turns(shared, Turn, self._send)
        """What each turn of an event loop adds and takes away: one script for each set of counters."""

    async def enter(self, path: tuple[Account, ...], amount: int, what: str, until: float) -> Passed | None:
        """Add `amount` in all accounts, or wait until `until`; None: Redis is away, ask the database.

        :raises BudgetExceeded: it does not fit.
        """
        if self.degraded and clock.monotonic() < self._ask_again_at:
            return None  # a Redis that hangs would hold up every call for as long as its patience
        if all(account.limit is None for account in path):
            return None  # there is nothing to refuse
        now = clock.now()
        if not self.degraded and self._is_ample(path, amount, now):
            return self._add(path, amount, now)
        try:
            passed = await self._enter(path, amount, what, until)
        except StoreError as error:
            if not self.degraded:
                logging.getLogger("tidyllm").warning("budgets are kept by the database alone: %s", error)
            self.degraded = True
            self._ask_again_at = clock.monotonic() + _PAUSE
            return None
        if self.degraded:
            logging.getLogger("tidyllm").warning("budgets are kept in %s again", self._shared.name)
            # What happened meanwhile is in the ledger only.
            await self.forget(path)
            self.degraded = False
        return passed

    def _is_ample(self, path: tuple[Account, ...], amount: int, now: float) -> bool:
        """Whether each account was lately far from its limit; what we add meanwhile is counted."""
        left: list[tuple[str, float, int]] = []
        for account in path:
            if account.limit is not None:
                told, free = self._room.get(account.name, (0.0, 0))
                free -= amount
                if now - told > _TRUSTED or free * _AMPLE < account.limit:
                    return False
                left.append((account.name, told, free))
        for name, told, free in left:
            self._room[name] = told, free
        return True

    def _add(self, path: tuple[Account, ...], amount: int, now: float) -> Passed:
        """Add without waiting. Where Redis does not do so, whoever comes next waits, and sees why."""
        turn = self._turns.current()
        added = turn.added.get(path)
        if added is None:
            added = turn.added[path] = Added(path, *_asked(path, 0, now), now)
        added.arguments[0] += amount
        passed = Passed(added.keys, added.slots, amount)
        passed.added = None
        added.passed.append(passed)
        return passed

    def _send(self, turn: Turn) -> None:
        for added in turn.added.values():
            answered = partial(self._answered, added)
            self._shared.post(_ENTER, added.keys, added.arguments, answered=answered)
        for (keys, slots), (amount, cost) in turn.left.items():
            # If it fails, they are off until they are next compared with the ledger's.
            self._shared.post(_LEAVE, keys, (amount, cost, *slots))

    def _answered(self, added: Added, answer: Any) -> None:
        done = False
        if isinstance(answer, Exception) or answer[0] != b"in":
            for account in added.path:
                self._room.pop(account.name, None)
        else:
            done = True
            self._told(added.path, answer, added.now)
        for passed in added.passed:
            passed.added = done
            if done and passed.cost is not None:
                self.leave(passed, passed.cost)

    def _told(self, path: tuple[Account, ...], answer: list[bytes], now: float) -> None:
        if len(self._room) > _MANY:
            self._room.clear()
        for account, free in zip(path, answer[1:], strict=True):
            if free:
                self._room[account.name] = now, int(free)

    async def _enter(self, path: tuple[Account, ...], amount: int, what: str, until: float) -> Passed:
        pause = _POLL
        while True:
            now = clock.now()
            keys, slots, arguments = _asked(path, amount, now)
            self._turns.send_now()  # what came before counts
            answer: list[Any] = await self._shared.run(_ENTER, keys, arguments)
            if answer[0] == b"in":
                self._told(path, answer, now)
                return Passed(keys, slots, amount)
            account = path[int(answer[1]) - 1]
            if answer[0] == b"empty":
                await self._fill(account, now)
                continue
            if now - float(answer[4]) > _TRUSTED:
                await self._shared.delete(_KEY + account.name)
                continue
            if answer[0] == b"wait" and clock.monotonic() < until:
                await clock.sleep(pause)
                pause = min(pause * 1.5, _LONGEST_POLL)
                continue
            held = Held(int(answer[2]), int(answer[3]))
            # By slot is known to the ledger only; of a calendar window there is just one.
            by_slot = {} if account.window.kind == "rolling" else {account.window.slot(now): sum(held)}
            raise exceeded(account, held, amount, what, free_at(account, by_slot, amount, held))

    async def _fill(self, account: Account, now: float) -> None:
        rows = await self._store.read(lambda connection: _read(connection, account, now))
        fields: list[str | int | float] = ["at", now]
        for slot, spent, reserved in rows:
            fields += [f"s:{slot}", spent, f"r:{slot}", reserved]
        await self._shared.run(_FILL, (_KEY + account.name,), (_KEPT, *fields))

    async def forget(self, path: tuple[Account, ...]) -> None:
        """Drop what Redis says of these accounts: the ledger disagrees."""
        for account in path:
            self._room.pop(account.name, None)
        if self.degraded and clock.monotonic() < self._ask_again_at:
            return
        try:
            await self._shared.delete(*(_KEY + account.name for account in path))
        except StoreError:
            pass  # it is away, and filled anew when it is back and empty; if not, `_TRUSTED` ends it

    def leave(self, passed: Passed, cost: int) -> None:
        """What was added is spent: `cost` of it. Nobody waits."""
        if not passed.added:
            passed.cost = cost
            return
        try:
            left = self._turns.current().left
        except RuntimeError:  # closed from plain code: these counters are off until they are next compared
            return
        before = left.get((passed.keys, passed.slots), (0, 0))
        left[passed.keys, passed.slots] = before[0] + passed.amount, before[1] + cost


def _asked(
    path: tuple[Account, ...], amount: int, now: float
) -> tuple[tuple[str, ...], tuple[int, ...], list[Any]]:
    """Keys, slots and arguments of the script that adds; the first of these is the amount."""
    slots = tuple([account.window.slot(now) for account in path])
    arguments: list[Any] = [amount]
    for account, slot in zip(path, slots, strict=True):
        arguments += ["" if account.limit is None else account.limit, slot, account.window.first(now)]
    return tuple([_KEY + account.name for account in path]), slots, arguments


def _read(connection: Connection, account: Account, now: float) -> list[tuple[int, int, int]]:
    statement = native(connection, f"{_READ}{account.window.reads} ?")
    rows = connection.exec_driver_sql(statement, (account.name, account.window.first(now)))
    return [(slot, spent, reserved) for slot, spent, reserved in rows]
