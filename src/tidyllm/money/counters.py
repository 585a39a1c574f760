"""The counters of budgets in the store: read for one batch, changed by it, written back as differences."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from tidyllm.money.account import Account, Held
from tidyllm.money.history import spent_before
from tidyllm.money.nanos import MOST_NANOS
from tidyllm.money.sql import Sql
from tidyllm.store.direct import Rows

__all__ = ["Counters", "Place"]

_ADD = (
    "INSERT INTO budget_counters (budget_id, slot, spent_nanos, reserved_nanos, doubt_nanos) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (budget_id, slot) DO UPDATE SET"
    " spent_nanos = budget_counters.spent_nanos + excluded.spent_nanos,"
    " reserved_nanos = budget_counters.reserved_nanos + excluded.reserved_nanos,"
    " doubt_nanos = budget_counters.doubt_nanos + excluded.doubt_nanos"
)
_ROLLING = (
    "SELECT slot, spent_nanos + doubt_nanos, reserved_nanos FROM budget_counters"
    " WHERE budget_id = ? AND slot >= ?"
)
_BUDGET = (
    'INSERT INTO budgets (name, parent_id, limit_nanos, soft_nanos, "window", changed_at)'
    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET parent_id = excluded.parent_id,"
    ' limit_nanos = excluded.limit_nanos, soft_nanos = excluded.soft_nanos, "window" = excluded."window",'
    " changed_at = excluded.changed_at RETURNING id"
)
_KNOWN = 'SELECT limit_nanos, soft_nanos, "window" FROM budgets WHERE name = ?'
_CARRY = "UPDATE budgets SET epoch = epoch + ? WHERE id = ?"
_AT_ONCE = 400


class Place:
    """One account in one batch: the row that money is booked in now, and what counts against the limit."""

    __slots__ = ("account", "added", "first", "limit", "reserved", "rolling", "row", "slots", "spent")

    def __init__(self, account: Account, number: int, now: float) -> None:
        self.account = account
        self.limit = MOST_NANOS if account.limit is None else account.limit
        self.row = (number, account.window.slot(now))
        self.first = account.window.first(now)
        self.rolling = account.window.kind == "rolling"
        self.spent = 0
        self.reserved = 0
        self.added = 0
        """Reserved by this batch."""
        self.slots: dict[int, int] = {}
        """What counts by slot, as it was before this batch."""

    @property
    def held(self) -> Held:
        """What counts against the limit."""
        return Held(self.spent, self.reserved)

    def counts(self, slot: int) -> bool:
        """Whether that slot was read: of a calendar window just one is, whatever an earlier window left behind."""
        return slot >= self.first if self.rolling else slot == self.row[1]


class Counters:
    """For one work on one connection. Nothing is written before `write`."""

    def __init__(self, sql: Sql, now: float) -> None:
        self._sql = sql
        self.now = now
        self.made: dict[Account, int] = {}
        """Rows of accounts that were not known yet; to be kept once this work was committed."""
        self._changes: dict[tuple[int, int], list[int]] = {}
        self._places: dict[int, Place] = {}
        self._paths: dict[int, tuple[Place, ...]] = {}

    def load(self, paths: Iterable[tuple[Account, ...]]) -> None:
        """Read what counts now for all accounts, before anything is changed; unknown accounts are made."""
        fixed: list[Place] = []
        for path in paths:
            if id(path) not in self._paths:
                self._paths[id(path)] = tuple([self._place(account, fixed) for account in path])
        found: list[Rows] = []
        for start in range(0, len(fixed), _AT_ONCE):
            part = fixed[start : start + _AT_ONCE]
            wanted = ", ".join(["(?, ?)"] * len(part))
            rows = self._sql.ask(
                "SELECT budget_id, slot, spent_nanos + doubt_nanos, reserved_nanos FROM budget_counters"  # noqa: S608 - marks only
                f" WHERE (budget_id, slot) IN (VALUES {wanted})",
                tuple([number for place in part for number in place.row]),
            )
            found.append(rows)
        self._sql.send()
        for number, slot, spent, reserved in chain.from_iterable(found):
            place = self._places[number]
            place.spent, place.reserved = int(spent), int(reserved)
            place.slots[slot] = place.spent + place.reserved

    def _place(self, account: Account, fixed: list[Place]) -> Place:
        number = account.id or self.made.get(account) or self._make(account)
        place = self._places.get(number)
        if place is None:
            self._places[number] = place = Place(account, number, self.now)
            if account.window.kind != "rolling":
                fixed.append(place)
                return place
            for slot, spent, reserved in self._sql.rows(_ROLLING, (number, place.first)):
                place.spent += int(spent)
                place.reserved += int(reserved)
                place.slots[slot] = int(spent) + int(reserved)
        elif account.limit is not None and account.limit < place.limit:
            place.account, place.limit = account, account.limit
        return place

    def _make(self, account: Account) -> int:
        parent = account.parent
        above = None if parent is None else parent.id or self.made.get(parent) or self._make(parent)
        terms = (account.limit, account.soft, str(account.window))
        known = self._sql.rows(_KNOWN, (account.name,))
        number = int(self._sql.rows(_BUDGET, (account.name, above, *terms, self.now))[0][0])
        self.made[account] = number
        if not known or tuple(known[0]) != terms:
            self._carry(account, number)
        return number

    def _carry(self, account: Account, number: int) -> None:
        """An account that is new, or has other terms, may have missed calls: in its window all of them count."""
        first, slot = account.window.first(self.now), account.window.slot(self.now)
        counted = sum(
            int(spent)
            for at, spent, _ in self._sql.rows(_ROLLING, (number, first))
            if at == slot or account.window.kind == "rolling"
        )
        missed = spent_before(self._sql, account, self.now) - counted
        if missed > 0:
            self._sql.run(_ADD, (number, slot, missed, 0, 0))
            self._sql.run(_CARRY, (missed, number))

    def places(self, path: tuple[Account, ...]) -> tuple[Place, ...]:
        """Where the money of this very path is booked; it was loaded."""
        return self._paths[id(path)]

    def change(self, row: tuple[int, int], spent: int, reserved: int, doubt: int) -> None:
        """Add to one row of counters."""
        change = self._changes.get(row)
        if change is None:
            self._changes[row] = [spent, reserved, doubt]
        else:
            change[0] += spent
            change[1] += reserved
            change[2] += doubt
        place = self._places.get(row[0])
        if place is not None and place.counts(row[1]):
            place.spent += spent + doubt
            place.reserved += reserved

    def write(self) -> None:
        """Write the differences: in one statement, always in the same order."""
        for place in self._places.values():
            if place.added:
                change = self._changes.setdefault(place.row, [0, 0, 0])
                change[1] += place.added
        rows = [
            (*row, *[_fitting(number) for number in change])
            for row, change in sorted(self._changes.items())
            if any(change)
        ]
        if rows:
            self._sql.many(_ADD, rows)


def _fitting(number: int) -> int | float:
    """Sums above 63 bits occur only with counters that an earlier version let grow; SQLite made those inexact too."""
    return number if -(1 << 63) < number < 1 << 63 else float(number)
