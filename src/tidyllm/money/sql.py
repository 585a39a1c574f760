"""Statements of the hot path, straight to the driver inside the store's transaction. It knows no tables.

SQLAlchemy's work around a statement takes longer than SQLite takes for it, and a batch of the ledger has six. Errors
keep the shape in which the store expects them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from tidyllm.store.direct import DIRECT, Direct, Rows

__all__ = ["Sql", "native"]

_AT_ONCE = 32
"""Rows in one statement; SQLite takes 32,766 values, and each number of rows is a statement of its own."""


class Sql:
    """One connection within its transaction. Statements have `?` where values go, on both databases.

    On Postgres they are kept until rows are read, or until the store commits, and then travel in one message.
    """

    __slots__ = ("_direct", "_raw", "sqlite")

    def __init__(self, connection: Connection) -> None:
        self.sqlite = connection.dialect.name == "sqlite"
        self._raw: Any = connection.connection.driver_connection
        self._direct: Direct | None = None if self.sqlite else connection.info[DIRECT]

    def ask(self, statement: str, values: Sequence[Any] = ()) -> Rows:
        """The rows that it returns, once something was read or sent."""
        if self._direct is None:
            return self._execute(statement, values).fetchall()
        rows: Rows = []
        self._direct.keep(self._direct.filled(statement, values), rows, named=statement)
        return rows

    def rows(self, statement: str, values: Sequence[Any] = ()) -> Rows:
        """The rows that it returns, and all those that were asked for before."""
        rows = self.ask(statement, values)
        self.send()
        return rows

    def run(self, statement: str, values: Sequence[Any]) -> None:
        """For one row of values, without an answer."""
        if self._direct is None:
            self._execute(statement, values)
        else:
            self._direct.keep(self._direct.filled(statement, values), named=statement)

    def many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """For each row of values of `INSERT … VALUES (?, …) …`.

        Many rows are one statement: with one each, SQLite's driver would give up the interpreter twice for each.
        """
        for start in range(0, len(rows), _AT_ONCE):
            part = rows[start : start + _AT_ONCE]
            self.run(_repeated(statement, len(part)), list(chain.from_iterable(part)))

    def copy(self, into: str, rows: Sequence[Sequence[Any]]) -> None:
        """Postgres only: add rows to `into`, a table with its columns in brackets."""
        assert self._direct is not None
        self._direct.copy(into, rows)

    def send(self) -> None:
        """Run what was kept."""
        if self._direct is not None:
            self._direct.send()

    def _execute(self, statement: str, values: Sequence[Any]) -> Any:
        try:
            return self._raw.execute(statement, values)
        except sqlite3.Error as error:
            raise DBAPIError(statement, None, error, hide_parameters=True) from error


def native(connection: Connection, statement: str) -> str:
    """The statement with the driver's own marks in place of `?`, for `exec_driver_sql`."""
    return statement if connection.dialect.name == "sqlite" else statement.replace("?", "%s")


@lru_cache(maxsize=512)
def _repeated(statement: str, rows: int) -> str:
    """`… VALUES (?, ?) …` for so many rows."""
    before, _, after = statement.partition(" VALUES ")
    marks, bracket, rest = after.partition(")")
    return f"{before} VALUES {', '.join([marks + bracket] * rows)}{rest}"
