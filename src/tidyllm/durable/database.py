"""One connection to the database of runs, with the same questions on SQLite and Postgres. It knows no runs."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from tidyllm.durable.tables import SCHEMA, ddl
from tidyllm.errors import RunError, StoreDown
from tidyllm.store.location import Location

__all__ = ["Connection", "DatabaseError", "check_schema", "connect", "prepare"]

_BUSY_SECONDS = 30.0
# Keys of advisory locks: any number, as long as nobody else in this database uses it.
_PREPARING = 7_436_921_001


class DatabaseError(Exception):
    """The database said no. `away`: it may be back, so the same can be tried again."""

    def __init__(self, message: str, *, away: bool) -> None:
        super().__init__(message)
        self.away = away


class Connection:
    """SQL with `?` for values, `{s}` before our tables and `{e}` before the engine's. One thread at a time uses it."""

    def __init__(self, location: Location, *, write: bool = True) -> None:
        """:raises StoreDown: it cannot be reached."""
        self.location = location
        self.is_sqlite = location.dialect == "sqlite"
        self.prefixes = {"s": "", "e": ""} if self.is_sqlite else {"s": "tidyllm_runs.", "e": "dbos."}
        self._texts: dict[str, str] = {}
        self._raw: Any = None
        self._write = write
        self.lock = threading.Lock()
        self._open()

    def _open(self) -> None:
        if self.is_sqlite:
            assert self.location.path is not None
            self._raw = _sqlite(self.location.path)
        else:
            import psycopg

            assert self.location.url is not None
            url = self.location.url.set(drivername="postgresql").render_as_string(hide_password=False)
            try:
                self._raw = psycopg.connect(
                    url, autocommit=True, connect_timeout=5, application_name="tidyllm-runs"
                )
            except psycopg.Error as error:
                words = str(error).splitlines()[0]
                raise StoreDown(f"{self.location.name} cannot be reached: {words}.") from None

    def again(self) -> None:
        """A new connection in place of a broken one.

        :raises StoreDown: it cannot be reached.
        """
        self.close()
        self._open()

    def close(self) -> None:
        """Leave the database; it may be called twice."""
        with contextlib.suppress(Exception):
            self._raw.close()

    def text(self, sql: str) -> str:
        """`sql` as the driver wants it."""
        known = self._texts.get(sql)
        if known is None:
            known = sql.format(**self.prefixes)
            if not self.is_sqlite:
                known = known.replace("%", "%%").replace("?", "%s")
            self._texts[sql] = known
        return known

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a question. :raises DatabaseError: the database said no."""
        with _mapped():
            return self._raw.execute(self.text(sql), values).fetchall()

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """How many rows a statement changed. :raises DatabaseError: the database said no."""
        with _mapped():
            return self._raw.execute(self.text(sql), values).rowcount

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """One statement for each row. :raises DatabaseError: the database said no."""
        with _mapped():
            if self.is_sqlite:
                self._raw.executemany(self.text(sql), rows)
            else:
                with self._raw.cursor() as cursor:
                    cursor.executemany(self.text(sql), rows)

    @contextlib.contextmanager
    def transaction(self) -> Generator[None]:
        """All or nothing."""
        self.run("BEGIN IMMEDIATE" if self.is_sqlite else "BEGIN")
        try:
            yield
        except BaseException:
            with contextlib.suppress(DatabaseError):
                self.run("ROLLBACK")
            raise
        self.run("COMMIT")

    def set_soft(self) -> None:
        """What is written here may be lost if the database's own machine loses power; not by a kill of anyone."""
        if not self.is_sqlite:
            self.run("SET synchronous_commit = off")

    def pipeline(self) -> contextlib.AbstractContextManager[Any]:
        """Statements inside go to the server without waiting for each."""
        return contextlib.nullcontext() if self.is_sqlite else self._raw.pipeline()


@contextlib.contextmanager
def _mapped() -> Generator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise DatabaseError(str(error), away=isinstance(error, sqlite3.OperationalError)) from error
    except Exception as error:
        if type(error).__module__.startswith("psycopg"):
            import psycopg

            away = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
            raise DatabaseError(str(error).splitlines()[0], away=away) from error
        raise


def connect(location: Location, *, create: bool = False) -> Connection:
    """A connection to runs that exist already, or with `create` to new ones.

    :raises RunError: there is no such database, and not `create`.
    :raises StoreDown: it cannot be reached.
    """
    if location.path is not None:
        if create:
            try:
                location.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                os.close(os.open(location.path, os.O_CREAT | os.O_WRONLY, 0o600))
            except OSError as error:
                raise StoreDown(f"{location.path} cannot be made: {error.strerror}.") from error
        elif not location.path.exists():
            raise RunError(f"no run was ever started here: {location.path} does not exist.")
    return Connection(location)


def prepare(connection: Connection) -> None:
    """Make our tables, where they are missing; several processes may do so at once.

    :raises RunError: a newer program has written there.
    :raises StoreDown: the database does not let us.
    """
    check_schema(connection)
    try:
        with connection.transaction():
            if not connection.is_sqlite:
                connection.rows("SELECT pg_advisory_xact_lock(?)", (_PREPARING,))
            for statement in ddl("sqlite" if connection.is_sqlite else "postgresql"):
                connection.run(statement)
            if not _is_dated(connection):
                connection.run(
                    "ALTER TABLE {s}tidyllm_blobs ADD COLUMN created DOUBLE PRECISION NOT NULL DEFAULT 0"
                )
            connection.run("INSERT INTO {s}tidyllm_schema VALUES (?) ON CONFLICT DO NOTHING", (SCHEMA,))
    except DatabaseError as error:
        raise StoreDown(f"{connection.location.name} cannot be used for runs: {error}.") from error


def _is_dated(connection: Connection) -> bool:
    """Whether the table of large values tells when they were kept; at first it did not."""
    if connection.is_sqlite:
        return any(row[1] == "created" for row in connection.rows("PRAGMA table_info(tidyllm_blobs)"))
    sql = "SELECT 1 FROM information_schema.columns WHERE table_schema = ? AND table_name = ? AND column_name = ?"
    return bool(connection.rows(sql, ("tidyllm_runs", "tidyllm_blobs", "created")))


def check_schema(connection: Connection) -> None:
    """:raises RunError: a newer program has written there, in tables that this one does not know."""
    try:
        found = connection.rows("SELECT max(version) FROM {s}tidyllm_schema")[0][0]
    except DatabaseError:  # no such table: as it was before there were versions, or no runs at all
        return
    if found is not None and found > SCHEMA:
        raise RunError(
            f"the runs in {connection.location.name} have schema {found}, and this program knows {SCHEMA}: "
            "they were written by a newer one.",
            hint="Upgrade tidyllm here, or use another database.",
        )


def _sqlite(path: Path) -> sqlite3.Connection:
    try:
        raw = sqlite3.connect(
            path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        raw.execute("PRAGMA journal_mode=WAL")
        raw.execute("PRAGMA synchronous=NORMAL")
    except sqlite3.Error as error:
        raise StoreDown(f"{path} cannot be opened: {error}.") from error
    return raw
