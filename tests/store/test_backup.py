"""Copies: complete while others write, put back only where nothing is lost, also into the other database."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select, text

from tests.store.servers import databases, store_url
from tests.store.stores import fresh, note, notes
from tidyllm.errors import StoreDown, StoreError
from tidyllm.store import Store
from tidyllm.store.backup import backup, continue_numbers, restore
from tidyllm.store.check import check
from tidyllm.store.schema import HEAD, VERSION_TABLE
from tidyllm.store.tables import metadata

on_each = pytest.mark.parametrize("dialect", databases())
organisations = metadata.tables["organisations"]


def put(connection: Connection, *names: str) -> None:
    """Rows in one of our own tables: only those are copied from and to Postgres."""
    for name in names:
        connection.execute(
            insert(organisations), {"name": name, "created_at": 1.5, "window": "none", "settings": "{}"}
        )


def held(url: str | Path) -> list[str]:
    """The names of these rows in the store at `url`."""
    with closing(Store.open(url)) as store:
        return store.read_sync(
            lambda c: list(c.execute(select(organisations.c.name).order_by(organisations.c.name)).scalars())
        )


def filled(url: str | Path, *names: str) -> str | Path:
    """A store at `url` with these rows."""
    with closing(Store.open(url)) as store:
        store.write_sync(lambda c: put(c, *names))
    return url


@on_each
def test_a_backup_holds_what_the_store_held(dialect: str, tmp_path: Path) -> None:
    url = filled(store_url(dialect, tmp_path), "a", "b")
    target = tmp_path / "copy.db"
    assert backup(target, url) == target.stat().st_size
    assert (held(target), held(url)) == (["a", "b"], ["a", "b"])
    assert target.stat().st_mode & 0o077 == 0
    assert not [file for file in tmp_path.iterdir() if ".part" in file.name]


def test_a_backup_made_while_others_write_is_one_moment(tmp_path: Path) -> None:
    url = filled(tmp_path / "store.db")
    stop = threading.Event()

    def keep_writing() -> None:
        with closing(Store.open(url)) as store:
            number = 0
            while not stop.is_set():
                store.write_sync(lambda c: put(c, f"{number}-a", f"{number}-b"))  # noqa: B023 - done before the next
                number += 1

    writer = threading.Thread(target=keep_writing)
    writer.start()
    for number in range(5):
        backup(tmp_path / f"{number}.db", url)
    stop.set()
    writer.join()
    for number in range(5):
        assert len(held(tmp_path / f"{number}.db")) % 2 == 0
        assert check(tmp_path / f"{number}.db").healthy


@on_each
@pytest.mark.parametrize("before", databases())
def test_a_backup_can_be_put_back_into_either_database(before: str, dialect: str, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    copy = tmp_path / "copy.db"
    backup(copy, filled(store_url(before, tmp_path), "a", "b"))
    url = store_url(dialect, tmp_path / "new")
    restore(copy, url)
    assert (held(url), check(url).problems) == (["a", "b"], ())


@on_each
def test_a_store_that_holds_something_is_replaced_only_when_told_so(dialect: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    url = filled(store_url(dialect, tmp_path), "a")
    backup(copy, url)
    filled(url, "b")
    with pytest.raises(StoreError, match=r"holds 2 rows.*--force"):
        restore(copy, url)
    assert held(url) == ["a", "b"]
    restore(copy, url, force=True)
    assert held(url) == ["a"]


def test_whoever_has_the_file_open_sees_what_was_put_back(tmp_path: Path) -> None:
    copy, url = tmp_path / "copy.db", tmp_path / "store.db"
    backup(copy, filled(url, "a"))
    with closing(Store.open(url)) as store:
        store.write_sync(lambda c: put(c, "b"))
        restore(copy, url, force=True)
        store.write_sync(lambda c: put(c, "c"))
    assert held(url) == ["a", "c"]


def test_a_broken_file_is_moved_aside_and_not_lost(tmp_path: Path) -> None:
    copy, url = tmp_path / "copy.db", tmp_path / "store.db"
    backup(copy, filled(url, "a"))
    url.write_bytes(b"noise")
    with pytest.raises(StoreError, match="no healthy store"):
        restore(copy, url)
    assert url.read_bytes() == b"noise"
    restore(copy, url, force=True)
    (aside,) = tmp_path.glob("store.db.before-restore-*")
    assert (held(url), aside.read_bytes()) == (["a"], b"noise")


@pytest.mark.skipif("postgresql" not in databases(), reason="not chosen")
def test_numbers_go_on_after_rows_that_brought_theirs(tmp_path: Path) -> None:
    with fresh("postgresql", tmp_path) as store:
        store.write_sync(lambda c: c.execute(insert(notes), {"id": 41, "name": "a"}))
        store.write_sync(lambda c: continue_numbers(c, "notes", ["id"]))
        added = store.write_sync(lambda c: c.execute(insert(notes), note("b")).inserted_primary_key)
        assert added == (42,)


def test_a_backup_does_not_replace_a_file_unless_told_so(tmp_path: Path) -> None:
    url = filled(tmp_path / "store.db", "a")
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(StoreError, match="exists already"):
        backup(tmp_path / "precious", url)
    assert (tmp_path / "precious").read_text() == "mine"
    backup(tmp_path / "precious", url, force=True)
    assert held(tmp_path / "precious") == ["a"]


def test_what_cannot_be_copied_is_said(tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"noise")
    with pytest.raises(StoreError, match="is not a SQLite file"):
        backup(tmp_path / "copy.db", tmp_path / "noise")
    with pytest.raises(StoreError, match="there is no store"):
        backup(tmp_path / "copy.db", tmp_path / "missing")
    with pytest.raises(StoreError, match="is not a SQLite file"):
        restore(tmp_path / "noise", tmp_path / "store.db")
    with pytest.raises(StoreError, match=r"there is no folder .*/no/such\. Make it"):
        backup(tmp_path / "no" / "such" / "folder.db", filled(tmp_path / "store.db"))
    assert not (tmp_path / "copy.db").exists()


def test_a_backup_of_a_newer_version_is_refused_by_its_own_name(tmp_path: Path) -> None:
    copy = tmp_path / "newer.db"
    with closing(Store.open(copy)) as store:
        store.write_sync(lambda c: c.execute(text(f"UPDATE {VERSION_TABLE} SET version_num='0999_future'")))
    with pytest.raises(StoreError) as refused:
        restore(copy, tmp_path / "store.db")
    assert str(refused.value).startswith(f"sqlite:///{copy} has schema '0999_future'")
    assert not (tmp_path / "store.db").exists()


@on_each
def test_a_check_counts_rows_and_finds_what_is_missing(dialect: str, tmp_path: Path) -> None:
    url = filled(store_url(dialect, tmp_path), "a")
    found = check(url)
    assert (found.healthy, found.revision, found.rows["organisations"]) == (True, HEAD, 1)
    with closing(Store.open(url)) as store:
        store.write_sync(lambda c: c.execute(text("ALTER TABLE ledger ADD COLUMN surprise TEXT")))
    assert check(url).problems == ("unexpected column: ledger, surprise",)


@on_each
def test_a_check_says_which_rows_nothing_protects_from_being_changed(dialect: str, tmp_path: Path) -> None:
    url = filled(store_url(dialect, tmp_path), "a")
    sqlite = dialect == "sqlite"
    drops = (
        ["DROP TRIGGER ledger_no_delete"]
        if sqlite
        else [
            "ALTER TABLE ledger DISABLE TRIGGER ledger_no_change",
            "DROP TRIGGER audit_log_no_change ON audit_log",
        ]
    )
    with closing(Store.open(url)) as store:
        for drop in drops:
            store.write_sync(lambda c, drop=drop: c.execute(text(drop)))
    first, *more = check(url).problems
    assert first.startswith(
        f"the trigger {'ledger_no_delete' if sqlite else 'ledger_no_change'} is missing or"
    )
    assert "`tidyllm spend verify`" in first
    assert sqlite or "`tidyllm keys log --verify`" in more[0]


def test_a_check_of_a_broken_store_is_no_failure_of_the_check(tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"noise")
    (tmp_path / "empty").touch()
    (problem,) = check(tmp_path / "noise").problems
    assert "not a SQLite file" in problem
    assert "tidyllm store migrate" in check(tmp_path / "empty").problems[0]
    with pytest.raises(StoreDown):
        check("postgresql://u@127.0.0.1:1/x")
