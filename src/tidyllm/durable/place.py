"""Where runs are kept: `runs.db` beside the store, or the store's own Postgres database. It opens nothing for long."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tidyllm.errors import ConfigError, StoreDown
from tidyllm.store.location import Location, locate

__all__ = ["RUNS", "beside", "runs_location"]

RUNS = "runs.db"


def runs_location(url: str | Path | None = None) -> Location:
    """The database of runs that `url` means: itself, or `runs.db` beside it where it is a store's file.

    None: beside the default store.

    :raises ConfigError: it is neither a path nor a URL of a database that we know, no database, or in memory.
    :raises StoreDown: it is there and cannot be read.
    """
    at = locate(url)
    if at.dialect == "postgresql":
        return at
    if at.path is None:
        raise ConfigError(
            "runs outlive their process, so they cannot be kept in memory; give a path.", where="store"
        )
    if at.path.is_dir():
        raise ConfigError(f"{at.path} is a folder; give the path of a file.", where="store")
    if url is None or at.path.name == "store.db" or _is_store(at.path):
        return locate(at.path.with_name(RUNS))
    return at


def beside(url: str | Path | None) -> Location:
    """Where a command looks for runs that are there already: as `runs_location`, but a file without any means `runs.db`
    beside it, so that the name of a store that was never made does as well.
    """
    at = runs_location(url)
    if at.path is None or at.path.name == RUNS or "tidyllm_runs" in _tables(at.path):
        return at
    return locate(at.path.with_name(RUNS))


def _is_store(path: Path) -> bool:
    names = _tables(path)
    return "ledger" in names and "tidyllm_runs" not in names


def _tables(path: Path) -> set[str]:
    if not path.is_file() or not path.stat().st_size:
        return set()
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)) as file:
            return {name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.OperationalError as error:
        raise StoreDown(f"{path} cannot be read: {error}.") from None
    except (
        sqlite3.Error
    ) as error:  # not to be taken for one without runs: others would be shown in their place
        raise ConfigError(f"{path} is no SQLite database: {error}.", where="store") from None
