"""Acts on keys, on each database: each is whole, told in the audit log, and allowed to those with the role for it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.access.places import ADMIN, OPERATOR, VIEWER, both, made, store_in
from tidyllm.access import (
    AuditLog,
    Conflict,
    Forbidden,
    KeyChange,
    Keys,
    KeySpec,
    Missing,
    Role,
    Teams,
    TeamSpec,
)
from tidyllm.errors import AuthError, ConfigError
from tidyllm.store.tables import metadata
from tidyllm.testing import FakeClock


@both
async def test_a_key_comes_back_as_it_was_asked_for(tmp_path: Path, dialect: str) -> None:
    spec = KeySpec(
        name="Søk 'tjeneste'; --",
        owner="ada@example.com",
        expires_in_seconds=60,
        models=("gpt-*",),
        endpoints=("/v1/*",),
        ips=("10.0.0.0/8", "::1"),
        requests_per_minute=10,
        tokens_per_minute=1000,
        concurrency=2,
        limit_usd=0.1,
        window="month",
        soft_usd=0.07,
        required_tags=("team",),
        tags={"a": "b"},
        metadata={"c": "d"},
    )
    async with store_in(tmp_path, dialect) as store:
        key, secret = await Keys(store).create(spec, by=ADMIN)
        shown = await Keys(store).show(key.id)
        found = await Keys(store).find(secret)
    assert shown == found == key
    assert key.expires_at == key.created_at + 60
    assert (key.limit_usd, key.soft_usd) == (Decimal("0.1"), Decimal("0.07"))
    same = [
        name
        for name in KeySpec.__struct_fields__
        if not name.endswith("_usd") and name != "expires_in_seconds"
    ]
    assert [getattr(key, name) for name in same] == [getattr(spec, name) for name in same]


@both
async def test_a_secret_is_nowhere_in_the_store(tmp_path: Path, dialect: str) -> None:
    async with store_in(tmp_path, dialect) as store:
        keys = Keys(store)
        key, first = await keys.create(KeySpec(name="a"), by=ADMIN)
        rotated, second = await keys.rotate(key.id, by=ADMIN)

        def everything(conn: sa.Connection) -> str:
            return repr([conn.execute(sa.select(table)).all() for table in metadata.sorted_tables])

        text = await store.read(everything)
    assert rotated.prefix in text
    assert first[25:] not in text
    assert second[25:] not in text


async def test_a_key_for_a_missing_team_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        with pytest.raises(Conflict, match="there is no team 'search'") as caught:
            await made(store, team="search")
        assert caught.value.where == "team"
        assert await Keys(store).list() == []
        assert (await AuditLog(store).verify()).rows == 0


@both
async def test_during_the_overlap_both_secrets_open_and_after_it_only_the_new_one(
    tmp_path: Path, dialect: str
) -> None:
    async with store_in(tmp_path, dialect) as store:
        with FakeClock() as clock:
            key, old = await made(store)
            keys = Keys(store)
            rotated, new = await keys.rotate(key.id, by=ADMIN, overlap_seconds=100)
            assert rotated.old_secret_until == clock.now() + 100
            assert (await keys.find(old)).id == (await keys.find(new)).id == key.id
            clock.advance(101)
            assert (await keys.find(new)).id == key.id
            with pytest.raises(AuthError, match="was rotated"):
                await keys.find(old)


async def test_a_second_rotation_within_the_overlap_is_refused(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        with FakeClock() as clock:
            key, _ = await made(store)
            keys = Keys(store)
            await keys.rotate(key.id, by=ADMIN, overlap_seconds=100)
            with pytest.raises(Conflict, match="good for another 100 s"):
                await keys.rotate(key.id, by=ADMIN)
            clock.advance(101)
            await keys.rotate(key.id, by=ADMIN)


@pytest.mark.parametrize("overlap", [-1, 31 * 86400, True])
async def test_an_overlap_has_bounds(tmp_path: Path, overlap: int) -> None:
    async with store_in(tmp_path) as store:
        key, _ = await made(store)
        with pytest.raises(ConfigError, match="overlap_seconds"):
            await Keys(store).rotate(key.id, by=ADMIN, overlap_seconds=overlap)


async def test_a_revoked_key_stays_revoked(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        keys = Keys(store)
        key, secret = await made(store)
        revoked = await keys.revoke(key.id, by=ADMIN)
        assert await keys.revoke(key.id, by=ADMIN) == revoked
        with pytest.raises(AuthError, match="is revoked"):
            await keys.find(secret)
        with pytest.raises(Conflict, match="is revoked"):
            await keys.rotate(key.id, by=ADMIN)
        with pytest.raises(Conflict, match="is revoked"):
            await keys.update(key.id, KeyChange(name="b"), by=ADMIN)


async def test_a_change_leaves_what_it_does_not_name(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        key, _ = await made(store, concurrency=3, limit_usd=2.5, expires_in_seconds=60)
        changed = await Keys(store).update(
            key.id, KeyChange(concurrency=None, models=("a",), expires_in_seconds=None), by=ADMIN
        )
    assert (changed.concurrency, changed.models, changed.expires_at) == (None, ("a",), None)
    assert (changed.limit_usd, changed.name) == (Decimal("2.5"), "service")


async def test_an_expired_key_opens_nothing(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        with FakeClock() as clock:
            _, secret = await made(store, expires_in_seconds=10)
            keys = Keys(store)
            await keys.find(secret)
            clock.advance(10)
            with pytest.raises(AuthError, match="has expired"):
                await keys.find(secret)
            assert [key.state(clock.now()) for key in await keys.list(state="expired")] == ["expired"]
            assert await keys.list(state="active") == []


@both
async def test_keys_are_listed_in_pages_by_team_owner_and_state(tmp_path: Path, dialect: str) -> None:
    async with store_in(tmp_path, dialect) as store:
        await Teams(store).create(TeamSpec(name="t"), by=ADMIN)
        for owner in ("a", "b", "a"):
            await made(store, owner=owner, team="t")
        await made(store, owner="a")
        keys = Keys(store)
        first = await keys.list(limit=3)
        rest = await keys.list(limit=3, after=first[-1].id)
        assert len({key.id for key in first + rest}) == 4
        assert len(await keys.list(team="t", owner="a", state="active")) == 2
        assert await keys.list(team="' OR 1=1 --") == []


async def test_acts_need_their_role_and_keys_with_a_role_an_admin(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        keys = Keys(store)
        plain, _ = await keys.create(KeySpec(name="a"), by=OPERATOR)
        strong, _ = await keys.create(KeySpec(name="a", role=Role.VIEWER), by=ADMIN)
        refused = [
            keys.create(KeySpec(name="a"), by=VIEWER),
            keys.revoke(plain.id, by=VIEWER),
            keys.create(KeySpec(name="a", role=Role.VIEWER), by=OPERATOR),
            keys.update(plain.id, KeyChange(role=Role.ADMIN), by=OPERATOR),
            keys.update(strong.id, KeyChange(name="b"), by=OPERATOR),
            keys.rotate(strong.id, by=OPERATOR),
            keys.revoke(strong.id, by=OPERATOR),
            Teams(store).create(TeamSpec(name="t"), by=OPERATOR),
        ]
        for act in refused:
            with pytest.raises(Forbidden, match="has the role"):
                await act
        assert (await AuditLog(store).verify()).rows == 2


@pytest.mark.parametrize("key_id", ["", "nope", "a" * 12, "x\x00", "' OR ''='", "../../etc"])
@both
async def test_an_id_that_is_not_there_is_missing_whatever_it_is(
    tmp_path: Path, dialect: str, key_id: str
) -> None:
    async with store_in(tmp_path, dialect) as store:
        with pytest.raises(Missing, match="there is no key"):
            await Keys(store).show(key_id)
