"""Stores, actors and keys for the tests of access."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.store.servers import databases, store_url
from tidyllm.access import Actor, Key, Keys, KeySpec, Role, Subject
from tidyllm.store import Store

__all__ = ["ADMIN", "OPERATOR", "VIEWER", "both", "key_with", "made", "store_in"]

ADMIN = Actor(name="ada", kind="cli", role=Role.ADMIN, ip="127.0.0.1")
OPERATOR = Actor(name="otto", kind="key", role=Role.OPERATOR)
VIEWER = Actor(name="vera", kind="sso", role=Role.VIEWER)

both = pytest.mark.parametrize("dialect", databases())


@asynccontextmanager
async def store_in(folder: Path, dialect: str = "sqlite") -> AsyncGenerator[Store]:
    """A new store, closed at the end."""
    store = Store.open(store_url(dialect, folder))
    try:
        yield store
    finally:
        await store.aclose()


async def made(store: Store, name: str = "service", **fields: object) -> tuple[Key, str]:
    """A new key and its secret."""
    spec = KeySpec(name=name, **fields)  # pyright: ignore[reportArgumentType] - whatever a test wants
    return await Keys(store).create(spec, by=ADMIN)


def key_with(*, rpm: int | None = None, tpm: int | None = None, concurrency: int | None = None) -> Key:
    """A key with these limits that is in no store."""
    subject = Subject("key:abc", rpm, tpm, concurrency)
    return Key(id="abc", name="abc", prefix="sk-tidy-abc", created_at=0.0, subjects=(subject,))
