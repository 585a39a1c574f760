"""Stores to test with, and a table of the tests' own in them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    Text,
    func,
    select,
)

from tests.store.proxy import Proxy, proxy
from tests.store.servers import postgres_url, store_url
from tidyllm.store import Store

__all__ = ["behind_a_door", "count", "fresh", "held", "names", "note", "notes", "opened"]

_ours = MetaData()
notes = Table(
    "notes",
    _ours,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("tags", JSON),
    Column("open", Boolean, default=True),
    Column("weight", Integer, default=lambda: 7),
)


@contextlib.contextmanager
def fresh(dialect: str, folder: Path, *, patience: float = 5.0, capacity: int = 200_000) -> Generator[Store]:
    """A new store with the table `notes`, closed at the end."""
    with opened(store_url(dialect, folder), patience=patience, capacity=capacity) as store:
        yield store


@contextlib.contextmanager
def opened(url: str, *, patience: float = 5.0, capacity: int = 200_000) -> Generator[Store]:
    """The store at `url`, with the table `notes`, closed at the end."""
    store = Store.open(url, patience=patience, capacity=capacity)
    try:
        store.write_sync(_ours.create_all)
        yield store
    finally:
        store.close()


@contextlib.contextmanager
def behind_a_door(*, patience: float = 5.0) -> Generator[tuple[Proxy, Store]]:
    """A new store on Postgres, and the door in front of it that can be shut."""
    url = urlsplit(postgres_url())
    assert url.port is not None
    with (
        proxy(url.port) as door,
        opened(f"postgresql://tidy:pass%2Fword@127.0.0.1:{door.port}{url.path}", patience=patience) as store,
    ):
        yield door, store


@contextlib.contextmanager
def held(store: Store) -> Generator[None]:
    """Nothing is written until the block ends; then all that was put meanwhile is one transaction."""
    go_on = threading.Event()
    store.post(lambda _: go_on.wait(20))
    try:
        yield
    finally:
        go_on.set()


def note(name: str) -> dict[str, object]:
    """A row."""
    return {"name": name}


def count(connection: Connection) -> int:
    """How many notes there are."""
    return connection.execute(select(func.count()).select_from(notes)).scalar_one()


def names(connection: Connection) -> list[str]:
    """Their names, in the order of their numbers."""
    return list(connection.execute(select(notes.c.name).order_by(notes.c.id)).scalars())
