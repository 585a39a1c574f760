"""Where a store is: a URL or a path, taken apart. It opens nothing and never shows a password."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tidyllm.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy import URL

__all__ = ["Dialect", "Location", "default_path", "locate"]

Dialect = Literal["sqlite", "postgresql"]

_EXPECTED = "expected a path, sqlite:///path, or postgresql://user:password@host/database."
_SECRET = frozenset({"password", "sslpassword", "passfile", "sslkey"})


@dataclass(frozen=True)
class Location:
    """One database. `path` is None for Postgres and for a store in memory."""

    dialect: Dialect
    name: str
    """The URL without password: fit for messages and logs."""
    path: Path | None = None
    url: URL | None = field(default=None, repr=False)
    """For Postgres: what the driver is told, password and all."""


def default_path() -> Path:
    """`tidyllm/store.db` in `$XDG_DATA_HOME`, which is `~/.local/share` unless it is set."""
    home = os.environ.get("XDG_DATA_HOME", "")
    base = Path(home) if home and Path(home).is_absolute() else Path.home() / ".local" / "share"
    return base / "tidyllm" / "store.db"


def locate(url: str | Path | None = None) -> Location:
    """Take `url` apart; None means `$TIDYLLM_STORE_URL`, and the default path where that is not set.

    :raises ConfigError: it is neither a path nor a URL of a database that we know.
    """
    if url is None:
        url = os.environ.get("TIDYLLM_STORE_URL") or default_path()
    if isinstance(url, Path) or "://" not in url:
        return _file(str(url))
    scheme, _, rest = url.partition("://")
    match scheme.partition("+")[0].lower():
        case "sqlite" if rest in {"", "/:memory:"}:
            return Location("sqlite", "sqlite://")
        case "sqlite":
            if not rest.startswith("/") or "?" in rest:
                raise ConfigError(
                    f"{url!r} is no URL of a SQLite file; expected sqlite:///path.", where="store"
                )
            return _file(rest[1:])
        case "postgresql" | "postgres":
            return _postgres(rest)
        case _:
            raise ConfigError(
                f"{scheme!r} is no database that a store can live in; {_EXPECTED}", where="store"
            )


def _file(path: str) -> Location:
    if not path or "\0" in path:
        raise ConfigError(f"{path!r} is no path of a file; {_EXPECTED}", where="store")
    if path == ":memory:":
        return Location("sqlite", "sqlite://")
    try:
        # Of one file there is one name, or two runtimes would not see that they mean the same.
        full = Path(os.path.realpath(Path(path).expanduser()))
    except RuntimeError:
        raise ConfigError(
            f"{path!r}: nobody of that name has a home here; {_EXPECTED}", where="store"
        ) from None
    return Location("sqlite", f"sqlite:///{full}", path=full)


def _postgres(rest: str) -> Location:
    # Not above: of a command that only looks into a SQLite file, loading it would take the longest.
    from sqlalchemy import URL, make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(f"postgresql+psycopg://{rest}")
    except (ArgumentError, ValueError):
        # Their message would show the whole URL, and so the password.
        raise ConfigError(f"the Postgres URL cannot be read; {_EXPECTED}", where="store") from None
    if not url.database:
        raise ConfigError(f"the Postgres URL names no database; {_EXPECTED}", where="store")
    open_query = {key: value for key, value in url.query.items() if key not in _SECRET}
    # Not `url.set(password=None)`, which would leave it there.
    shown = URL.create("postgresql", url.username, None, url.host, url.port, url.database, open_query)
    return Location("postgresql", shown.render_as_string(hide_password=False), url=url)
