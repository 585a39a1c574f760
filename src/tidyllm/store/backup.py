"""Copies of a store: made while it is used, put back where nothing is lost. It knows tables, not what they mean.

A backup is always one SQLite file, which is itself a store. Of a SQLite store it is a copy page by page; of a Postgres
store all rows of our tables as they were at one moment. It can be put back into either: that is also the way from one
to the other.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, func, insert, select, text
from sqlalchemy.exc import SQLAlchemyError

from tidyllm import clock
from tidyllm.errors import StoreDown, StoreError
from tidyllm.store.engines import writer_engine
from tidyllm.store.failures import ours as mapped
from tidyllm.store.files import inspect_file
from tidyllm.store.location import Location, locate
from tidyllm.store.schema import migrate
from tidyllm.store.store import Store

__all__ = ["RUNS", "backup", "continue_numbers", "restore", "runs_copy"]

_ROWS = 2_000
_BESIDE = ("", "-wal", "-shm")
RUNS = "runs.db"
"""The file of durable runs, which lies beside a SQLite store. On Postgres they are in the same database."""


def backup(target: Path, url: str | Path | None = None, *, force: bool = False) -> int:
    """Copy the store at `url` to the new file `target`, while others read and write; returns the file's size in bytes.

    The file appears when it is complete, readable by its owner only. Durable runs in `runs.db` beside a SQLite store go
    into a second file beside the first (`runs_copy`); those in a Postgres database are not copied.

    :raises StoreError: there is no healthy store of this version at `url`, or no folder for `target`, or it exists and
        not `force`.
    :raises StoreDown: the store cannot be reached, or there is no room for the copy.
    """
    location = locate(url)
    if not target.absolute().parent.is_dir():
        raise StoreError(
            f"{target} cannot be written: there is no folder {target.absolute().parent}.",
            hint="Make it, or choose another place.",
        )
    runs = _runs_of(location)
    for file in [target, *([runs_copy(target)] if runs else [])]:
        if file.exists() and not force:
            raise StoreError(f"{file} exists already.", hint="Choose another name, or pass --force.")
    part = _beside(target)
    try:
        if location.path is not None:
            inspect_file(location, create=False)
            _copy_pages(location.path, part, mode="rw")  # not "ro", which leaves a log behind
            if runs is not None:
                _copy_file(runs, runs_copy(target))
        else:
            with closing(Store.open(url, create=False)) as source, closing(Store.open(part)) as copy:
                _copy_rows(source, copy)
            _plain(part)
        _sync(part)
        part.replace(target)
    except OSError as error:
        raise StoreDown(f"{target} cannot be written: {error.strerror}.") from error
    finally:
        _remove(part)
    return target.stat().st_size


def runs_copy(target: Path) -> Path:
    """Where the runs go that belong to the store of which `target` is the copy: `copy.db` and `copy.runs.db`."""
    return target.with_name(f"{target.stem}.{RUNS}")


def _runs_of(location: Location) -> Path | None:
    """The runs beside a store, if there are any."""
    if location.path is None or location.path.name == RUNS:
        return None
    runs = location.path.with_name(RUNS)
    return runs if runs.is_file() else None


def _copy_file(source: Path, target: Path) -> None:
    """A copy page by page, which appears when it is complete."""
    part = _beside(target)
    try:
        _copy_pages(source, part, mode="rw")
        _sync(part)
        part.replace(target)
    finally:
        _remove(part)


def restore(source: Path, url: str | Path | None = None, *, force: bool = False) -> None:
    """Put the backup `source` into the store at `url`, which becomes what it was then, in today's schema.

    With `force` what is in the store is replaced, in one transaction; a SQLite file that is no healthy store is moved
    aside.

    :raises StoreError: `source` is no healthy store, or the store holds something and not `force`.
    :raises StoreDown: the store cannot be reached, or there is no room.
    """
    location = locate(url)
    inspect_file(locate(source), create=False)
    runs = runs_copy(source) if runs_copy(source).is_file() and location.path is not None else None
    if runs is not None and _runs_of(location) is not None and not force:
        raise StoreError(
            f"{_runs_of(location)} holds durable runs.",
            hint="Pass --force to replace them, or restore elsewhere.",
        )
    try:
        with tempfile.TemporaryDirectory(prefix="tidyllm-restore-") as folder:
            ready = Path(folder) / "store.db"
            _copy_pages(source, ready)
            _renew(ready, source)
            if location.path is not None:
                _into_file(ready, location, location.path, force=force)
                if runs is not None:
                    _put_back_runs(runs, location.path.with_name(RUNS))
            else:
                _into_server(ready, location, url, force=force)
    except OSError as error:
        raise StoreDown(f"{source} cannot be restored: {error.strerror}.") from error
    except SQLAlchemyError as error:
        raise mapped(error, location.name) from error


def _renew(ready: Path, source: Path) -> None:
    """Bring the copy of `source` to today's schema. :raises StoreError: `source` is no store, or a newer one."""
    try:
        Store.open(ready).close()
    except StoreError as error:  # of the copy; who asked has given another name
        told = error.message.replace(locate(ready).name, locate(source).name).replace(str(ready), str(source))
        raise type(error)(told, hint=error.hint) from error.__cause__


