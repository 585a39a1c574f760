"""SQL, headers, paths and logs through every text field: what goes in comes out as it was, or not at all."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gateway.admin.served import Admin, served
from tests.store.servers import databases

EVIL = [
    "'; DROP TABLE keys; --",
    "' OR '1'='1",
    '" OR ""="',
    "%' AND 1=1 --",
    "\\'; SELECT pg_sleep(5); --",
    "$$; DROP TABLE keys; $$",
    ":name %(name)s ? {0} ${jndi:ldap://x}",
    "a\r\nSet-Cookie: evil=1",
    "a\nINFO forged line",
    "\x00",
    "\x1b[2J",
    "../../../../etc/passwd",
    "..%2f..%2f",
    "<script>alert(1)</script>",
    "\ufeff\u202e",
    "\u0131\u0130ß",
    "😀" * 30,
]
TEXTS = st.sampled_from(EVIL) | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
FIELDS = [
    "name",
    "owner",
    "team",
    "window",
    "role",
    "models",
    "endpoints",
    "ips",
    "required_tags",
    "tags",
    "metadata",
]


async def try_all(admin: Admin, field: str, text: str) -> None:
    """`text` in a field of a body, in a query and in a path."""
    value: object = {
        "tags": {"t": text},
        "metadata": {text: "v"},
        "models": [text],
        "endpoints": [text],
        "ips": [text],
        "required_tags": [text],
    }.get(field, text)
    body: dict[str, Any] = {"name": "service", field: value}
    made = await admin.ask("POST", "/admin/v1/keys", body)
    assert made.status in (201, 400, 409), made.text
    if made.status == 201:
        shown = await admin.ask("GET", made.headers["location"])
        assert shown.json[field] == value
        if field == "owner":
            listed = await admin.ask("GET", f"/admin/v1/keys?limit=1000&owner={quote(text, safe='')}")
            assert {key["owner"] for key in listed.json["data"]} == {text}
    here = quote(text, safe="")
    for path in (f"keys/{here}", f"teams/{here}", f"organisations/{here}", f"requests/{here}"):
        answer = await admin.ask("GET", f"/admin/v1/{path}")
        assert answer.status in (200, 307, 404, 400), (path, answer.text)
    for query in (f"keys?owner={here}", f"keys?team={here}", f"audit?subject={here}", f"audit?actor={here}"):
        answer = await admin.ask("GET", f"/admin/v1/{query}")
        assert answer.status in (200, 400), (query, answer.text)
        assert "evil" not in answer.headers


@pytest.mark.parametrize("dialect", databases())
@pytest.mark.parametrize(
    "examples", [8, pytest.param(300, marks=[pytest.mark.proof, pytest.mark.timeout(900)])]
)
def test_whatever_is_sent_comes_back_as_it_was_or_is_refused(
    tmp_path: Path, dialect: str, examples: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "tidyllm"), asyncio.Runner() as runner:
        serving = served(tmp_path, dialect=dialect)
        admin = runner.run(serving.__aenter__())

        @settings(
            max_examples=examples,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
        )
        @given(st.sampled_from(FIELDS), TEXTS)
        def each(field: str, text: str) -> None:
            runner.run(try_all(admin, field, text))

        try:
            for number, text in enumerate(EVIL):
                runner.run(try_all(admin, ("name", "owner", "tags")[number % 3], text))
            each()
            chain = runner.run(admin.ask("GET", "/admin/v1/audit/verify"))
            assert chain.json["broken"] is None
            assert chain.json["rows"] > 10
        finally:
            runner.run(serving.__aexit__(None, None, None))
    told = [record.getMessage() for record in caplog.records]
    assert not [line for line in told if "failed" in line or "\n" in line]


@pytest.mark.parametrize("text", EVIL)
def test_headers_with_anything_in_them_are_answered(tmp_path: Path, text: str) -> None:
    async def ask() -> None:
        async with served(tmp_path) as admin:
            sent = "".join(letter for letter in text if letter.isprintable()).encode().decode("latin-1")
            for name in ("authorization", "x-api-key", "cookie", "x-csrf-token", "content-type"):
                told = {name: f"Bearer {sent}" if name == "authorization" else f"tidyllm_session={sent}"}
                answer = await admin.ask("POST", "/admin/v1/teams", data=b"{}", key=None, headers=told)
                assert answer.status in (400, 401), answer.text

    asyncio.run(ask())
