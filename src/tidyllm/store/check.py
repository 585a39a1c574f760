"""Whether a store is whole: its pages, schema and references, and what keeps rows unchanged. It repairs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Connection, func, inspect, select
from sqlalchemy.exc import SQLAlchemyError

from tidyllm.errors import StoreDown, StoreError
from tidyllm.store.engines import reader_engine
from tidyllm.store.failures import ours
from tidyllm.store.files import inspect_file
from tidyllm.store.location import Location, locate
from tidyllm.store.schema import HEAD, VERSION_TABLE, revision_of

__all__ = ["Checked", "check", "differences"]

_MOST = 20
_GUARDS = {
    "sqlite": {
        "ledger": ("ledger_no_update", "ledger_no_delete"),
        "audit_log": ("audit_log_no_update", "audit_log_no_delete"),
    },
    "postgresql": {"ledger": ("ledger_no_change",), "audit_log": ("audit_log_no_change",)},
}
"""The triggers that refuse to change or remove a row, by table."""
_TRIGGERS = {
    "sqlite": "SELECT tbl_name, name FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT relname, tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
    "WHERE tgrelid IN (to_regclass('ledger'), to_regclass('audit_log')) AND tgenabled IN ('O', 'A')",
}
"""Table and name of those that are there and not switched off."""
_SUMS = ("budget_counters", "spend_daily")
"""Tables that SQLite itself adds up in: above 63 bits it goes on with floats, which are not exact."""


@dataclass(frozen=True)
class Checked:
    """What was found. `rows` counts the rows of each table; with `problems`, what could be counted."""

    name: str
    revision: str | None
    rows: Mapping[str, int] = field(default_factory=dict[str, int])
    problems: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def check(url: str | Path | None = None) -> Checked:
    """Read everything in the store at `url` (as for `Store.open`) and judge it. A store in use may be checked.

    :raises ConfigError: `url` is no store's. :raises StoreDown: it cannot be reached.
    """
    location = locate(url)
    try:
        if location.path is not None:
            inspect_file(location, create=False)
        engine = reader_engine(location, 1)
        try:
            with engine.connect() as connection, connection.begin():
                return _look(connection, location)
        finally:
            engine.dispose()
    except StoreDown:
        raise
    except StoreError as error:
        return Checked(location.name, None, problems=(str(error),))
    except SQLAlchemyError as error:
        mapped = ours(error, location.name)
        if isinstance(mapped, StoreDown):
            raise mapped from error
        return Checked(location.name, None, problems=(str(mapped),))


def _look(connection: Connection, location: Location) -> Checked:
    from tidyllm.store.tables import metadata

    problems: list[str] = []
    if location.dialect == "sqlite":
        found = connection.exec_driver_sql(f"PRAGMA integrity_check({_MOST})").scalars().all()
        problems += [f"page check: {line}" for line in found if line != "ok"]
        orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        problems += [
            f"row {row[1]} of {row[0]} refers to a row of {row[2]} that is not there"
            for row in orphans[:_MOST]
        ]
    revision = revision_of(connection, location)
    if revision is None:
        problems.append("it holds no store yet; run `tidyllm store migrate`")
    elif revision != HEAD:
        problems.append(f"its schema is {revision!r}, older than {HEAD!r}; run `tidyllm store migrate`")
    else:
        problems += [*differences(connection), *_unguarded(connection)]
    there = set(inspect(connection).get_table_names())
    if location.dialect == "sqlite":
        problems += [line for name in _SUMS if name in there for line in _inexact(connection, name)]
    rows: dict[str, int] = {}
    for table in metadata.sorted_tables:
        if table.name in there:
            rows[table.name] = connection.execute(select(func.count()).select_from(table)).scalar_one()
    return Checked(location.name, revision, rows, tuple(problems))


def _inexact(connection: Connection, name: str) -> list[str]:
    from tidyllm.store.tables import metadata

    table = metadata.tables[name]
    numbers = [column.name for column in table.columns if isinstance(column.type, BigInteger)]
    other = " OR ".join(f"typeof({number}) <> 'integer'" for number in numbers)
    count = connection.exec_driver_sql(f"SELECT count(*) FROM {name} WHERE {other}").scalar_one()  # noqa: S608 - our own names
    return [f"{count:,} rows of {name} hold sums that are no whole numbers"] if count else []


def _unguarded(connection: Connection) -> list[str]:
    dialect = connection.dialect.name
    there = set(map(tuple, connection.exec_driver_sql(_TRIGGERS[dialect])))
    verify = {"ledger": "tidyllm spend verify", "audit_log": "tidyllm keys log --verify"}
    return [
        f"the trigger {name} is missing or switched off: rows of {table} can be changed; "
        f"`{verify[table]}` tells whether any was"
        for table, names in _GUARDS[dialect].items()
        for name in names
        if (table, name) not in there
    ]


def differences(connection: Connection) -> list[str]:
    """What differs between the tables that are there and those that this version expects, one line each."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from tidyllm.store.tables import metadata

    def is_ours(name: str | None, kind: str, parents: Mapping[str, Any]) -> bool:
        return kind != "table" or (name in metadata.tables and name != VERSION_TABLE)

    options = {"version_table": VERSION_TABLE, "include_name": is_ours}
    context = MigrationContext.configure(connection, opts=options)
    return [_said(found) for found in compare_metadata(context, metadata)]


def _said(found: Any) -> str:
    if isinstance(found, list):  # changes of one column
        return "; ".join(_said(one) for one in found)  # pyright: ignore[reportUnknownVariableType]
    what = str(found[0]).replace("add_", "missing ").replace("remove_", "unexpected ").replace("_", " ")
    names = [str(getattr(part, "name", part)) for part in found[1:] if part is not None]
    return f"{what}: {', '.join(names)}"[:200]