def _into_file(ready: Path, location: Location, path: Path, *, force: bool) -> None:
    healthy = True
    if path.exists() and path.stat().st_size:
        try:
            with closing(Store.open(path)) as store:
                held = store.read_sync(_held)
        except StoreDown:
            raise
        except StoreError:
            healthy, held = False, 1
        if held and not force:
            what = f"holds {held} rows" if healthy else "is no healthy store"
            raise StoreError(
                f"{path} {what}.", hint="Pass --force to replace it, or restore to another path."
            )
    if not healthy:
        aside = f"{path.name}.before-restore-{clock.now():.0f}"
        for suffix in _BESIDE:
            old = path.with_name(path.name + suffix)
            if old.exists():
                old.rename(path.with_name(aside + suffix))
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists():
        # Through SQLite, page by page in one transaction: programs that have it open see the old or the new.
        _copy_pages(ready, path, new=False)
        return
    part = _beside(path)
    try:
        _copy_pages(ready, part)
        _sync(part)
        part.replace(path)
    finally:
        _remove(part)


def _put_back_runs(source: Path, target: Path) -> None:
    if target.exists():
        _copy_pages(source, target, new=False)
    else:
        _copy_file(source, target)


def _into_server(ready: Path, location: Location, url: str | Path | None, *, force: bool) -> None:
    engine = writer_engine(location)
    try:
        with engine.connect() as connection:
            migrate(connection, location)
    finally:
        engine.dispose()
    with closing(Store.open(url)) as store, closing(Store.open(ready)) as source:
        held = store.read_sync(_held)
        if held and not force:
            raise StoreError(f"{store.name} holds {held} rows.", hint="Pass --force to replace them.")
        _copy_rows(source, store)


def _copy_pages(source: Path, target: Path, *, new: bool = True, mode: str = "ro") -> None:
    if new:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with (
            closing(
                sqlite3.connect(f"{source.absolute().as_uri()}?mode={mode}", uri=True, timeout=30)
            ) as old,
            closing(sqlite3.connect(target, timeout=30)) as copy,
        ):
            old.backup(copy)
            if new:  # one file, with nothing left in a log beside it
                copy.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.DatabaseError as error:
        kind = (
            StoreError
            if error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
            else StoreDown
        )
        raise kind(f"{source} cannot be copied to {target}: {error}.") from error


def _plain(path: Path) -> None:
    with closing(sqlite3.connect(path, timeout=30)) as copy:
        copy.execute("PRAGMA journal_mode=DELETE")


def _copy_rows(source: Store, target: Store) -> None:
    """All rows of our tables in place of those of `target`, in one transaction on both sides."""
    from tidyllm.store.tables import metadata

    tables = metadata.sorted_tables

    def put(into: Connection) -> None:
        _triggers(into, "DISABLE")  # a table that is only added to otherwise would refuse to be replaced
        for table in reversed(tables):  # also of a new store: a migration may have put rows into it
            if into.execute(select(func.count()).select_from(table)).scalar_one():
                into.execute(table.delete())

        def take(of: Connection) -> None:
            for table in tables:
                order = list(table.primary_key.columns)
                rows = (
                    of.execution_options(yield_per=_ROWS).execute(select(table).order_by(*order)).mappings()
                )
                for some in rows.partitions(_ROWS):
                    into.execute(insert(table), [dict(row) for row in some])

        source.read_snapshot(take)
        if target.dialect == "postgresql":
            for table in tables:
                continue_numbers(into, table.name, [column.name for column in table.primary_key.columns])
        _triggers(into, "ENABLE")

    target.write_sync(put)


def _triggers(connection: Connection, what: str) -> None:
    """Those of Postgres, in this transaction alone; those of SQLite see single rows, and a new file has none."""
    from tidyllm.store.tables import metadata

    if connection.dialect.name == "postgresql":
        for table in metadata.sorted_tables:
            connection.execute(text(f'ALTER TABLE "{table.name}" {what} TRIGGER USER'))


def continue_numbers(connection: Connection, table: str, keys: list[str]) -> None:
    """Rows came with their numbers; the next one is to follow them."""
    for key in keys:
        named = {"table": table, "key": key}
        sequence = connection.execute(text("SELECT pg_get_serial_sequence(:table, :key)"), named).scalar()
        if sequence is not None:
            highest = connection.execute(text(f'SELECT max("{key}") FROM "{table}"')).scalar()  # noqa: S608 - names of our tables
            if highest is not None:
                connection.execute(text("SELECT setval(:name, :to)"), {"name": sequence, "to": highest})


def _held(connection: Connection) -> int:
    """How many rows there are beyond those of a new store."""

    def count(of: Connection) -> dict[str, int]:
        return {
            name: of.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in ours.items()
        }

    from tidyllm.store.tables import metadata

    ours = metadata.tables
    with closing(Store.open("sqlite://")) as new:
        at_first = new.read_sync(count)
    return sum(max(0, rows - at_first[name]) for name, rows in count(connection).items())


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def _remove(part: Path) -> None:
    for suffix in _BESIDE:
        part.with_name(part.name + suffix).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
