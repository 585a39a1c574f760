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

__all__ = ["Sql"]

_AT_ONCE = 32
"""Rows in one statement; SQLite takes 32,766 values, and each number of rows is a statement of its own."""


class Sql:
    """One connection within its transaction. Statements have `?` where values go, on both databases."""

    __slots__ = ("_errors", "_raw", "sqlite")

    def __init__(self, connection: Connection) -> None:
        self.sqlite = connection.dialect.name == "sqlite"
        self._raw: Any = connection.connection.driver_connection
        self._errors: type[Exception] = sqlite3.Error if self.sqlite else _psycopg_error()

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows that it returns."""
        try:
            return self._raw.execute(statement if self.sqlite else _percent(statement), values).fetchall()
        except self._errors as error:
            raise self._wrapped(statement, error) from error

    def run(self, statement: str, values: Sequence[Any]) -> None:
        """For one row of values, without an answer."""
        try:
            self._raw.execute(statement if self.sqlite else _percent(statement), values)
        except self._errors as error:
            raise self._wrapped(statement, error) from error

    def many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """For each row of values of `INSERT … VALUES (?, …) …`.

        SQLite gets many rows in one statement: with one each, its driver would give up the interpreter twice for each.
        """
        try:
            if self.sqlite:
                for start in range(0, len(rows), _AT_ONCE):
                    part = rows[start : start + _AT_ONCE]
                    self._raw.execute(_repeated(statement, len(part)), list(chain.from_iterable(part)))
            else:
                with self._raw.cursor() as cursor:
                    cursor.executemany(_percent(statement), rows)
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

    def _wrapped(self, statement: str, error: Exception) -> DBAPIError:
        gone = not self.sqlite and bool(self._raw.closed)
        return DBAPIError(statement, None, error, hide_parameters=True, connection_invalidated=gone)


@lru_cache(maxsize=512)
def _repeated(statement: str, rows: int) -> str:
    """`… VALUES (?, ?) …` for so many rows."""
    before, _, after = statement.partition(" VALUES ")
    marks, bracket, rest = after.partition(")")
    return f"{before} VALUES {', '.join([marks + bracket] * rows)}{rest}"


@lru_cache(maxsize=512)
def _percent(statement: str) -> str:
    return statement.replace("?", "%s")


@lru_cache(maxsize=1)
def _psycopg_error() -> type[Exception]:
    from psycopg import Error

    return Error
