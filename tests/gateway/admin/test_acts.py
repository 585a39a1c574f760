"""The admin API as a client meets it: acts, pages, roles, and errors that name the field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.gateway.admin.served import Admin, served
from tests.store.servers import databases
from tidyllm.access import Role

both = pytest.mark.parametrize("dialect", databases())


@both
async def test_a_key_s_whole_life(tmp_path: Path, dialect: str) -> None:
    async with served(tmp_path, dialect=dialect) as admin:
        await admin.ask("POST", "/admin/v1/organisations", {"name": "acme", "limit_usd": 100})
        await admin.ask("POST", "/admin/v1/teams", {"name": "search", "organisation": "acme"})
        made = await admin.ask("POST", "/admin/v1/keys", {"name": "bot", "team": "search", "limit_usd": 2.5})
        assert made.status == 201
        assert made.json["secret"].startswith(made.json["key"]["prefix"])
        here = made.headers["location"]
        assert (await admin.ask("GET", here)).json == made.json["key"]
        changed = await admin.ask("PATCH", here, {"limit_usd": None, "ips": ["10.0.0.0/8"]})
        assert (changed.json["limit_usd"], changed.json["ips"]) == (None, ["10.0.0.0/8"])
        rotated = await admin.ask("POST", f"{here}/rotate", {"overlap_seconds": 60})
        assert rotated.json["secret"] != made.json["secret"]
        assert (await admin.ask("POST", f"{here}/rotate")).status == 409
        assert (await admin.ask("POST", f"{here}/revoke")).json["revoked_at"] is not None
        listed = await admin.ask("GET", "/admin/v1/keys?team=search&state=revoked")
        assert [key["name"] for key in listed.json["data"]] == ["bot"]
        acts = (await admin.ask("GET", "/admin/v1/audit")).json["data"]
        assert [one["act"] for one in acts][:2] == ["key.revoke", "key.rotate"]
        assert {(one["actor"], one["actor_kind"], one["ip"]) for one in acts} == {
            ("master", "master", "127.0.0.1")
        }
        assert (await admin.ask("GET", "/admin/v1/audit/verify")).json["broken"] is None
        assert made.json["secret"] not in str(acts)


async def test_lists_come_in_pages(tmp_path: Path) -> None:
    async with served(tmp_path) as admin:
        for n in range(5):
            await admin.ask("POST", "/admin/v1/keys", {"name": f"k{n}"})
        for what, cursor in (("keys", "after"), ("audit", "before")):
            seen: list[Any] = []
            more: object = ""
            while more is not None:
                tail = f"&{cursor}={more}" if more else ""
                page = (await admin.ask("GET", f"/admin/v1/{what}?limit=2{tail}")).json
                seen += page["data"]
                more = page["next"]
            assert len({str(one) for one in seen}) == len(seen) == 5


WRONG: list[tuple[str, str, bytes | None, int, str | None]] = [
    ("POST", "/admin/v1/keys", b"", 400, "name"),
    ("POST", "/admin/v1/keys", b"[]", 400, "body"),
    ("POST", "/admin/v1/keys", b"nonsense", 400, "body"),
    ("POST", "/admin/v1/keys", b'{"name": "a', 400, "body"),
    ("POST", "/admin/v1/keys", b'{"name": "\xff"}', 400, "body"),
    ("POST", "/admin/v1/keys", b"[" * 100_000, 400, "body"),
    ("POST", "/admin/v1/keys", b'{"name":"' + b"a" * 300_000 + b'"}', 400, "body"),
    ("POST", "/admin/v1/keys", b"{}", 400, "name"),
    ("POST", "/admin/v1/keys", b'{"name": "a", "nmae": 1}', 400, "nmae"),
    ("POST", "/admin/v1/keys", b'{"name": "a", "": 1}', 400, None),
    ("POST", "/admin/v1/keys", b'{"name": "a", "name": "b"}', 400, "name"),
    ("POST", "/admin/v1/keys", b'{"name": "a", "tags": {"x": "1", "x": "2"}}', 400, "x"),
    (
        "POST",
        "/admin/v1/keys",
        b'{"name": "a", "concurrency": 99999999999999999999, "name": "b"}',
        400,
        "name",
    ),
    ("POST", "/admin/v1/keys", b'{"name": "a\\nb"}', 400, "name"),
    ("POST", "/admin/v1/keys", b'{"name": "a", "limit_usd": NaN}', 400, "body"),
    ("POST", "/admin/v1/keys", b'{"name": "a", "limit_usd": 1e999}', 400, "limit_usd"),
    ("POST", "/admin/v1/keys", b'{"name": "a", "limit_usd": -1e999, "tags": {"a": "b"}}', 400, "limit_usd"),
    ("POST", "/admin/v1/keys", b'{"name": "a", "limit_usd": -1}', 400, "limit_usd"),
    ("POST", "/admin/v1/keys", b'{"name": "a", "limit_usd": "five"}', 400, "limit_usd"),
    ("POST", "/admin/v1/keys", b'{"name": "a", "limit_usd": "-5"}', 400, "limit_usd"),
    ("POST", "/admin/v1/keys", b'{"name": "a", "limit_usd": "5 EUR"}', 400, "limit_usd"),
    ("POST", "/admin/v1/keys", b'{"name": "a", "limit_usd": "$5", "soft_usd": "6"}', 409, "soft_usd"),
    ("POST", "/admin/v1/keys", b'{"name": "a", "concurrency": 1.5}', 400, "concurrency"),
    ("POST", "/admin/v1/keys", b'{"name": "a", "concurrency": 99999999999999999999}', 400, "concurrency"),
    ("POST", "/admin/v1/keys", b'{"name": "a", "window": "year"}', 400, "window"),
    ("POST", "/admin/v1/keys", b'{"name": "a", "ips": ["1.2.3.4.5"]}', 400, "ips"),
    ("POST", "/admin/v1/keys", b'{"name": "a", "tags": {"a b": "c"}}', 400, "tags"),
    ("POST", "/admin/v1/keys", b'{"name": "a", "role": "root"}', 400, "role"),
    ("POST", "/admin/v1/keys", b'{"name": "a", "team": "nobody"}', 409, "team"),
    ("POST", "/admin/v1/keys", b'{"name": "a", "limit_usd": 1, "soft_usd": 2}', 409, "soft_usd"),
    ("GET", "/admin/v1/keys?limit=0", None, 400, "limit"),
    ("GET", "/admin/v1/keys?limit=1&limit=2", None, 400, "limit"),
    ("GET", "/admin/v1/keys?lmit=1", None, 400, "lmit"),
    ("GET", "/admin/v1/keys?owner=a%0ab", None, 400, "owner"),
    ("GET", "/admin/v1/keys?team=a%0a", None, 400, "team"),
    ("GET", "/admin/v1/keys?state=dead", None, 400, "state"),
    ("GET", "/admin/v1/keys/nobody", None, 404, "key"),
    ("GET", "/admin/v1/keys/%00%27%20OR%201=1", None, 404, "key"),
    ("GET", "/admin/v1/teams/..%2f..%2fetc", None, 404, None),
    ("GET", "/admin/v1/audit?before=x", None, 400, "before"),
    ("GET", "/admin/v1/spend?by=colour", None, 400, "by"),
    ("GET", "/admin/v1/spend?since=2026-02-30", None, 400, "since"),
    ("GET", "/admin/v1/spend?team=search", None, 400, "team"),
    ("GET", "/admin/v1/spend?since=2026-02-10&until=2026-02-01", None, 409, "until"),
    ("GET", "/admin/v1/spend?since=2026-02-10&until=2026-02-10", None, 409, "until"),
    ("GET", "/admin/v1/requests/nope", None, 404, "request"),
    ("GET", "/admin/v1/nothing", None, 404, None),
    ("PUT", "/admin/v1/keys", None, 405, None),
    ("DELETE", "/admin/v1/keys/aaaaaaaaaaaa", None, 405, None),
]


async def test_wrong_input_is_told_by_field_and_changes_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as admin:
        for method, path, data, status, field in WRONG:
            answer = await admin.ask(method, path, data=data)
            assert answer.status == status, (method, path, data, answer.text)
            error = answer.json["error"]
            assert field is None or error["field"] == field, (path, data, error)
            assert error["message"]
            assert answer.headers["cache-control"] == "no-store"
        assert (await admin.ask("GET", "/admin/v1/audit")).json["data"] == []


async def test_amounts_may_be_numbers_or_texts(tmp_path: Path) -> None:
    async with served(tmp_path) as admin:
        for place, amount in enumerate(("0.1", "$5", "5 USD", ".000000001", "1000000000", 5, 0.1)):
            made = await admin.ask("POST", "/admin/v1/teams", {"name": f"t{place}", "limit_usd": amount})
            assert made.json["limit_usd"] == float(str(amount).strip("$ USD"))
        changed = await admin.ask("PATCH", "/admin/v1/teams/t1", {"soft_usd": "$4.5"})
        assert (changed.json["limit_usd"], changed.json["soft_usd"]) == (5, 4.5)


async def test_a_form_is_refused_because_any_site_can_send_one(tmp_path: Path) -> None:
    async with served(tmp_path) as admin:
        for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data"):
            answer = await admin.ask(
                "POST", "/admin/v1/teams", data=b'{"name": "a"}', headers={"content-type": kind}
            )
            assert (answer.status, answer.json["error"]["field"]) == (400, "content-type")


async def who(admin: Admin, key: str | None) -> tuple[int, int, int]:
    """What this key gets for reading, for making a key, and for making a team."""
    read = await admin.ask("GET", "/admin/v1/keys", key=key)
    make = await admin.ask("POST", "/admin/v1/keys", {"name": "a"}, key=key)
    team = await admin.ask("POST", "/admin/v1/teams", {"name": f"t{key and key[-8:]}"}, key=key)
    return read.status, make.status, team.status


async def test_a_role_may_what_it_may(tmp_path: Path) -> None:
    async with served(tmp_path) as admin:
        assert await who(admin, await admin.key(Role.VIEWER)) == (200, 403, 403)
        assert await who(admin, await admin.key(Role.OPERATOR)) == (200, 201, 403)
        assert await who(admin, await admin.key(Role.ADMIN)) == (200, 201, 201)
        assert await who(admin, await admin.key(None)) == (403, 403, 403)
        assert await who(admin, "sk-tidy-unknown") == (401, 401, 401)
        assert await who(admin, "wrong") == (401, 401, 401)
        assert await who(admin, None) == (401, 401, 401)


async def test_a_key_s_address_list_holds_on_the_admin_side_too(tmp_path: Path) -> None:
    async with served(tmp_path) as admin:
        away = await admin.key(Role.VIEWER, ips=["10.0.0.0/8"])
        near = await admin.key(Role.VIEWER, ips=["127.0.0.0/8"])
        assert (await admin.ask("GET", "/admin/v1/me", key=away)).status == 403
        answer = await admin.ask("GET", "/admin/v1/me", key=near)
        assert (answer.json["kind"], answer.json["role"]) == ("key", "viewer")


@pytest.mark.parametrize("by", ["key", "team", "model", "day", "tag", "route", "provider"])
async def test_spending_can_be_summed_by_all_that_the_command_line_knows_up_to_the_last_day_of_a_month(
    tmp_path: Path, by: str
) -> None:
    async with served(tmp_path) as admin:
        spent = await admin.ask("GET", f"/admin/v1/spend?by={by}&since=2026-10-29&until=2026-12-31")
        assert (spent.status, spent.json["data"][-1]["name"]) == (200, "total")


async def test_a_wrong_parameter_is_told_with_its_value_and_what_is_allowed(tmp_path: Path) -> None:
    async with served(tmp_path) as admin:
        spent = await admin.ask("GET", "/admin/v1/spend?by=colour")
        assert "by='colour' is not allowed; it must be one of day, key" in spent.json["error"]["message"]
        made = await admin.ask("POST", "/admin/v1/keys", {"name": "a", "limit_usd": 5, "currency": "EUR"})
        assert "there is no such field; there are name, " in made.json["error"]["message"]


async def test_what_is_plugged_in_is_shown(tmp_path: Path) -> None:
    async with served(tmp_path) as admin:
        spent = await admin.ask("GET", "/admin/v1/spend?by=team")
        assert [(row["name"], row["calls"]) for row in spent.json["data"]] == [("total", 0)]
        shown = await admin.ask("GET", "/admin/v1/requests/req-1")
        assert shown.json == {"data": {"id": "req-1", "cost_usd": 0.01}}
        assert (await admin.ask("HEAD", "/admin/v1/keys")).status == 200
        assert (await admin.ask("GET", "/admin/v1/login")).status == 404
