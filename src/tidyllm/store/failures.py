"""What a driver's error means: the database is away, try again, or no. It knows codes, not what was to be done."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Literal

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from tidyllm.errors import StoreDown, StoreError, TidyllmError

__all__ = ["Kind", "kind_of", "ours"]

Kind = Literal["down", "again", "refused"]

_SQLITE_DOWN = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
}
_SQLITE_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
# SQLSTATE: connection gone; no resources; server stopping or starting; a standby, which cannot write; errors of its
# disk; locks that nobody lets go; a transaction of ours that was idle for too long.
_POSTGRES_DOWN = ("08", "53", "57P", "25006", "58", "55P03", "25P03")
_POSTGRES_AGAIN = ("40001", "40P01")


def kind_of(error: BaseException) -> Kind:
    """`down`: nothing was done, wait for it; `again`: two got into each other's way; `refused`: it will stay so."""
    if isinstance(error, StoreDown | NoConnectionFree):
        return "down"
    if not isinstance(error, DBAPIError):
        return "refused"
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        code: int = getattr(cause, "sqlite_errorcode", 0)
        return "down" if code & 0xFF in _SQLITE_DOWN else "refused"
    state: str | None = getattr(cause, "sqlstate", None)
    if error.connection_invalidated or (state or "").startswith(_POSTGRES_DOWN):
        return "down"
    if state in _POSTGRES_AGAIN:
        return "again"
    # Without a state the server said nothing: there was no connection.
    return "down" if state is None and type(cause).__name__ == "OperationalError" else "refused"


def ours(error: BaseException, store: str) -> BaseException:
    """The error as a caller of the store named `store` gets it; what is not a driver's stays as it is."""
    if isinstance(error, TidyllmError) or not isinstance(error, SQLAlchemyError):
        return error
    cause = error.orig if isinstance(error, DBAPIError) else error
    said = _words(cause)
    if kind_of(error) == "down":
        mapped: StoreError = StoreDown(f"store {store} cannot be used now: {said}.")
    elif getattr(cause, "sqlite_errorcode", 0) & 0xFF in _SQLITE_BROKEN:
        hint = "Nothing was changed. Move it away, then `tidyllm store restore` a backup in its place."
        mapped = StoreError(f"store {store} is corrupt: {said}.", hint=hint)
    else:
        mapped = StoreError(f"store {store} refused: {type(cause).__name__}: {said}.")
    mapped.__cause__ = _without_values(error, said)
    return mapped


def _without_values(error: SQLAlchemyError, said: str) -> SQLAlchemyError:
    """The same error, but for the values of the row, which Postgres repeats below its message."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    if not isinstance(error, DBAPIError) or cause is None or not hasattr(cause, "diag"):
        return error
    kind: Callable[[str], BaseException] = type(cause)
    return type(error)(error.statement, None, kind(said), hide_parameters=True)


def _words(cause: BaseException | None) -> str:
    """What the driver said, in one line and without the values of a row (Postgres puts them below as DETAIL)."""
    diagnosis = getattr(cause, "diag", None)
    primary: str | None = getattr(diagnosis, "message_primary", None)
    lines = (primary or str(cause)).strip().splitlines()
    return (lines[0] if lines else type(cause).__name__).rstrip(".")
