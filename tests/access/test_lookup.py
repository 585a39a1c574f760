"""Finding a key by its secret: from memory, but never later than a second behind a change anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import pytest
import sqlalchemy as sa

from tests.access.places import ADMIN, both, made, store_in
from tests.store.servers import store_url
from tidyllm.access import (
    KeyChange,
    Keys,
    Lookup,
    OrganisationChange,
    Organisations,
    OrganisationSpec,
    TeamChange,
    Teams,
    TeamSpec,
)
from tidyllm.access.secret import new_id, new_secret
from tidyllm.errors import AuthError, StoreDown
from tidyllm.store import Store
from tidyllm.testing import FakeClock

T = TypeVar("T")


class Watched(Store):
    """A store that counts reads, and can be away."""

    reads = 0
    away = False

    async def read(self, work: object) -> object:
        self.reads += 1
        if self.away:
            raise StoreDown("the store is away.")
        return await super().read(work)  # pyright: ignore[reportArgumentType, reportUnknownVariableType]


async def test_a_key_is_read_once_and_then_found_in_memory(tmp_path: Path) -> None:
    store = Watched.open(store_url("sqlite", tmp_path))
    with FakeClock():
        key, secret = await made(store)
        keys = Keys(store)
        for _ in range(50):
            assert await keys.find(secret) == key
    assert store.reads == 1
    await store.aclose()


async def test_a_secret_that_opens_nothing_is_asked_for_once_and_one_that_cannot_never(
    tmp_path: Path,
) -> None:
    store = Watched.open(store_url("sqlite", tmp_path))
    keys = Keys(store)
    unknown = new_secret(new_id())
    with FakeClock():
        for secret in (unknown, unknown, "sk-tidy-x", "", "\ud800", "sk-" + "a" * 100):
            with pytest.raises(AuthError, match="the API key is wrong"):
                await keys.find(secret)
    assert store.reads == 1
    await store.aclose()


async def test_memory_is_bounded_also_for_those_who_guess(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        lookup = Lookup(store, size=3)
        for _ in range(5):
            with pytest.raises(AuthError):
                await lookup.find(new_secret(new_id()))
            _, secret = await made(store)
            await lookup.find(secret)
        assert len(lookup._found) == len(lookup._unknown) == 3  # pyright: ignore[reportPrivateUsage]


@both
async def test_a_change_by_another_process_is_seen_within_a_second(tmp_path: Path, dialect: str) -> None:
    async with store_in(tmp_path, dialect) as store:
        with FakeClock() as clock:
            await Teams(store).create(TeamSpec(name="t"), by=ADMIN)
            key, secret = await made(store, team="t")
            here, there = Keys(store), Keys(store)
            assert (await here.find(secret)).concurrency is None
            await there.update(key.id, KeyChange(concurrency=5), by=ADMIN)
            clock.advance(1.01)
            assert (await here.find(secret)).concurrency == 5
            await Teams(store).update("t", TeamChange(models=("a",)), by=ADMIN)
            clock.advance(1.01)
            assert (await here.find(secret)).team_models == ("a",)
            await there.revoke(key.id, by=ADMIN)
            clock.advance(1.01)
            with pytest.raises(AuthError, match="is revoked"):
                await here.find(secret)


async def test_a_key_made_just_now_is_not_kept_from_those_who_tried_it_before(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        with FakeClock() as clock:
            keys = Keys(store)
            key, secret = await made(store)

            def hide(conn: sa.Connection) -> None:
                conn.execute(sa.text("DELETE FROM key_secrets"))

            await store.write(hide)
            with pytest.raises(AuthError):
                await keys.find(secret)
            await keys.rotate(key.id, by=ADMIN)
            clock.advance(1.01)
            with pytest.raises(AuthError, match="wrong"):
                await keys.find(secret)
            assert not keys.lookup._found  # pyright: ignore[reportPrivateUsage]


async def test_while_the_store_is_away_known_keys_open_only_where_that_was_declared(tmp_path: Path) -> None:
    store = Watched.open(store_url("sqlite", tmp_path))
    with FakeClock() as clock:
        _, secret = await made(store)
        strict, lenient = Lookup(store), Lookup(store, on_store_down="allow", keep_seconds=60)
        for lookup in (strict, lenient):
            await lookup.find(secret)
        store.away = True
        clock.advance(2)
        with pytest.raises(StoreDown):
            await strict.find(secret)
        await lenient.find(secret)
        with pytest.raises(StoreDown):
            await lenient.find(new_secret(new_id()))
        clock.advance(60)
        with pytest.raises(StoreDown):
            await lenient.find(secret)
        store.away = False
        await strict.find(secret)
    await store.aclose()


@both
async def test_a_lowered_limit_of_an_organisation_holds_for_keys_in_memory(
    tmp_path: Path, dialect: str
) -> None:
    async with store_in(tmp_path, dialect) as store:
        with FakeClock() as clock:
            await Organisations(store).create(OrganisationSpec(name="o", limit_usd=100), by=ADMIN)
            await Teams(store).create(TeamSpec(name="t", organisation="o"), by=ADMIN)
            _, secret = await made(store, team="t")
            keys = Keys(store)
            assert [str(cap.limit_usd) for cap in (await keys.find(secret)).caps][-1] == "100"
            await Organisations(store).update("o", OrganisationChange(limit_usd=1), by=ADMIN)
            clock.advance(1.01)
            assert [str(cap.limit_usd) for cap in (await keys.find(secret)).caps][-1] == "1"
