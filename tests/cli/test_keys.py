"""`tidyllm keys`, `teams` and `organisations` as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command import Ended, run


async def tidyllm(folder: Path, *arguments: str) -> Ended:
    ended = await run(folder, *arguments, TIDYLLM_STORE_URL=str(folder / "store.db"))
    assert not ended.traceback, ended.err
    return ended


async def test_a_key_is_made_shown_rotated_and_revoked(tmp_path: Path) -> None:
    made = await tidyllm(
        tmp_path, "keys", "create", "bot", "--rpm", "10", "--tag", "a=b=c", "--expires", "30d", "--json"
    )
    key = json.loads(made.out)["key"]
    assert (key["requests_per_minute"], key["tags"]) == (10, {"a": "b=c"})
    assert key["expires_at"] == pytest.approx(key["created_at"] + 30 * 86400)
    rotated = await tidyllm(tmp_path, "keys", "rotate", key["id"], "--overlap", "1h")
    assert rotated.out.splitlines()[1].startswith(f"secret  sk-tidy-{key['id']}-")
    assert "not shown again" in rotated.err
    assert (await tidyllm(tmp_path, "keys", "rotate", key["id"])).status == 2
    revoked = await tidyllm(tmp_path, "keys", "revoke", key["id"])
    assert revoked.out.startswith(f"{key['id']} is revoked since")
    listed = await tidyllm(tmp_path, "keys", "list", "--state", "revoked")
    assert listed.out.splitlines()[1].split()[:2] == [key["id"], "bot"]
    for shown in (listed.out, (await tidyllm(tmp_path, "keys", "log", "--json")).out):
        assert json.loads(made.out)["secret"] not in shown
    verified = await tidyllm(tmp_path, "keys", "log", "--verify")
    assert verified.out.startswith("3 rows, each as it was written.")


async def test_teams_and_organisations_have_the_same_acts(tmp_path: Path) -> None:
    await tidyllm(tmp_path, "organisations", "create", "acme", "--limit-usd", "100", "--window", "month")
    await tidyllm(tmp_path, "teams", "create", "search", "--organisation", "acme", "--model", "gpt-*")
    changed = await tidyllm(tmp_path, "teams", "update", "search", '{"concurrency": 5, "models": []}')
    assert (json.loads(changed.out)["concurrency"], json.loads(changed.out)["models"]) == (5, [])
    assert "search" in (await tidyllm(tmp_path, "teams", "list")).out
    assert json.loads((await tidyllm(tmp_path, "organisations", "show", "acme")).out)["limit_usd"] == 100
    assert (await tidyllm(tmp_path, "organisations", "delete", "acme")).status == 2
    assert (await tidyllm(tmp_path, "teams", "delete", "search")).out == "search is deleted.\n"
    assert (await tidyllm(tmp_path, "organisations", "delete", "acme")).status == 0


WRONG = {
    "negative": (["create", "a", "--rpm", "-1"], "requests_per_minute: '-1' is not allowed"),
    "no number": (["create", "a", "--limit-usd", "nan"], "limit_usd: 'nan' is not allowed"),
    "euros": (
        ["create", "a", "--limit-usd", "5 EUR"],
        "limit_usd: '5 EUR' is not allowed; it must be US dollars",
    ),
    "window": (["create", "a", "--window", "year"], "none, day, week, month or rolling:SECONDS"),
    "missing team": (["create", "a", "--team", "t"], "team: there is no team 't'"),
    "expiry": (["create", "a", "--expires", "soon"], "expires: 'soon' is no time"),
    "tag": (["create", "a", "--tag", "b"], "tag: 'b' is not NAME=VALUE"),
    "address": (["create", "a", "--ip", "10.0.0.0/99"], "ips: ['10.0.0.0/99'] is not allowed"),
    "line end": (["create", "a\nb"], "name: 'a\\nb' is not allowed"),
    "unknown key": (["revoke", "nobody"], "there is no key 'nobody'"),
    "no JSON": (["update", "a", "{"], "is no JSON object"),
    "deep JSON": (["update", "a", '{"a":' * 20_000], "is no JSON object"),
    "a field twice": (["update", "a", '{"tags": {"a": "1", "a": "2"}}'], "'a' comes twice"),
    "unknown field": (["update", "a", '{"rpm": 1}'], "unknown field `rpm`"),
    "state": (["list", "--state", "dead"], "'dead' is not active, expired or revoked"),
}


@pytest.mark.parametrize(("arguments", "told"), WRONG.values(), ids=WRONG.keys())
async def test_wrong_arguments_are_told_in_a_line(tmp_path: Path, arguments: list[str], told: str) -> None:
    ended = await tidyllm(tmp_path, "keys", *arguments)
    assert ended.status == 2
    assert told in ended.err
    assert ended.out == ""


async def test_every_thing_that_is_shown_can_be_asked_for_as_json_and_amounts_are_as_people_write_them(
    tmp_path: Path,
) -> None:
    made = await tidyllm(tmp_path, "keys", "create", "bot", "--limit-usd", "$5", "--json")
    key = json.loads(made.out)["key"]
    assert key["limit_usd"] == 5
    await tidyllm(tmp_path, "teams", "create", "search", "--limit-usd", "0.1")
    await tidyllm(tmp_path, "organisations", "create", "acme", "--limit-usd", "5 USD")
    for kind, name, usd in (("keys", key["id"], 5), ("teams", "search", 0.1), ("organisations", "acme", 5)):
        for flag in ((), ("--json",)):
            shown = await tidyllm(tmp_path, kind, "show", name, *flag)
            assert (shown.status, json.loads(shown.out)["limit_usd"]) == (0, usd), shown.err
        listed = await tidyllm(tmp_path, kind, "list", "--json")
        assert [one["limit_usd"] for one in json.loads(listed.out)] == [usd]
