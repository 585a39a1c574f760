"""The store: works that read or write one database, on SQLite or Postgres. It does not know what is stored."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Callable
from concurrent.futures import Future as ThreadFuture
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Engine, Table
from sqlalchemy.exc import SQLAlchemyError

from tidyllm.errors import StoreDown, StoreError
from tidyllm.store.engines import reader_engine, writer_engine
from tidyllm.store.failures import kind_of, ours
from tidyllm.store.files import inspect_file, make_room
from tidyllm.store.inserts import Row
from tidyllm.store.item import Item
from tidyllm.store.location import Dialect, Location, locate
from tidyllm.store.schema import ensure
from tidyllm.store.writer import Writer

__all__ = ["Store"]

T = TypeVar("T")
Work = Callable[[Connection], T]


class Store:
    """One database. Open it with `Store.open`; any thread and any event loop may use it.

    A work is a function that gets a SQLAlchemy `Connection` inside of a transaction. It may be run more than once, so
    it changes nothing but the database, and it leaves commit and rollback to the store.
    """

    def __init__(
        self, location: Location, *, readers: int = 4, patience: float = 5.0, capacity: int = 200_000
    ) -> None:
        self._location = location
        self._count = readers
        self._patience = patience
        self._capacity = capacity
        self._open()
        _all.add(self)

    def _open(self) -> None:
        engine = writer_engine(self._location)
        self._in_memory = self._location.dialect == "sqlite" and self._location.path is None
        self._readers: Engine = engine if self._in_memory else reader_engine(self._location, self._count)
        self._writer_engine = engine
        self._writer = Writer(engine, self.name, patience=self._patience, capacity=self._capacity)
        self._threads = ThreadPoolExecutor(self._count, thread_name_prefix="tidyllm-store-read")
        # At the interpreter's end what was posted is still written: the thread is a daemon and lives until then.
        self._finalizer = weakref.finalize(self, self._writer.close)

    @classmethod
    def open(
        cls,
        url: str | Path | None = None,
        *,
        create: bool = True,
        readers: int = 4,
        patience: float = 5.0,
        capacity: int = 200_000,
    ) -> Self:
        """Open the database at `url`, made or migrated to the newest schema when `create`.

        `url` is a path, `sqlite:///path`, `sqlite://` (in memory) or `postgresql://user:password@host/database`.
        None means `$TIDYLLM_STORE_URL`, else `~/.local/share/tidyllm/store.db` (`$XDG_DATA_HOME` is honoured).
        `readers` reads go on at once. A write waits `patience` seconds for a database that is away; of writes that
        nobody waits for, `capacity` are kept until it is back.

        :raises ConfigError: `url` is none of these.
        :raises StoreDown: the server cannot be reached, or the file cannot be opened.
        :raises StoreError: the database is corrupt, of a newer schema, or not a store's; nothing was changed.
        """
        location = locate(url)
        if location.path is not None:
            inspect_file(location, create=create)
            if create:
                make_room(location)
        store = cls(location, readers=readers, patience=patience, capacity=capacity)
        try:
            ensure(store._readers, store._writer_engine, location, create=create or store._in_memory)
        except SQLAlchemyError as error:
            store.close()
            mapped = ours(error, location.name)
            raise mapped from mapped.__cause__
        except BaseException:
            store.close()
            raise
        return store

    @property
    def dialect(self) -> Dialect:
        """`sqlite` or `postgresql`."""
        return self._location.dialect

    @property
    def name(self) -> str:
        """Its URL without password."""
        return self._location.name

    @property
    def path(self) -> Path | None:
        """The file; None for Postgres and in memory."""
        return self._location.path

    @property
    def lost(self) -> int:
        """How many works and rows that nobody waited for could not be written, since the store was opened."""
        return self._writer.lost

    def __repr__(self) -> str:
        return f"Store({self.name!r})"

    # -- reading -----------------------------------------------------------------------------------------------------

    async def read(self, work: Work[T]) -> T:
        """Run `work` in a thread, on a connection that cannot write; returns what it returns.

        :raises StoreDown: the database is away. :raises StoreError: it refused. What `work` raises comes as it is.
        """
        if self._in_memory:
            return await self.write(work)
        self._check_open()
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.read_sync, work)

    def read_sync(self, work: Work[T]) -> T:
        """`read` for threads and the command line."""
        if self._in_memory:
            return self.write_sync(work)
        self._check_open()
        try:
            return self._read(work)
        except SQLAlchemyError as error:
            if self.dialect == "sqlite" or kind_of(error) == "refused":
                mapped = ours(error, self.name)
                raise mapped from mapped.__cause__
        # The server may have been restarted since this connection was last used; a new one will tell.
        try:
            return self._read(work)
        except SQLAlchemyError as error:
            mapped = ours(error, self.name)
            raise mapped from mapped.__cause__

    def _check_open(self) -> None:
        if not self._finalizer.alive:
            raise StoreDown(f"store {self.name} is closed.", hint="Open it again.")

    def _read(self, work: Work[T]) -> T:
        with self._readers.connect() as connection, connection.begin():
            return work(connection)

    def read_snapshot(self, work: Work[T]) -> T:
        """`read_sync` at one moment: all statements of `work` see the same rows, whatever is written meanwhile."""
        try:
            with self._readers.connect() as connection:
                if self.dialect == "postgresql":
                    connection.execution_options(isolation_level="REPEATABLE READ")
                with connection.begin():
                    return work(connection)
        except SQLAlchemyError as error:
            mapped = ours(error, self.name)
            raise mapped from mapped.__cause__

    # -- writing -----------------------------------------------------------------------------------------------------

    async def write(self, work: Work[T]) -> T:
        """Run `work` in the writer's thread; returns what it returns, after it was committed.

        Works of many callers share a transaction. When one of them raises, it is undone and each is run again alone,
        so that only the one that raised fails. If the caller is cancelled the work is still done.

        :raises StoreDown: the database is away. :raises StoreError: it refused. What `work` raises comes as it is.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._writer.put(Item(work, None, None, future))
        return await future

    def write_sync(self, work: Work[T]) -> T:
        """`write` for threads and the command line. It blocks; on an event loop use `write`."""
        if self._writer.in_thread():
            raise StoreError("a work waits for another work of the same writer.", hint="Use its connection.")
        return self.submit(work).result()

    def submit(
        self,
        work: Work[T],
        *,
        given_up: Callable[[BaseException], None] | None = None,
        lost: Callable[[BaseException], None] | None = None,
        written: Callable[[Any], None] | None = None,
    ) -> ThreadFuture[T]:
        """`write` for whoever serves several event loops: a future of threads, set in the writer's thread.

        What is added with `add_done_callback` runs there, before the next transaction begins: it must be quick.

        With `given_up` the work is one that must be done in the end: when the database stays away for longer than who
        waits is patient, `given_up` is called with the reason, then the future gets it, and the work is kept as if it
        had been posted, with `lost` and `written`.

        :raises StoreDown: the database is away, or the store was closed.
        """
        future: ThreadFuture[T] = ThreadFuture()
        self._writer.put(Item(work, None, None, future, lost=lost, written=written, given_up=given_up))
        return future

    def post(
        self,
        work: Work[Any],
        *,
        lost: Callable[[BaseException], None] | None = None,
        written: Callable[[Any], None] | None = None,
    ) -> None:
        """Like `write`, but nobody waits. The order with this process's other works is kept.

        While the database is away it is kept; if it cannot be written in the end, `store.lost` counts it and `lost`
        is called with the reason, in any thread. `written` is called with what `work` returned once that is on disk,
        in the writer's thread and before the next transaction begins: it must be quick.
        """
        self._writer.put(Item(work, None, None, None, lost=lost, written=written))

    async def append(self, table: Table, row: Row) -> None:
        """Insert `row`, as `write` would; rows of one table that come together are one statement.

        :raises StoreDown: the database is away. :raises StoreError: it refused the row.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writer.put(Item(None, table, row, future))
        await future

    def append_soon(self, table: Table, row: Row) -> None:
        """Like `append`, but nobody waits; what is said of `post` holds here."""
        self._writer.put(Item(None, table, row, None))

    # -- the end -----------------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Write everything that was posted, then close; a second time does nothing."""
        await asyncio.get_running_loop().run_in_executor(None, self.close)

    def close(self) -> None:
        """`aclose` for threads and the command line."""
        if self._finalizer.detach() is None:
            return
        self._threads.shutdown(wait=True)
        self._writer.close()
        self._readers.dispose()

    def _after_fork(self) -> None:
        # Locks of a SQLite file and a server's socket belong to the parent: the child neither uses nor closes them.
        _kept_from_the_parent.append((self._writer, self._readers, self._writer_engine, self._threads))
        if self._finalizer.detach() is not None:
            self._open()


_all: weakref.WeakSet[Store] = weakref.WeakSet()
_kept_from_the_parent: list[object] = []


def _renew_all() -> None:
    for store in tuple(_all):
        store._after_fork()  # pyright: ignore[reportPrivateUsage] - the same module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
