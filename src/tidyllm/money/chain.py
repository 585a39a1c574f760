"""The writer's own row in the store, and the chain of rows that hangs on it. It knows no budgets.

The number and the hash of the last row are read in the transaction that adds the next ones: a transaction that is
undone, or run again, leaves no gap.
"""

from __future__ import annotations

import os

from tidyllm.money.facts import Facts, Outcome
from tidyllm.money.process import host_name, process_started
from tidyllm.money.row import GENESIS, Row, chained, insert_rows
from tidyllm.money.sql import Sql

__all__ = ["WRITER_SHIFT", "Chain", "entry_number"]

WRITER_SHIFT = 40
"""An entry's number is its writer's, shifted by so many bits, plus its row: 8 million writers, 10**12 rows each."""

_NEW = (
    "INSERT INTO ledger_writers (name, host, pid, process_started, started_at, heartbeat_at, seq, open_from, head)"
    " VALUES (?, ?, ?, ?, ?, ?, 0, 1, ?) RETURNING id"
)
_READ = "SELECT seq, head, recovered_at FROM ledger_writers WHERE id = ?"
_WRITE = "UPDATE ledger_writers SET seq = ?, head = ?, heartbeat_at = ?, open_from = ? WHERE id = ?"


def entry_number(writer: int, seq: int) -> int:
    """The number of the entry whose intent is row `seq` of `writer`."""
    return writer << WRITER_SHIFT | seq


class Chain:
    """For one work on one connection: rows are added in memory, then written at once."""

    def __init__(self, sql: Sql, now: float, writer: int | None, name: str) -> None:
        self._sql = sql
        self._now = now
        self._name = name
        self._before = writer
        self._found = [] if writer is None else sql.ask(_READ, (writer,))
        self.writer = 0
        self.replaced: int | None = None
        """The writer that this process was, when others have taken it for dead meanwhile."""
        self.seq = 0
        self._head = GENESIS
        self._rows: list[Row] = []

    def begin(self) -> None:
        """Go on behind the last row. What was asked of the store before is read together with it."""
        self._sql.send()
        if self._before is not None:
            seq, head, recovered_at = self._found[0]
            if recovered_at is None:
                self.writer, self.seq, self._head = self._before, int(seq), bytes(head)
                return
            self.replaced = self._before
        pid = os.getpid()
        values = (self._name, host_name(), pid, process_started(pid), self._now, self._now, GENESIS)
        self.writer = int(self._sql.rows(_NEW, values)[0][0])

    def add(  # noqa: PLR0917 - called for every row: names would cost a microsecond
        self,
        kind: int,
        entry: int | None,
        facts: Facts,
        booked: str | None,
        reserved: int | None,
        cost: int | None,
        saved: int | None,
        outcome: Outcome,
    ) -> int:
        """Add a row of `kind` about `entry` (None: this row begins one). Returns the entry's number."""
        self.seq = seq = self.seq + 1
        writer = self.writer
        number = writer << WRITER_SHIFT | seq if entry is None else entry
        row = (writer, seq, kind, number, self._now, *facts, booked, reserved, cost, saved, *outcome)
        self._head = head = chained(self._head, row)
        self._rows.append((*row, head))
        return number

    def write(self, open_from: int | None) -> None:
        """Write the rows. `open_from`: the first row of this writer that may still be open (None: none is)."""
        if self._rows:
            insert_rows(self._sql, self._rows)
        first = self.seq + 1 if open_from is None else open_from
        values = (self.seq, self._head, self._now, first, self.writer)
        self._sql.run(_WRITE, values)
