"""A store that was put back from a backup: its audit log goes on, and still cannot be changed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.access.places import both, made
from tests.store.servers import store_url
from tidyllm.access import AuditLog
from tidyllm.errors import StoreError
from tidyllm.store import Store
from tidyllm.store.backup import backup, restore


@both
async def test_the_audit_log_of_a_restored_store_goes_on_and_only_grows(tmp_path: Path, dialect: str) -> None:
    url = store_url(dialect, tmp_path)
    store = Store.open(url)
    await made(store)
    await asyncio.to_thread(backup, tmp_path / "copy.db", url)
    await made(store)
    await store.aclose()
    await asyncio.to_thread(restore, tmp_path / "copy.db", url, force=True)
    store = Store.open(url)
    await made(store)
    chain = await AuditLog(store).verify()
    assert (chain.rows, chain.broken) == (2, None)
    with pytest.raises(StoreError, match="append-only"):
        await store.write(lambda conn: conn.execute(sa.text("DELETE FROM audit_log")))
    await store.aclose()
