"""Statements to Postgres, several in one message, straight to libpq inside the store's transaction. It knows no tables.

A cursor of psycopg sends each statement alone and takes longer for it than the server does; what writes thousands of
rows a second comes here. Values stand in the text as literals, which this module writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.pq.abc import PGresult

__all__ = ["DIRECT", "Direct", "Rows", "psycopg_error"]

_SLICE = 1 << 20
"""Bytes of rows in one packet; the server takes none of a gigabyte."""
Rows: TypeAlias = list[tuple[Any, ...]]

DIRECT = "tidyllm.direct"
"""Where a connection of the writer's has its `Direct`, in `Connection.info`."""


def _boolean(value: bytes) -> bool:
    return value == b"t"


def _bytes(value: bytes) -> bytes:
    return bytes.fromhex(value[2:].decode())  # `bytea_output = hex`, see `engines.py`


_READERS: dict[int, Callable[[bytes], Any]] = {
    16: _boolean,
    17: _bytes,
    20: int,
    21: int,
    23: int,
    700: float,
    701: float,
    1700: int,  # sums of bigint
}
"""By type; anything else is text."""


class Direct:
    """One connection of psycopg's. Not for two threads at once."""

    def __init__(self, driver: Connection[Any]) -> None:
        from psycopg.pq import Escaping

        self._driver = driver
        self._encoding = driver.info.encoding
        self._escaping = Escaping(driver.pgconn)
        self._kept: list[tuple[str, Rows | None, str]] = []
        self._copied: list[bytes] = []

    def keep(self, statement: str, rows: Rows | None = None, *, named: str | None = None) -> None:
        """Run one statement with the next message; its rows are put into `rows`.

        `named`: what errors call it, where its values must not be told.
        """
        self._kept.append((statement, rows, statement if named is None else named))

    def copy(self, into: str, rows: Iterable[Sequence[Any]]) -> None:
        """Add rows to `into`, a table with its columns in brackets, with the next message.

        :raises DBAPIError: a value is of a type that the driver cannot write.
        """
        from psycopg.copy import Copy, FileWriter

        statement = f"COPY {into} FROM STDIN"
        data = BytesIO()
        try:
            with (
                self._driver.cursor() as cursor,
                Copy(cursor, binary=False, writer=FileWriter(data)) as copy,
            ):
                for row in rows:
                    copy.write_row(row)
        except psycopg_error() as error:
            raise self.failed(statement, error) from error
        self.keep(statement)
        self._copied.append(data.getvalue())

    @property
    def kept(self) -> int:
        """How many statements wait for the next message."""
        return len(self._kept)

    def forget(self) -> None:
        """Run nothing of what was kept."""
        self._kept = []
        self._copied = []

    def send(self) -> None:
        """Run what was kept, in order and in one message.

        :raises DBAPIError: one of them failed, and those behind it were not run.
        """
        kept, self._kept = self._kept, []
        copied, self._copied = self._copied, []
        answered = 0
        try:
            for result in self._results([statement for statement, _, _ in kept], iter(copied)):
                statement, rows, _ = kept[answered]
                self._check(result, statement)
                if rows is not None:
                    rows += self._rows(result)
                answered += 1
            if answered < len(kept):
                raise _operational("the connection is gone")
        except psycopg_error() as error:
            raise self.failed(kept[min(answered, len(kept) - 1)][2], error) from error

    def _results(self, statements: list[str], copied: Iterator[bytes]) -> list[PGresult]:
        from psycopg import generators, pq

        if not statements:
            return []
        server = self._driver.pgconn
        server.send_query("; ".join(statements).encode(self._encoding))
        results = self._driver.wait(generators.execute(server))
        while results and results[-1].status == pq.ExecStatus.COPY_IN:
            # The server wants the rows before it goes on with what stands behind.
            results.pop()
            data = next(copied)
            taken = [server.put_copy_data(data[at : at + _SLICE]) for at in range(0, len(data), _SLICE)]
            if not (all(taken) and server.put_copy_end()):
                raise _operational("there is no memory for the rows")
            results += self._driver.wait(generators.execute(server))
        return results

    def _check(self, result: PGresult, statement: str) -> None:
        """:raises psycopg.Error: it was not done."""
        from psycopg import pq
        from psycopg.errors import InFailedSqlTransaction, error_from_result

        if result.status not in {pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK}:
            if result.error_field(pq.DiagnosticField.SQLSTATE) is None:
                raise _operational(result.get_error_message(self._encoding) or "the connection is gone")
            raise error_from_result(result, self._encoding)
        if statement == "COMMIT" and result.command_status != b"COMMIT":
            # Postgres says so and nothing else, when a work has met an error and kept it to itself.
            raise InFailedSqlTransaction("a statement before the commit had failed, so nothing was kept")

    def _rows(self, result: PGresult) -> Rows:
        columns = range(result.nfields)
        readers = [_READERS.get(result.ftype(column)) for column in columns]
        return [
            tuple([self._value(result.get_value(row, column), readers[column]) for column in columns])
            for row in range(result.ntuples)
        ]

    def _value(self, value: bytes | None, read: Callable[[bytes], Any] | None) -> Any:
        if value is None:
            return None
        return value.decode(self._encoding) if read is None else read(value)

    def filled(self, statement: str, values: Sequence[object]) -> str:
        """The statement with a literal in place of each `?`."""
        parts = statement.split("?")
        return "".join([
            part + after
            for part, after in zip(parts, [*map(self.literal, values), ""], strict=True)
        ])  # fmt: skip

    def literal(self, value: object) -> str:
        """A value as SQL."""
        if value is None:
            return "NULL"
        if type(value) is int:
            return (
                str(value) if value >= 0 else f"({value})"
            )  # `-1` behind another minus would begin a comment
        if isinstance(value, str):
            if "\0" in value:
                raise ValueError("a text with a zero byte is none to Postgres")
            return bytes(self._escaping.escape_literal(value.encode(self._encoding))).decode(self._encoding)
        if isinstance(value, bytes):
            return f"decode('{value.hex()}', 'hex')"
        if isinstance(value, float):
            return f"'{value!r}'::float8"
        raise TypeError(f"no literal for {type(value).__name__}")

    def failed(self, statement: str, error: Exception) -> DBAPIError:
        """An error of psycopg's in the shape in which the store expects errors."""
        gone = bool(self._driver.closed)
        return DBAPIError(statement, None, error, hide_parameters=True, connection_invalidated=gone)


@lru_cache(maxsize=1)
def psycopg_error() -> type[Exception]:
    """The base of psycopg's errors, imported where it is needed."""
    from psycopg import Error

    return Error


def _operational(said: str) -> Exception:
    from psycopg import OperationalError

    return OperationalError(said)
