"""How each database is opened: pragmas, locks, pools. It knows connections, not tables or who waits for what."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from random import random
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool, QueuePool, StaticPool

from tidyllm.store.location import Location

__all__ = ["BUSY_SECONDS", "WAIT", "reader_engine", "writer_engine"]

BUSY_SECONDS = 30.0
"""How long one process waits for another's transaction on the same file, if it does not say otherwise."""
WAIT = "tidyllm.wait"
"""In `Connection.info`: how many seconds the next transaction waits for the lock to write."""
_CONNECT_SECONDS = 5
_CHECKPOINT_PAGES = 8_000
"""Of 4 KiB, in a log that is used again from its beginning: 32 MiB."""
_NEVER = threading.Event()


def writer_engine(location: Location) -> Engine:
    """The engine of the one connection that writes; its transactions hold the write lock from their beginning."""
    if location.dialect == "postgresql":
        return _postgres(location, poolclass=NullPool)
    pool = NullPool if location.path else StaticPool
    engine = create_engine(
        "sqlite://", creator=lambda: _open(location.path, writes=True), poolclass=pool, hide_parameters=True
    )
    event.listen(engine, "begin", _begin_immediate)
    return engine


def reader_engine(location: Location, readers: int) -> Engine:
    """The engine of at most `readers` connections that cannot write."""
    pool = {"poolclass": QueuePool, "pool_size": readers, "max_overflow": 0, "pool_timeout": BUSY_SECONDS}
    if location.dialect == "postgresql":
        return _postgres(location, execution_options={"postgresql_readonly": True}, **pool)
    engine = create_engine(
        "sqlite://", creator=lambda: _open(location.path, writes=False), hide_parameters=True, **pool
    )
    event.listen(engine, "begin", _begin)
    return engine


def _postgres(location: Location, **options: Any) -> Engine:
    assert location.url is not None
    told: dict[str, Any] = {"connect_timeout": _CONNECT_SECONDS, "application_name": "tidyllm"}
    for name in location.url.query:
        told.pop(name, None)  # the URL knows better
    engine = create_engine(location.url, connect_args=told, hide_parameters=True, **options)
    event.listen(engine, "connect", _leave_no_locks)
    return engine


# A machine that vanishes in the middle of a transaction would else keep the others waiting for as long as the
# server believes in it, two hours by default.
_LEAVE_NO_LOCKS = """
SET idle_in_transaction_session_timeout = '20s';
SET lock_timeout = '25s';
SET bytea_output = 'hex';
SET tcp_keepalives_idle = 10;
SET tcp_keepalives_interval = 5;
SET tcp_keepalives_count = 3;
"""


def _leave_no_locks(driver: Any, record: object) -> None:
    driver.execute(_LEAVE_NO_LOCKS)
    driver.commit()


def _open(path: Path | None, *, writes: bool) -> sqlite3.Connection:
    # `isolation_level=None`: the driver would begin transactions where it thinks best; we say BEGIN ourselves.
    connection = sqlite3.connect(
        path or ":memory:",
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,  # one at a time uses it, though not always the same thread
        cached_statements=256,
    )
    if path is not None and writes:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA foreign_keys=ON")
    if not writes:
        connection.execute("PRAGMA query_only=ON")
    else:
        # `_begin_immediate` waits in finer steps than SQLite, whose pauses grow to 100 ms.
        connection.execute("PRAGMA busy_timeout=0")
        # A checkpoint copies each page that was touched once, however often: rarer ones copy less.
        connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
    return connection


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _begin_immediate(connection: Connection) -> None:
    """Take the write lock, waiting for other processes: in steps from 0.2 ms to 5 ms, with jitter."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    waited, step = 0.0, 0.0002
    most: float = connection.info.get(WAIT, BUSY_SECONDS)
    while True:
        try:
            driver.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or waited >= most:
                # Through SQLAlchemy, so that the error has the shape of all others.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                return
        pause = step * (0.5 + random())
        _NEVER.wait(pause)
        waited += pause
        step = min(step * 1.5, 0.005)
