"""The version of a store's schema, and how it becomes the newest. It knows revisions, not what their tables mean."""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from tidyllm.errors import StoreError
from tidyllm.store.location import Location

__all__ = ["HEAD", "REVISIONS", "VERSION_TABLE", "ensure", "migrate", "revision_of"]

VERSION_TABLE = "tidyllm_schema"
"""Not Alembic's usual name: a Postgres database may be shared with a program that has migrations of its own."""

_FOLDER = Path(__file__).parent / "migrations"
REVISIONS = tuple(sorted(file.stem for file in (_FOLDER / "versions").glob("[0-9]*.py")))
"""All revisions that this version knows, oldest first. Files are named after their revision."""
HEAD = REVISIONS[-1]

_POSTGRES_LOCK = 0x7469_6479_6D69  # "tidymi": two processes do not migrate at once
_one_at_a_time = threading.Lock()  # Alembic keeps its context in a global


def revision_of(connection: Connection, location: Location) -> str | None:
    """The revision of the schema; None for an empty database.

    :raises StoreError: the schema is newer than we are, or the database belongs to another program.
    """
    names = set(inspect(connection).get_table_names())
    if VERSION_TABLE not in names:
        theirs = names & _our_names() if location.dialect == "postgresql" else names
        if theirs:
            some = ", ".join(sorted(theirs)[:5])
            hint = "Nothing was changed. Give the store a file or database of its own."
            raise StoreError(f"{location.name} holds tables that are not a store's ({some}).", hint=hint)
        return None
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars().all()  # noqa: S608 - a constant
    if len(found) != 1:
        return None
    if found[0] not in REVISIONS:
        raise StoreError(
            f"{location.name} has schema {found[0]!r}, which this version does not know; it knows up to {HEAD!r}.",
            hint="Nothing was changed. Use the newer tidyllm that wrote it, or another store.",
        )
    return found[0]


def ensure(readers: Engine, writer: Engine, location: Location, *, create: bool) -> None:
    """Bring the schema to `HEAD`, or find it there.

    :raises StoreError: it is newer, not ours, or older while `create` is False.
    """
    with readers.connect() as connection:
        found = revision_of(connection, location)
    if found == HEAD:
        return
    if not create:
        what = f"has schema {found!r}, older than {HEAD!r}" if found else "holds no store yet"
        raise StoreError(f"{location.name} {what}.", hint="Run `tidyllm store migrate`.")
    with writer.connect() as connection:
        migrate(connection, location)


def migrate(connection: Connection, location: Location) -> tuple[str | None, str]:
    """Upgrade to `HEAD` in one transaction, with all other processes kept out; returns revision before and after."""
    from alembic import command
    from alembic.config import Config

    with _one_at_a_time, connection.begin():
        if location.dialect == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _POSTGRES_LOCK})
        before = revision_of(connection, location)  # once more: another process may have been faster
        if before != HEAD:
            config = Config()
            config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
            config.set_main_option("path_separator", "os")
            config.attributes["connection"] = connection
            command.upgrade(config, HEAD)
    return before, HEAD


def _our_names() -> set[str]:
    from tidyllm.store.tables import metadata

    return set(metadata.tables)
