"""Is the ledger whole? Chains, entries, and sums are computed anew from its rows. It mends nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from sqlalchemy import Connection

from tidyllm.money.chain import WRITER_SHIFT
from tidyllm.money.row import COLUMNS, DOUBT, GENESIS, INTENT, SETTLEMENT, chained

__all__ = ["Verified", "verify"]

_MOST = 20
"""Problems that are listed; the rest is counted."""
_SELECT = f"SELECT {', '.join((*COLUMNS, 'hash'))} FROM ledger ORDER BY writer, seq"  # noqa: S608 - our own names
_ENDS = (
    "SELECT s.writer, s.seq, s.kind, s.entry, s.cost_nanos, i.entry, i.booked, i.reserved_nanos FROM ledger AS s"  # noqa: S608 - our own names
    f" LEFT JOIN ledger AS i ON i.writer = s.entry >> {WRITER_SHIFT} AND i.seq = s.entry & {(1 << WRITER_SHIFT) - 1}"
    f" AND i.kind = {INTENT} AND i.entry = s.entry"
    f" WHERE s.kind IN ({SETTLEMENT}, {DOUBT})"
    f" ORDER BY s.entry, CASE WHEN s.kind = {DOUBT} THEN 0 ELSE 1 END, s.at"
)
_AT = {name: place for place, name in enumerate(COLUMNS)}


class Verified(msgspec.Struct):
    """What was found."""

    rows: int = 0
    entries: int = 0
    settled: int = 0
    in_doubt: int = 0
    open: int = 0
    """Calls under way, or of a process that died and has not been noticed yet."""
    problems: list[str] = []
    more_problems: int = 0

    @property
    def whole(self) -> bool:
        """Nothing is missing and nothing was changed."""
        return not self.problems

    def wrong(self, problem: str) -> None:
        """Note one more."""
        if len(self.problems) < _MOST:
            self.problems.append(problem)
        else:
            self.more_problems += 1

    def unchained(self, writer: int, first: int, last: int) -> None:
        """Note rows that stand together, as one problem."""
        if first == last:
            self.wrong(f"writer {writer}: row {first} was changed, or does not follow the one before it")
        else:
            self.wrong(
                f"writer {writer}: rows {first} to {last} were changed, or do not follow the ones before them"
            )


def verify(connection: Connection) -> Verified:
    """Walk the whole ledger, row by row: memory does not grow with it. About a million rows in ten seconds."""
    if connection.dialect.name == "postgresql":  # both walks see the same rows
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    found = Verified()
    counters: dict[tuple[int, int], list[int]] = {}
    for row in _walk(connection, found):
        if row[_AT["kind"]] == INTENT:
            found.entries += 1
            _book(counters, row[_AT["booked"]], 0, row[_AT["reserved_nanos"]] or 0, 0)
    _match(connection, counters, found)
    found.open = found.entries - found.settled - found.in_doubt
    _compare(connection, counters, found)
    return found


def _walk(connection: Connection, found: Verified) -> Iterator[tuple[Any, ...]]:
    """All rows, each checked against the one before it."""
    writers = {
        number: (seq, bytes(head))
        for number, seq, head in connection.exec_driver_sql("SELECT id, seq, head FROM ledger_writers")
    }
    writer, seq, head = 0, 0, GENESIS
    first = last = 0  # rows of this writer that do not fit, one after the other
    ended: dict[int, tuple[int, bytes]] = {}
    result = connection.execution_options(yield_per=5_000).exec_driver_sql(_SELECT)
    for given in result:
        row: tuple[Any, ...] = tuple([bytes(one) if type(one) is memoryview else one for one in given[:-1]])
        found.rows += 1
        if row[0] != writer:
            if first:
                found.unchained(writer, first, last)
            ended[writer] = seq, head
            writer, seq, head, first = row[0], 0, GENESIS, 0
        if row[1] != seq + 1:
            found.wrong(f"writer {writer}: rows {seq + 1} to {row[1] - 1} are missing")
            seq = row[1]
        else:
            seq += 1
            if chained(head, row) != bytes(given[-1]):
                if first and last + 1 < seq:
                    found.unchained(writer, first, last)
                    first = 0
                first, last = first or seq, seq
        head = bytes(given[-1])
        yield row
    if first:
        found.unchained(writer, first, last)
    ended[writer] = seq, head
    for number, (wrote, hash_) in writers.items():
        if ended.get(number, (0, GENESIS)) != (wrote, hash_):
            found.wrong(f"writer {number}: its last row is {ended.get(number, (0,))[0]}, it wrote {wrote}")
    for number in sorted(set(ended) - set(writers) - {0}):
        found.wrong(f"writer {number} is not in the list of writers")


def _match(connection: Connection, counters: dict[tuple[int, int], list[int]], found: Verified) -> None:
    """Settlements and doubts beside the intents that they end, those of one entry together, doubts first."""
    last, marked, closed = 0, None, False
    ends = connection.execution_options(yield_per=5_000).exec_driver_sql(_ENDS)
    for writer, seq, kind, entry, cost, intent, booked, reserved in ends:
        if entry != last:
            last, marked, closed = entry, None, False
        where = f"writer {writer}: row {seq}"
        if intent is None:
            found.wrong(f"{where} settles entry {entry}, which does not exist")
            continue
        amount: int = reserved or 0
        if kind == DOUBT:
            if marked is not None:
                found.wrong(f"{where} puts entry {entry} in doubt a second time")
                continue
            marked = amount
            found.in_doubt += 1
            _book(counters, booked, 0, -amount, amount)
        elif closed:
            found.wrong(f"{where} settles entry {entry} a second time")
        else:
            closed = True
            found.settled += 1
            found.in_doubt -= marked is not None
            _book(counters, booked, cost or 0, 0 if marked is not None else -amount, -(marked or 0))


def _book(
    counters: dict[tuple[int, int], list[int]], booked: str | None, spent: int, reserved: int, doubt: int
) -> None:
    for place in (booked or "").split(","):
        if place:
            account, _, slot = place.partition(":")
            sums = counters.setdefault((int(account), int(slot)), [0, 0, 0])
            sums[0] += spent
            sums[1] += reserved
            sums[2] += doubt


def _compare(connection: Connection, counters: dict[tuple[int, int], list[int]], found: Verified) -> None:
    """The counters of budgets and the sums by day must be what the rows say."""
    kept = {
        (account, slot): [spent, reserved, doubt]
        for account, slot, spent, reserved, doubt in connection.exec_driver_sql(
            "SELECT budget_id, slot, spent_nanos, reserved_nanos, doubt_nanos FROM budget_counters"
        )
    }
    carried = dict(
        tuple(row) for row in connection.exec_driver_sql("SELECT id, epoch FROM budgets WHERE epoch > 0")
    )
    for place in sorted(set(kept) | set(counters)):
        has, is_ = kept.get(place, [0, 0, 0]), counters.get(place, [0, 0, 0])
        more = has[0] - is_[0]
        if 0 < more <= carried.get(place[0], 0):  # spent before the account was kept
            carried[place[0]] -= more
            is_ = [has[0], *is_[1:]]
        if has != is_:
            found.wrong(
                f"budget {place[0]}, slot {place[1]}: counters say spent, reserved, in doubt {has}, rows say {is_}"
            )
    rows = connection.exec_driver_sql(
        "SELECT CAST(COALESCE(SUM(cost_nanos), 0) AS BIGINT),"
        " CAST(COALESCE(SUM(CASE WHEN kind = 3 THEN saved_nanos END), 0) AS BIGINT),"
        " CAST(COALESCE(SUM(CASE WHEN kind = 1 THEN saved_nanos END), 0) AS BIGINT) FROM ledger"
    ).one()
    days = connection.exec_driver_sql(
        "SELECT CAST(COALESCE(SUM(cost_nanos), 0) AS BIGINT), CAST(COALESCE(SUM(saved_nanos), 0) AS BIGINT),"
        " CAST(COALESCE(SUM(provider_saved_nanos), 0) AS BIGINT) FROM spend_daily"
    ).one()
    if tuple(rows) != tuple(days):
        found.wrong(f"the sums by day say cost and savings {tuple(days)}, rows say {tuple(rows)}")
