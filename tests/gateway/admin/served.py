"""The admin API on a free port of the loopback, and a caller for it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn
from aiohttp import CookieJar

from tests.store.servers import store_url
from tidyllm import clock
from tidyllm.access import OIDC, Keys, OIDCSettings, Role
from tidyllm.gateway import MasterKey
from tidyllm.gateway.admin import SpendQuery, admin_app, fetcher
from tidyllm.gateway.backstage import spend_rows
from tidyllm.store import Store

__all__ = ["MASTER", "Admin", "Answer", "served"]

MASTER = "master-key-of-the-admin-tests"


@dataclass
class Answer:
    """What came back."""

    status: int
    json: Any
    headers: Mapping[str, str]
    text: str


@dataclass
class Admin:
    """Where the API is, and its store."""

    url: str
    store: Store
    http: aiohttp.ClientSession

    async def ask(
        self,
        method: str,
        path: str,
        json: object = None,
        *,
        key: str | None = MASTER,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> Answer:
        """Send one request; redirects are not followed."""
        told = dict(headers or {})
        if key is not None:
            told["authorization"] = f"Bearer {key}"
        if data is not None:
            told.setdefault("content-type", "application/json")
        given: dict[str, Any] = (
            {"data": data} if data is not None else {"json": json} if json is not None else {}
        )
        async with self.http.request(
            method, self.url + path, headers=told, allow_redirects=False, **given
        ) as answer:
            text = await answer.text()
            body = await answer.json() if answer.content_type == "application/json" else None
            return Answer(answer.status, body, answer.headers, text)

    async def key(self, role: Role | None, **fields: Any) -> str:
        """The secret of a new key with this role."""
        values = {"name": "helper", "role": role and role.value, **fields}
        answer = await self.ask("POST", "/admin/v1/keys", values)
        assert answer.status == 201, answer.text
        return answer.json["secret"]


async def _request(request_id: str) -> dict[str, Any] | None:
    return {"id": request_id, "cost_usd": 0.01} if request_id == "req-1" else None


@asynccontextmanager
async def served(
    folder: Path, *, dialect: str = "sqlite", issuer: str | None = None, **sso: Any
) -> AsyncGenerator[Admin]:
    """The admin API until the end of the block; `issuer` is the identity provider for sign-on."""
    store = Store.open(store_url(dialect, folder))
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    oidc = None
    if issuer is not None:
        values: dict[str, Any] = {
            "client_id": "tidyllm-console",
            "client_secret": "the client's secret: ü/+=",
        }
        roles = {"platform": Role.OPERATOR, "chiefs": Role.ADMIN}
        back = f"{url}/admin/v1/callback"
        oidc = OIDC(OIDCSettings(issuer=issuer, redirect_uri=back, roles=roles, **(values | sso)), fetcher())

    async def spent(asked: SpendQuery) -> Sequence[Any]:
        return await spend_rows(store, asked)

    app = admin_app(
        store, keys=Keys(store), master=MasterKey(MASTER), sso=oidc, spend=spent, requests=_request
    )
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", access_log=False, log_config=None))
    with contextlib.ExitStack() as kept:
        kept.enter_context(contextlib.closing(listening))
        task = asyncio.ensure_future(server.serve([listening]))
        while not server.started:
            await clock.sleep(0.005)
        try:
            async with aiohttp.ClientSession(cookie_jar=CookieJar(unsafe=True)) as http:
                yield Admin(url, store, http)
        finally:
            server.should_exit = True
            await task
            await store.aclose()
