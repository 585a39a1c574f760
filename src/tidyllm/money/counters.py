"""The counters of budgets in the store: read for one batch, changed by it, written back as differences."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from tidyllm.money.account import Account, Held

__all__ = ["Counters"]

_ADD = (
    "INSERT INTO budget_counters (budget_id, slot, spent_nanos, reserved_nanos, doubt_nanos) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (budget_id, slot) DO UPDATE SET"
    " spent_nanos = budget_counters.spent_nanos + excluded.spent_nanos,"
    " reserved_nanos = budget_counters.reserved_nanos + excluded.reserved_nanos,"
    " doubt_nanos = budget_counters.doubt_nanos + excluded.doubt_nanos"
)
_ROLLING = (
    "SELECT slot, spent_nanos + doubt_nanos, reserved_nanos FROM budget_counters WHERE budget_id = ? AND slot >= ?"
)
_BUDGET = (
    "INSERT INTO budgets (name, parent_id, limit_nanos, soft_nanos, {window}, changed_at)"
    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET parent_id = excluded.parent_id,"
    " limit_nanos = excluded.limit_nanos, soft_nanos = excluded.soft_nanos, {window} = excluded.{window},"
    " changed_at = excluded.changed_at RETURNING id"
)
_AT_ONCE = 400


class Counters:
    """For one work on one connection. Nothing is written before `write`."""

    def __init__(self, connection: Connection, now: float) -> None:
        self._connection = connection
        self._sqlite = connection.dialect.name == "sqlite"
        self.now = now
        self.made: dict[Account, int] = {}
        """Rows of accounts that were not known yet; to be kept once this work was committed."""
        self._changes: dict[tuple[int, int], list[int]] = {}
        self._slots: dict[int, dict[int, list[int]]] = {}
        self._place: dict[Account, tuple[int, int]] = {}
        self._now_at: dict[int, int] = {}

    def sql(self, statement: str) -> str:
        """With the marks that this driver wants."""
        return statement if self._sqlite else statement.replace("?", "%s")

    def load(self, accounts: Iterable[Account]) -> None:
        """Read what counts now for each of them, before anything is changed; unknown ones are made."""
        fixed: list[tuple[int, int]] = []
        for account in accounts:
            if account in self._place:
                continue
            number = account.id or self.made.get(account) or self._make(account)
            slot = account.window.slot(self.now)
            self._place[account] = (number, slot)
            self._now_at[number] = slot
            if number in self._slots:
                continue
            self._slots[number] = found = {}
            if account.window.kind == "rolling":
                first = account.window.first(self.now)
                rows = self._connection.exec_driver_sql(self.sql(_ROLLING), (number, first))
                found.update({at: [spent, reserved] for at, spent, reserved in rows})
            else:
                fixed.append((number, slot))
        for start in range(0, len(fixed), _AT_ONCE):
            part = fixed[start : start + _AT_ONCE]
            wanted = ", ".join(["(?, ?)"] * len(part))
            rows = self._connection.exec_driver_sql(
                self.sql(
                    "SELECT budget_id, slot, spent_nanos + doubt_nanos, reserved_nanos FROM budget_counters"  # noqa: S608 - marks only
                    f" WHERE (budget_id, slot) IN (VALUES {wanted})"
                ),
                tuple(number for pair in part for number in pair),
            )
            for number, slot, spent, reserved in rows:
                self._slots[number][slot] = [spent, reserved]

    def _make(self, account: Account) -> int:
        parent = account.parent
        above = None if parent is None else parent.id or self.made.get(parent) or self._make(parent)
        values = (account.name, above, account.limit, account.soft, str(account.window), self.now)
        statement = self.sql(_BUDGET.format(window='"window"'))
        number = int(self._connection.exec_driver_sql(statement, values).scalar_one())
        self.made[account] = number
        return number

    def held(self, account: Account) -> Held:
        """What counts against its limit, with what this batch has changed so far."""
        slots = self._slots[self._place[account][0]]
        if len(slots) == 1:
            spent, reserved = next(iter(slots.values()))
            return Held(spent, reserved)
        return Held(sum(one[0] for one in slots.values()), sum(one[1] for one in slots.values()))

    def by_slot(self, account: Account) -> dict[int, int]:
        """What counts, by slot."""
        return {slot: sum(one) for slot, one in self._slots[self._place[account][0]].items()}

    def place(self, account: Account) -> tuple[int, int]:
        """Its row now: account and slot."""
        return self._place[account]

    def change(self, place: tuple[int, int], spent: int, reserved: int, doubt: int) -> None:
        """Add to one row."""
        change = self._changes.get(place)
        if change is None:
            self._changes[place] = [spent, reserved, doubt]
        else:
            change[0] += spent
            change[1] += reserved
            change[2] += doubt
        if place[0] in self._slots:
            self._apply(place[0], place[1], spent, reserved, doubt)

    def _apply(self, number: int, slot: int, spent: int, reserved: int, doubt: int) -> None:
        slots = self._slots.get(number)
        if slots is None:
            return
        one = slots.get(slot)
        if one is not None:
            one[0] += spent + doubt
            one[1] += reserved
        elif self._now_at.get(number) == slot:
            slots[slot] = [spent + doubt, reserved]

    def write(self) -> None:
        """Write the differences: in one statement, always in the same order."""
        rows = [(*place, *change) for place, change in sorted(self._changes.items()) if any(change)]
        if rows:
            self._connection.exec_driver_sql(self.sql(_ADD), rows)
