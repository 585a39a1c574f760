"""Acts on teams and organisations."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tests.access.places import ADMIN, both, made, store_in
from tidyllm.access import (
    AuditLog,
    Conflict,
    Key,
    KeyChange,
    Keys,
    Missing,
    OrganisationChange,
    Organisations,
    OrganisationSpec,
    TeamChange,
    Teams,
    TeamSpec,
)
from tidyllm.money import Budget, Ledger
from tidyllm.store import Store


@both
async def test_what_a_team_limits_its_keys_have_as_a_second_subject(tmp_path: Path, dialect: str) -> None:
    async with store_in(tmp_path, dialect) as store:
        await Organisations(store).create(OrganisationSpec(name="acme", limit_usd=100), by=ADMIN)
        spec = TeamSpec(name="search", organisation="acme", requests_per_minute=5, models=("a*",))
        await Teams(store).create(spec, by=ADMIN)
        key, _ = await made(store, team="search", concurrency=1)
    assert [subject.name for subject in key.subjects] == [f"key:{key.id}", "team:search"]
    assert key.subjects[1].requests_per_minute == 5
    assert (key.organisation, key.team_models) == ("acme", ("a*",))


async def spent_by(store: Store, *, usd: Decimal) -> tuple[Key, list[Decimal]]:
    """A new key of a new team `search` of a new `acme`, and what each of its accounts has spent after `usd` more."""
    await Organisations(store).create(OrganisationSpec(name="acme", limit_usd=100), by=ADMIN)
    await Teams(store).create(TeamSpec(name="search", organisation="acme", limit_usd=50), by=ADMIN)
    await Teams(store).update("search", TeamChange(limit_usd=60, requests_per_minute=5), by=ADMIN)
    await Organisations(store).update("acme", OrganisationChange(limit_usd=90), by=ADMIN)
    _, secret = await made(store, team="search")
    key = await Keys(store).find(secret)
    budget, accounts, ledger = None, list[Budget](), Ledger(store)
    for cap in reversed(key.caps):
        place = ledger if budget is None else None
        budget = Budget(cap.limit_usd, cap.window, name=cap.name, parent=budget, ledger=place)
        accounts.append(budget)
    assert budget is not None
    await (await budget.reserve(usd, what="x")).settle(usd)
    await ledger.aclose()
    return key, [(await account.standing()).spent_usd for account in accounts]


@both
async def test_who_gets_the_name_of_one_that_was_deleted_begins_at_nothing(
    tmp_path: Path, dialect: str
) -> None:
    async with store_in(tmp_path, dialect) as store:
        first, spent = await spent_by(store, usd=Decimal(30))
        assert (spent, first.team_account) == ([30, 30, 30], "search")
        await Keys(store).update(first.id, KeyChange(team=None), by=ADMIN)
        await Teams(store).delete("search", by=ADMIN)
        await Organisations(store).delete("acme", by=ADMIN)
        second, spent = await spent_by(store, usd=Decimal(20))
        assert (spent, second.team, second.team_account) == ([20, 20, 20], "search", "search#2")
        assert [cap.name for cap in second.caps[1:]] == ["team:search#2", "org:acme#2"]
        assert [one.name for one in second.subjects] == ["team:search#2"]


async def test_a_name_is_taken_once(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        teams, organisations = Teams(store), Organisations(store)
        await teams.create(TeamSpec(name="a"), by=ADMIN)
        await organisations.create(OrganisationSpec(name="a"), by=ADMIN)
        with pytest.raises(Conflict, match="a team 'a' already"):
            await teams.create(TeamSpec(name="a"), by=ADMIN)
        with pytest.raises(Conflict, match="an organisation 'a' already"):
            await organisations.create(OrganisationSpec(name="a"), by=ADMIN)


async def test_what_is_used_cannot_be_deleted_and_what_is_missing_neither(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        teams, organisations = Teams(store), Organisations(store)
        await organisations.create(OrganisationSpec(name="o"), by=ADMIN)
        await teams.create(TeamSpec(name="t", organisation="o"), by=ADMIN)
        key, _ = await made(store, team="t")
        with pytest.raises(Conflict, match="has 1 teams"):
            await organisations.delete("o", by=ADMIN)
        with pytest.raises(Conflict, match="has 1 keys"):
            await teams.delete("t", by=ADMIN)
        await Keys(store).update(key.id, KeyChange(team=None), by=ADMIN)
        await teams.delete("t", by=ADMIN)
        await organisations.delete("o", by=ADMIN)
        for act in (teams.delete("t", by=ADMIN), organisations.show("o"), teams.show("x\x00")):
            with pytest.raises(Missing):
                await act
        assert (await AuditLog(store).verify()).broken is None


async def test_a_team_for_a_missing_organisation_is_refused(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        with pytest.raises(Conflict, match="organisation: there is no organisation 'o'"):
            await Teams(store).create(TeamSpec(name="t", organisation="o"), by=ADMIN)
        await Teams(store).create(TeamSpec(name="t"), by=ADMIN)
        with pytest.raises(Conflict, match="there is no organisation 'o'"):
            await Teams(store).update("t", TeamChange(organisation="o"), by=ADMIN)


async def test_a_change_is_checked_together_with_what_is_there(tmp_path: Path) -> None:
    async with store_in(tmp_path) as store:
        organisations = Organisations(store)
        await organisations.create(OrganisationSpec(name="o", limit_usd=5), by=ADMIN)
        with pytest.raises(Conflict, match="soft_usd"):
            await organisations.update("o", OrganisationChange(soft_usd=6), by=ADMIN)
        changed = await organisations.update("o", OrganisationChange(soft_usd=4, limit_usd=50), by=ADMIN)
        assert str(changed.limit_usd) == "50"
        assert await organisations.list() == [changed]
