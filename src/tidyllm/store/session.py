"""The connection that writes: opened when needed, opened again after it broke. It knows transactions, not batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, RootTransaction, Table, event, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from tidyllm.errors import StoreDown, StoreError
from tidyllm.store.direct import DIRECT, Direct, Rows
from tidyllm.store.engines import WAIT
from tidyllm.store.inserts import Inserts, Row

__all__ = ["Session"]

_NUMBER = "SELECT pg_current_xact_id()::text"
"""Of the transaction, asked for at once: should its commit break, it tells whether that was done."""
_ALONE = "SELECT pg_advisory_xact_lock(126948463830130)"
"""Works that read before they write are alone, as on SQLite: without it two processes' batches would deadlock."""


_GONE = ("08", "57P")
"""SQLSTATE: the connection broke, or the server ends it, and nobody knows whether in the middle of a commit."""


class Session:
    """At most one connection and one transaction, used by one thread at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._postgres = engine.dialect.name == "postgresql"
        self._connection: Connection | None = None
        self._transaction: RootTransaction | None = None
        self._inside = False
        event.listen(engine, "commit", self._refuse)
        event.listen(engine, "rollback", self._refuse)
        self._inserts = Inserts(engine.dialect)
        self.doubtful: str | None = None
        """Postgres: the transaction whose commit began and was never answered."""
        self._begun: Rows = []
        self._direct: Direct | None = None
        self._prelude = 0
        """Statements that only begin a transaction."""

    def begin(self, *, alone: bool, wait: float) -> Connection:
        """A connection with a transaction; `alone`: no other process is in such a one at the same time.

        `wait`: seconds for which another program's lock on a SQLite file is waited for.
        """
        if self._connection is None:
            self._connection = self._engine.connect()
        self._connection.info[WAIT] = wait
        self._transaction = self._connection.begin()
        if self._postgres:
            self._begun = []
            direct = self._direct = self._connection.info.get(DIRECT)
            if direct is None:
                driver: Any = self._connection.connection.driver_connection
                direct = self._direct = self._connection.info[DIRECT] = Direct(driver)
            # They travel with the first statement of the first work.
            direct.forget()
            direct.keep("BEGIN")
            direct.keep(_NUMBER, self._begun)
            if alone:
                direct.keep(_ALONE)
            self._prelude = direct.kept
        return self._connection

    def insert(self, table: Table, rows: Sequence[Row]) -> None:
        """Insert rows of one table."""
        assert self._connection is not None
        if self._direct is not None:
            self._direct.send()
        self._inserts.insert(self._connection, table, rows)

    def run(self, work: Callable[[Connection], Any], connection: Connection) -> Any:
        """What `work` returns.

        :raises StoreError: it ended the transaction that it shares with others; nothing of it was kept.
        """
        self._inside = True
        try:
            if self._direct is not None and not getattr(work, "direct", False):
                self._direct.send()
            return work(connection)
        finally:
            self._inside = False

    def _refuse(self, connection: Connection) -> None:
        if self._inside:
            raise StoreError(
                "a work tried to end the transaction it was given.",
                hint="Leave commit and rollback to the store; raise an error to undo a work.",
            )

    def commit(self) -> None:
        """Commit. When that breaks on Postgres, `doubtful` says which transaction to ask for."""
        assert self._connection is not None
        assert self._transaction is not None
        if self._direct is not None:
            self._commit(self._direct)
        self._transaction.commit()
        self._transaction = None
        self.doubtful = None

    def _commit(self, direct: Direct) -> None:
        """What is still kept, and the commit, in one message. Afterwards SQLAlchemy finds nothing left to commit."""
        if not self._begun:
            if direct.kept == self._prelude:
                direct.forget()  # no work had anything to write
                return
            direct.send()
        self.doubtful = self._begun[0][0]
        direct.keep("COMMIT")
        try:
            direct.send()
        except DBAPIError as error:
            state: str | None = getattr(error.orig, "sqlstate", None)
            if state is not None and not state.startswith(_GONE):
                self.doubtful = None  # the server says that it did not
            raise

    def rollback(self) -> None:
        """Undo what was begun; a connection that cannot even do that is given up."""
        transaction, self._transaction = self._transaction, None
        connection = self._connection
        try:
            if transaction is not None and transaction.is_active:
                transaction.rollback()
            elif transaction is not None and connection is not None:
                connection.connection.rollback()  # refused in `_refuse`, SQLAlchemy believes that it has ended
                self._connection = None
                connection.close()
        except Exception:  # noqa: BLE001 - of SQLAlchemy, or of a driver
            self.drop()
        else:
            if connection is not None and connection.invalidated:
                self.drop()

    def drop(self) -> None:
        """Give the connection up; the next `begin` opens another."""
        connection, self._connection = self._connection, None
        self._transaction = None
        if connection is not None:
            try:
                if not isinstance(self._engine.pool, StaticPool):  # a store in memory is its connection
                    connection.invalidate()
                connection.close()
            except SQLAlchemyError:
                pass

    def committed(self) -> bool:
        """Whether the doubtful transaction was committed after all.

        :raises SQLAlchemyError: the server is still away. :raises StoreDown: it is not decided yet.
        """
        number = self.doubtful
        if number is None:
            return False
        with self._engine.connect() as connection:
            asked = {"number": number}
            status = connection.execute(text("SELECT pg_xact_status(CAST(:number AS xid8))"), asked).scalar()
        if status == "in progress":  # the server has not noticed yet that we left
            raise StoreDown("a commit that was interrupted has not ended yet.")
        self.doubtful = None
        return status == "committed"

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except SQLAlchemyError:
                pass
        self._engine.dispose()
