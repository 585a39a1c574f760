"""A store that was put back from a backup: its audit log and its ledger go on, and still cannot be changed."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.access.places import both, made
from tests.store.servers import store_url
from tidyllm.access import AuditLog
from tidyllm.errors import StoreError
from tidyllm.money import Budget, Ledger
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


@both
async def test_the_ledger_of_a_restored_store_is_whole_and_only_grows(tmp_path: Path, dialect: str) -> None:
    url = store_url(dialect, tmp_path)
    store = Store.open(url)
    ledger = Ledger(store)
    await (await Budget(1, name="key:k", ledger=ledger).reserve(Decimal("0.1"), what="x")).settle(
        Decimal("0.05")
    )
    await ledger.aclose()
    await store.aclose()
    await asyncio.to_thread(backup, tmp_path / "copy.db", url)
    await asyncio.to_thread(restore, tmp_path / "copy.db", url, force=True)
    store = Store.open(url)
    found = await Ledger(store).verify()
    assert (found.problems, found.rows) == ([], 2)
    with pytest.raises(StoreError, match="append-only"):
        await store.write(lambda conn: conn.execute(sa.text("DELETE FROM ledger")))
    await store.aclose()
