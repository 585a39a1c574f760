"""The schema: migrations give what the tables say, and what is newer, foreign or broken is left alone."""

from __future__ import annotations

import hashlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.store.servers import databases, store_url
from tidyllm.errors import StoreDown, StoreError
from tidyllm.store import Store
from tidyllm.store.check import differences
from tidyllm.store.schema import HEAD, REVISIONS, VERSION_TABLE
from tidyllm.store.tables import metadata

on_each = pytest.mark.parametrize("dialect", databases())


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_the_migrations_give_the_tables_that_the_code_expects(dialect: str, tmp_path: Path) -> None:
    with closing(Store.open(store_url(dialect, tmp_path))) as store:
        assert store.read_sync(differences) == []


def test_the_revisions_are_one_chain_in_the_order_of_their_names() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    from tidyllm.store import migrations

    config = Config()
    config.set_main_option("script_location", str(Path(str(migrations.__file__)).parent))
    config.set_main_option("path_separator", "os")
    chain = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(chain)) == REVISIONS


@on_each
def test_a_store_may_be_opened_by_many_at_once_for_the_first_time(dialect: str, tmp_path: Path) -> None:
    url = store_url(dialect, tmp_path)
    with ThreadPoolExecutor(6) as threads:
        for store in threads.map(Store.open, [url] * 6):
            store.close()
    Store.open(url, create=False).close()


@on_each
def test_a_schema_that_is_newer_is_refused_and_left_alone(dialect: str, tmp_path: Path) -> None:
    url = store_url(dialect, tmp_path)
    with closing(Store.open(url)) as store:
        store.write_sync(lambda c: c.execute(text(f"UPDATE {VERSION_TABLE} SET version_num='0999_future'")))
    for create in (True, False):
        with pytest.raises(StoreError, match=f"'0999_future'.*knows up to '{HEAD}'.*newer tidyllm"):
            Store.open(url, create=create)


@on_each
def test_an_older_schema_is_refused_unless_it_may_be_migrated(dialect: str, tmp_path: Path) -> None:
    url = store_url(dialect, tmp_path)
    if dialect == "sqlite":
        (tmp_path / "store.db").touch()
    with pytest.raises(StoreError, match=r"holds no store yet.*tidyllm store migrate"):
        Store.open(url, create=False)
    with closing(Store.open(url)) as store:
        found = store.read_sync(
            lambda c: c.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
        )
    assert found == HEAD


def test_another_programs_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE customers(id)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"tables that are not a store's \(customers\)"):
        Store.open(path)
    assert path.read_bytes() == before


@pytest.mark.skipif("postgresql" not in databases(), reason="not chosen")
def test_another_programs_tables_on_the_same_server_are_no_hindrance_unless_they_have_our_names() -> None:
    import psycopg

    url = store_url("postgresql", Path())
    with psycopg.connect(url) as other:
        other.execute("CREATE TABLE customers(id int); CREATE TABLE alembic_version(version_num text)")
    Store.open(url).close()
    if metadata.tables:
        url = store_url("postgresql", Path())
        with psycopg.connect(url) as other:
            other.execute(f"CREATE TABLE {min(metadata.tables)}(id int)".encode())
        with pytest.raises(StoreError, match="not a store's"):
            Store.open(url)


def broken(how: str, whole: bytes) -> bytes:
    """A store's file after some mishap."""
    match how:
        case "another format":
            return b"PK\x03\x04" + whole[4:]
        case "cut short":
            return whole[: len(whole) // 2]
        case "cut within its head":
            return whole[:50]
        case "overwritten inside":
            return whole[:4096] + b"\xa5" * 4096 * 3 + whole[4096 * 4 :]
        case "zeros inside":
            return whole[: 4096 * 2] + bytes(4096) + whole[4096 * 3 :]
        case _:
            return b"\xff" * len(whole)


@pytest.mark.parametrize(
    "how",
    ["another format", "cut short", "cut within its head", "overwritten inside", "zeros inside", "noise"],
)
def test_a_corrupt_file_is_refused_and_stays_as_it_was(how: str, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(Store.open(path)) as store:
        for name in ("x", "y", "z"):
            store.write_sync(lambda c, name=name: c.execute(text(f"CREATE TABLE {name}(a TEXT PRIMARY KEY)")))
    path.write_bytes(broken(how, path.read_bytes()))
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    for _ in range(2):
        with pytest.raises(StoreError, match=r"(corrupt|not a SQLite file).*Nothing was changed"):
            Store.open(path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a folder"):
        Store.open(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(StoreDown, match="cannot be"):
        Store.open(tmp_path / "file" / "store.db")
    with pytest.raises(StoreError, match="there is no store"):
        Store.open(tmp_path / "missing.db", create=False)


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "store.db"
    with closing(Store.open(path)) as store:
        store.write_sync(lambda c: None)
        assert {file.stat().st_mode & 0o077 for file in path.parent.iterdir()} == {0}
