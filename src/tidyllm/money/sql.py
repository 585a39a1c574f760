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

from tidyllm.store.direct import Direct, psycopg_error, refused

__all__ = ["Sql"]

_AT_ONCE = 32
"""Rows in one statement; SQLite takes 32,766 values, and each number of rows is a statement of its own."""


class Sql:
    """One connection within its transaction. Statements have `?` where values go, on both databases.

    On Postgres what returns nothing is kept until something is read, or until `flush`: it travels in one message.
    """

    __slots__ = ("_direct", "_errors", "_kept", "_raw", "sqlite")

    def __init__(self, connection: Connection) -> None:
        self.sqlite = connection.dialect.name == "sqlite"
        self._raw: Any = connection.connection.driver_connection
        self._direct = None if self.sqlite else Direct(self._raw)
        self._errors = sqlite3.Error if self.sqlite else psycopg_error()
        self._kept: list[str] = []

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows that it returns."""
        try:
            if self._direct is None:
                return self._raw.execute(statement, values).fetchall()
            self._kept.append(self._direct.filled(statement, values))
            return self._send(self._direct)
        except self._errors as error:
            raise self._wrapped(statement, error) from error

    def run(self, statement: str, values: Sequence[Any]) -> None:
        """For one row of values, without an answer."""
        try:
            if self._direct is None:
                self._raw.execute(statement, values)
            else:
                self._kept.append(self._direct.filled(statement, values))
        except self._errors as error:
            raise self._wrapped(statement, error) from error

    def many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """For each row of values of `INSERT … VALUES (?, …) …`.

        Many rows are one statement: with one each, SQLite's driver would give up the interpreter twice for each.
        """
        try:
            for start in range(0, len(rows), _AT_ONCE):
                part = rows[start : start + _AT_ONCE]
                values = list(chain.from_iterable(part))
                if self._direct is None:
                    self._raw.execute(_repeated(statement, len(part)), values)
                else:
                    self._kept.append(self._direct.filled(_repeated(statement, len(part)), values))
        except self._errors as error:
            raise self._wrapped(statement, error) from error

    def copy(self, into: str, rows: Sequence[Sequence[Any]]) -> None:
        """Postgres only: add rows to `into`, a table with its columns in brackets."""
        statement = f"COPY {into} FROM STDIN"
        try:
            with self._raw.cursor() as cursor, cursor.copy(statement) as copy:
                for row in rows:
                    copy.write_row(row)
        except self._errors as error:
            raise self._wrapped(statement, error) from error

    def flush(self) -> None:
        """Run what was kept."""
        if self._kept and self._direct is not None:
            try:
                self._send(self._direct)
            except self._errors as error:
                raise self._wrapped("a batch of the ledger", error) from error

    def _send(self, direct: Direct) -> list[tuple[Any, ...]]:
        kept, self._kept = self._kept, []
        return direct.run("; ".join(kept))

    def _wrapped(self, statement: str, error: Exception) -> DBAPIError:
        if self.sqlite:
            return DBAPIError(statement, None, error, hide_parameters=True)
        return refused(self._raw, statement, error)


@lru_cache(maxsize=512)
def _repeated(statement: str, rows: int) -> str:
    """`… VALUES (?, ?) …` for so many rows."""
    before, _, after = statement.partition(" VALUES ")
    marks, bracket, rest = after.partition(")")
    return f"{before} VALUES {', '.join([marks + bracket] * rows)}{rest}"
