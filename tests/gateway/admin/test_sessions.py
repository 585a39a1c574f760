"""Sign-on in a browser: the whole way round, its cookies, and what other sites can make a browser do."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.access.provider import Provider, provider
from tests.gateway.admin.served import Admin, Answer, served


@asynccontextmanager
async def both(folder: Path, **how: Any) -> AsyncGenerator[tuple[Admin, Provider]]:
    async with provider(**how) as at, served(folder, issuer=at.url) as admin:
        yield admin, at


async def go(admin: Admin, url: str) -> Answer:
    """One step of a browser, whose cookies are kept."""
    async with admin.http.get(url, allow_redirects=False) as answer:
        return Answer(answer.status, None, answer.headers, await answer.text())


async def sign_on(admin: Admin, query: str = "") -> Answer:
    login = await go(admin, f"{admin.url}/admin/v1/login{query}")
    assert login.status == 302, login.text
    at_provider = await go(admin, login.headers["location"])
    return await go(admin, at_provider.headers["location"])


async def test_a_person_signs_on_acts_and_signs_off(tmp_path: Path) -> None:
    async with both(tmp_path, claims={"roles": ["chiefs"]}) as (admin, _):
        back = await sign_on(admin)
        assert (back.status, back.headers["location"]) == (302, "/admin/v1/me")
        me = (await admin.ask("GET", "/admin/v1/me", key=None)).json
        assert (me["name"], me["kind"], me["role"]) == ("ada@example.com", "sso", "admin")
        csrf = {"x-csrf-token": me["csrf_token"]}
        made = await admin.ask("POST", "/admin/v1/teams", {"name": "t"}, key=None, headers=csrf)
        assert made.status == 201
        assert (await admin.ask("POST", "/admin/v1/logout", key=None, headers=csrf)).status == 204
        assert (await admin.ask("GET", "/admin/v1/me", key=None)).status == 401
        acts = (await admin.ask("GET", "/admin/v1/audit")).json["data"]
    assert [(one["act"], one["actor"]) for one in acts] == [
        ("session.end", "ada@example.com"),
        ("team.create", "ada@example.com"),
        ("session.begin", "ada@example.com"),
    ]


async def test_a_role_from_the_claim_holds(tmp_path: Path) -> None:
    async with both(tmp_path) as (admin, _):
        await sign_on(admin)
        me = (await admin.ask("GET", "/admin/v1/me", key=None)).json
        csrf = {"x-csrf-token": me["csrf_token"]}
        assert me["role"] == "operator"
        answer = await admin.ask("POST", "/admin/v1/teams", {"name": "t"}, key=None, headers=csrf)
        assert answer.status == 403


@pytest.mark.parametrize("token", [None, "", "0" * 64, "ü"])
async def test_without_the_token_a_cookie_changes_nothing(tmp_path: Path, token: str | None) -> None:
    async with both(tmp_path, claims={"roles": ["chiefs"]}) as (admin, _):
        await sign_on(admin)
        headers = {} if token is None else {"x-csrf-token": token}
        for method, path in (
            ("POST", "/admin/v1/teams"),
            ("DELETE", "/admin/v1/teams/t"),
            ("POST", "/admin/v1/logout"),
        ):
            answer = await admin.ask(method, path, {"name": "t"}, key=None, headers=headers)
            assert (answer.status, answer.json["error"]["type"]) == (403, "forbidden")
        assert (await admin.ask("GET", "/admin/v1/teams", key=None)).json == {"data": []}


async def test_cookies_are_kept_from_scripts_and_other_sites(tmp_path: Path) -> None:
    async with both(tmp_path) as (admin, _):
        await sign_on(admin)
        session = next(one for one in admin.http.cookie_jar if one.key == "tidyllm_session")
        assert (session["httponly"], session["samesite"], session["path"]) == (True, "lax", "/")


async def test_over_https_cookies_are_secure_and_belong_to_the_host(tmp_path: Path) -> None:
    async with provider() as at, served(tmp_path, issuer=at.url) as admin:
        from tidyllm.access import OIDC, OIDCSettings, Role
        from tidyllm.gateway.admin import fetcher
        from tidyllm.gateway.admin.signon import cookie_names

        https = OIDCSettings(
            issuer=at.url,
            client_id="c",
            redirect_uri="https://gw/admin/v1/callback",
            default_role=Role.VIEWER,
        )
        assert all(name.startswith("__Host-") for name in cookie_names(OIDC(https, fetcher())))
        assert (await admin.ask("GET", "/admin/v1/login", key=None)).status == 302


async def test_a_sign_on_that_another_browser_began_is_refused(tmp_path: Path) -> None:
    async with both(tmp_path) as (admin, _):
        login = await go(admin, f"{admin.url}/admin/v1/login")
        back = await go(admin, login.headers["location"])
        admin.http.cookie_jar.clear()
        answer = await go(admin, back.headers["location"])
        assert answer.status == 401
        assert "not begun in this browser" in answer.text
        for query in ("", "?code=x", "?state=x&code=y", "?error=access_denied"):
            assert (await go(admin, f"{admin.url}/admin/v1/callback{query}")).status == 401


@pytest.mark.parametrize(
    "path", ["https://evil.example", "//evil.example", "/\\evil.example", "/a%0d%0ax:y", "a"]
)
async def test_nobody_is_sent_elsewhere_after_the_sign_on(tmp_path: Path, path: str) -> None:
    async with both(tmp_path) as (admin, _):
        answer = await admin.ask("GET", f"/admin/v1/login?return_to={path}", key=None)
        assert (answer.status, answer.json["error"]["field"]) == (400, "return_to")
        back = await sign_on(admin, "?return_to=/console/keys")
        assert back.headers["location"] == "/console/keys"


async def test_a_made_up_cookie_opens_nothing(tmp_path: Path) -> None:
    async with both(tmp_path) as (admin, _):
        for value in ("x", "%00", "a" * 4000, "' OR 1=1 --", "ü"):
            headers = {"cookie": f"tidyllm_session={value}; tidyllm_signon={value}"}
            assert (await admin.ask("GET", "/admin/v1/me", key=None, headers=headers)).status == 401
            answer = await admin.ask("GET", "/admin/v1/callback?state=x&code=y", key=None, headers=headers)
            assert answer.status == 401


async def test_a_provider_that_is_away_is_no_failure_of_ours(tmp_path: Path) -> None:
    async with provider() as at:
        pass
    async with served(tmp_path, issuer=at.url) as admin:
        answer = await admin.ask("GET", "/admin/v1/login", key=None)
        assert (answer.status, answer.json["error"]["type"]) == (503, "unavailable")
