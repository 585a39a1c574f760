"""A SQLite file before it is opened for writing: whether it is one, and whole. It never changes one that exists."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from tidyllm.errors import StoreDown, StoreError
from tidyllm.store.location import Location

__all__ = ["inspect_file", "make_room"]

_MAGIC = b"SQLite format 3\x00"
_WHOLE = 16 * 2**20
"""Files up to this size (bytes) are read whole when they are opened, about 1 ms a MiB; larger ones by `check`."""
_HINT = "Nothing was changed. Move it away, then `tidyllm store restore` a backup in its place."


def inspect_file(location: Location, *, create: bool) -> None:
    """Refuse what is there but no healthy SQLite file.

    :raises StoreError: it is no SQLite file, or corrupt; or it is missing and `create` is False.
    :raises StoreDown: it cannot be read.
    """
    path = location.path
    assert path is not None
    try:
        with path.open("rb") as file:
            head = file.read(100)
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        if create:
            return
        raise StoreError(f"there is no store at {path}.", hint="Run `tidyllm store migrate`.") from None
    except IsADirectoryError:
        raise StoreError(f"{path} is a folder; expected a file.") from None
    except OSError as error:
        raise StoreDown(f"store {path} cannot be read: {error.strerror}.") from error
    if size == 0:
        return  # SQLite makes such files itself
    if not head.startswith(_MAGIC):
        raise StoreError(f"{path} is not a SQLite file.", hint=_HINT)
    if size <= _WHOLE or _cut(head, size):
        _look_through(path)


def make_room(location: Location) -> None:
    """Make the folder and an empty file that only its owner may read: what is stored is nobody else's business."""
    path = location.path
    assert path is not None
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreDown(f"store {path} cannot be made: {error.strerror}.") from error


def _cut(head: bytes, size: int) -> bool:
    """Whether the file seems shorter than its header says; it may be, while another process moves its log into it."""
    if len(head) < 100:
        return True
    page = int.from_bytes(head[16:18], "big")
    page = 65_536 if page == 1 else page
    pages = int.from_bytes(head[28:32], "big")
    # The number of pages holds only if the same version wrote both of these counters.
    return head[24:28] == head[92:96] and pages * page > size


def _look_through(path: Path) -> None:
    """SQLite's own look at every page, through a connection that cannot write."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF not in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            return  # a lock, a folder that cannot be written: opening it will say it better
        found = str(error)
    if found != "ok":
        said = str(found).splitlines()[-1]  # the first line only names the database
        raise StoreError(f"store {path} is corrupt: {said}.", hint=_HINT)
