"""Rows into tables, many at a time, past most of SQLAlchemy's work per row. It knows nothing of transactions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Table, insert
from sqlalchemy.engine import Dialect

__all__ = ["Inserts", "Row"]

Row = Mapping[str, Any]
_Fill = Callable[[Row], tuple[Any, ...]]


class Inserts:
    """Inserts for one database; what a table and a set of columns need is worked out once."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._known: dict[tuple[Table, tuple[str, ...]], tuple[str, _Fill]] = {}

    def insert(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        """Insert the rows, in order. Rows with the same columns next to each other are one statement."""
        start = 0
        while start < len(rows):
            names = tuple(rows[start])
            end = start + 1
            while end < len(rows) and tuple(rows[end]) == names:
                end += 1
            statement, fill = self._known.get((table, names)) or self._learn(table, names)
            connection.exec_driver_sql(statement, [fill(row) for row in rows[start:end]])
            start = end

    def _learn(self, table: Table, names: tuple[str, ...]) -> tuple[str, _Fill]:
        given = set(names)
        columns = [column for column in table.columns if column.key in given or _has_default(column)]
        unknown = given - {column.key for column in columns}
        if unknown:
            raise KeyError(f"table {table.name!r} has no column {min(unknown)!r}")
        compiled = insert(table).compile(
            dialect=self._dialect, column_keys=[column.key for column in columns]
        )
        # The driver's own placeholders stand in the order of the statement's columns.
        marks = ", ".join("?" if self._dialect.paramstyle == "qmark" else "%s" for _ in columns)
        quote = compiled.preparer.quote
        into = ", ".join(quote(column.name) for column in columns)
        statement = f"INSERT INTO {compiled.preparer.format_table(table)} ({into}) VALUES ({marks})"  # noqa: S608 - names of our tables
        values = [_value(column, self._dialect, given=column.key in given) for column in columns]
        found = statement, _filler(values)
        self._known[table, names] = found
        return found


def _filler(values: Sequence[Callable[[Row], Any]]) -> _Fill:
    def fill(row: Row) -> tuple[Any, ...]:
        return tuple([value(row) for value in values])

    return fill


def _has_default(column: Column[Any]) -> bool:
    return column.default is not None and (column.default.is_scalar or column.default.is_callable)


def _value(column: Column[Any], dialect: Dialect, *, given: bool) -> Callable[[Row], Any]:
    key = column.key
    kind = column.type.dialect_impl(dialect)
    process = kind.bind_processor(dialect)
    if given:
        if process is None:
            return lambda row: row[key]
        return lambda row: process(row[key])
    default: Any = getattr(column.default, "arg", None)
    make: Callable[[], Any] = (lambda: default(None)) if callable(default) else (lambda: default)
    if process is None:
        return lambda row: make()
    return lambda row: process(make())
