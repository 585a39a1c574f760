"""The audit log: one line for each act, and no way to change one unseen."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.access.places import ADMIN, both, made, store_in
from tidyllm.access import AuditLog, KeyChange, Keys, Organisations, OrganisationSpec, Teams, TeamSpec
from tidyllm.errors import StoreError
from tidyllm.store import Store


async def some_acts(store: Store) -> None:
    await Organisations(store).create(OrganisationSpec(name="o"), by=ADMIN)
    await Teams(store).create(TeamSpec(name="t", organisation="o"), by=ADMIN)
    key, _ = await made(store, team="t")
    await Keys(store).update(key.id, KeyChange(concurrency=1), by=ADMIN)
    await Keys(store).rotate(key.id, by=ADMIN)
    await Keys(store).revoke(key.id, by=ADMIN)


@both
async def test_each_act_is_told_with_who_before_and_after(tmp_path: Path, dialect: str) -> None:
    async with store_in(tmp_path, dialect) as store:
        await some_acts(store)
        log = AuditLog(store)
        entries = await log.list()
        chain = await log.verify()
        assert [one.seq for one in await log.list(limit=2, before=4)] == [3, 2]
        assert [one.act for one in await log.list(subject="team:t")] == ["team.create"]
    assert [one.act for one in reversed(entries)] == [
        "organisation.create",
        "team.create",
        "key.create",
        "key.update",
        "key.rotate",
        "key.revoke",
    ]
    update = entries[2]
    assert (update.actor, update.actor_kind, update.ip) == ("ada", "cli", "127.0.0.1")
    assert update.before is not None
    assert update.after is not None
    assert (update.before["concurrency"], update.after["concurrency"]) == (None, 1)
    assert (chain.rows, chain.head, chain.broken) == (6, entries[0].hash, None)


@pytest.mark.parametrize("change", ["UPDATE audit_log SET actor = 'eve'", "DELETE FROM audit_log"])
@both
async def test_the_database_refuses_to_change_or_delete_a_row(
    tmp_path: Path, dialect: str, change: str
) -> None:
    async with store_in(tmp_path, dialect) as store:
        await some_acts(store)
        with pytest.raises(StoreError, match="append-only"):
            await store.write(lambda conn: conn.execute(sa.text(change)))
        assert (await AuditLog(store).verify()).rows == 6


BEHIND = {
    "a changed actor": ("UPDATE audit_log SET actor = 'eve' WHERE seq = 3", "row 3 is not as it was written"),
    "a changed hash": ("UPDATE audit_log SET hash = 'x' WHERE seq = 3", "row 3 is not as it was written"),
    "a missing row": ("DELETE FROM audit_log WHERE seq = 3", "row 3 is missing"),
    "another time": ("UPDATE audit_log SET at = at + 0.001 WHERE seq = 6", "row 6 is not as it was written"),
}


@pytest.mark.parametrize(("change", "told"), BEHIND.values(), ids=BEHIND.keys())
async def test_a_change_behind_the_triggers_back_shows(tmp_path: Path, change: str, told: str) -> None:
    async with store_in(tmp_path) as store:
        await some_acts(store)

        def forge(conn: sa.Connection) -> None:
            for trigger in ("audit_log_no_update", "audit_log_no_delete"):
                conn.execute(sa.text(f"DROP TRIGGER {trigger}"))
            conn.execute(sa.text(change))

        await store.write(forge)
        assert (await AuditLog(store).verify()).broken == told


async def test_processes_that_act_at_once_make_one_chain(tmp_path: Path) -> None:
    import asyncio

    url = f"sqlite:///{tmp_path / 'store.db'}"
    stores = [Store.open(url) for _ in range(3)]
    await asyncio.gather(*(made(store) for store in stores * 5))
    chain = await AuditLog(stores[0]).verify()
    assert (chain.rows, chain.broken) == (15, None)
    for store in stores:
        await store.aclose()
