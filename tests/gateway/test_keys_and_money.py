"""The gateway with a store: keys, limits, budgets, the ledger, kept answers, feedback. A real server, real clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.gateway.harness import KEY
from tests.gateway.process import Serving, serving
from tests.store.servers import postgres_url, redis_url
from tidyllm.store import SharedState

ECHO = {"prices": {"input": "1", "output": "2"}, "context_window_tokens": 8000, "max_output_tokens": 500}
SECTIONS: dict[str, Any] = {
    "providers": {"off": {"kind": "offline"}},
    "models": {
        "fast": {"route": ["off/echo"]},
        "kept": {"route": ["off/echo"], "cache": {"ttl": 60, "share": "team"}},
        "free": {"route": ["off/unpriced"]},
        "tried": {"route": ["off/echo"], "ab": {"name": "t", "arms": {"control": 0.5, "fast": 0.5}}},
        "slowly": {"route": ["off/slow"], "cache": {"ttl": 60}},
        "auto": {"choose": {"among": ["fast", "free"], "by": "price"}},
    },
    "catalog": {"off/echo": ECHO, "off/slow": ECHO, "off/unpriced": {"context_window_tokens": 100}},
    "store": {},
}


class Admin:
    """Whoever holds the master key, at a running gateway."""

    def __init__(self, server: Serving) -> None:
        self.url = server.url
        self.http = httpx.AsyncClient(
            base_url=server.url, headers={"authorization": f"Bearer {KEY}"}, timeout=50
        )

    async def key(self, **fields: Any) -> str:
        """The secret of a new key."""
        answer = await self.http.post("/admin/v1/keys", json={"name": "svc", **fields})
        assert answer.status_code == 201, answer.text
        return answer.json()["secret"]

    async def ask(self, secret: str, text: str = "Hello", model: str = "fast", **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {secret}", **more.pop("headers", {})}
        body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 50, **more}
        return await self.http.post("/v1/chat/completions", json=body, headers=headers)

    async def spend(self, by: str) -> dict[str, dict[str, Any]]:
        rows = (await self.http.get(f"/admin/v1/spend?by={by}")).json()["data"]
        return {row["name"]: row for row in rows}


@asynccontextmanager
async def running(folder: Path, *, store: str = "", **sections: Any) -> AsyncGenerator[Admin]:
    url = store or str(folder / "store.db")
    async with serving(folder, {**SECTIONS, "store": {"url": url}, **sections}) as server:
        admin = Admin(server)
        async with admin.http:
            yield admin


async def test_a_key_opens_the_gateway_until_it_is_revoked(tmp_path: Path) -> None:
    async with running(tmp_path) as admin:
        secret = await admin.key(models=["fast"])
        client = openai.AsyncOpenAI(base_url=f"{admin.url}/v1", api_key=secret, max_retries=0)
        async with client:
            said = await client.chat.completions.create(
                model="fast", messages=[{"role": "user", "content": "Hello"}]
            )
            assert said.choices[0].message.content
            with pytest.raises(openai.PermissionDeniedError, match="may not use the model"):
                await client.chat.completions.create(
                    model="free", messages=[{"role": "user", "content": "x"}]
                )
            assert [one.id for one in (await client.models.list()).data] == ["fast"]
            with pytest.raises(openai.PermissionDeniedError):
                await client.models.retrieve("free")
        proxied = {"authorization": f"Bearer {secret}", "via": "proxy"}
        assert (await admin.http.get("/metrics", headers=proxied)).status_code == 403
        assert (await admin.http.get("/metrics", headers={"via": "proxy"})).status_code == 200
        both = {"authorization": "Bearer sk-tidy-abcdefghijkl-wrong", "x-api-key": secret}
        assert (await admin.http.get("/v1/models", headers=both)).status_code == 200
        assert (await admin.http.get("/v1/models", headers={**both, "x-api-key": KEY})).status_code == 200
        assert "/v1/feedback" in (await admin.http.get("/")).json()["paths"]
        elsewhere = {
            "authorization": f"Bearer {await admin.key(ips=['10.0.0.1'], endpoints=['/v1/messages'])}"
        }
        for method, path in (("GET", "/v1/models"), ("POST", "/v1/feedback")):
            assert (await admin.http.request(method, path, headers=elsewhere)).status_code == 403
        [key] = [one for one in (await admin.http.get("/admin/v1/keys")).json()["data"] if one["models"]]
        assert (await admin.http.post(f"/admin/v1/keys/{key['id']}/revoke")).status_code == 200
        while (refused := await admin.ask(secret)).status_code == 200:
            await asyncio.sleep(0.05)
        assert refused.status_code == 401
        assert "revoked" in refused.json()["error"]["message"]
        assert secret not in (tmp_path / "store.db").read_bytes().decode("latin-1")


async def test_a_budget_ends_with_402_and_the_books_know_every_call(tmp_path: Path) -> None:
    async with running(tmp_path) as admin:
        secret = await admin.key(limit_usd=0.0005)
        answers = [await admin.ask(secret, f"Say {n}") for n in range(8)]
        assert answers[0].status_code == 200
        refused = await admin.ask(secret, "y" * 300, max_tokens=400)
        assert refused.status_code == 402
        assert "key:" in refused.json()["error"]["message"]
        answered = sum(answer.status_code == 200 for answer in answers)
        while (rows := await admin.spend("key"))["total"]["calls"] < answered:
            await asyncio.sleep(0.02)
        assert rows["total"]["calls"] == answered
        assert float(rows["total"]["cost_usd"]) <= 0.0005


async def test_an_unknown_price_is_refused_under_a_budget_and_free_without_one(tmp_path: Path) -> None:
    async with running(tmp_path) as admin:
        capped, free = await admin.key(limit_usd=1), await admin.key()
        refused = await admin.ask(capped, model="free")
        assert (refused.status_code, (await admin.ask(free, model="free")).status_code) == (402, 200)
        assert "catalog" in refused.json()["error"]["message"]
        assert "E" not in str([row["cost_usd"] for row in (await admin.spend("key")).values()])


async def test_limits_per_minute_are_429_with_a_time_to_wait(tmp_path: Path) -> None:
    async with running(tmp_path) as admin:
        secret = await admin.key(requests_per_minute=2)
        statuses = [(await admin.ask(secret)).status_code for _ in range(2)]
        refused = await admin.ask(secret)
        assert (statuses, refused.status_code) == ([200, 200], 429)
        assert 1 <= int(refused.headers["retry-after"]) <= 61


async def test_tags_are_asked_for_kept_and_never_pretend_to_be_the_gateways_own(tmp_path: Path) -> None:
    async with running(tmp_path, access={"required_tags": ["feature"]}) as admin:
        secret = await admin.key()
        assert (await admin.ask(secret)).json()["error"]["param"] == "x-tidyllm-tags"
        forged = await admin.ask(secret, headers={"x-tidyllm-tags": "feature=x,tidyllm.key=someone"})
        assert forged.status_code == 400
        own = {"x-tidyllm-tags": "feature=chat", "cache-control": "no-cache"}
        assert (await admin.ask(secret, headers={**own, "cache-control": "x" * 201})).status_code == 400
        said = await admin.ask(secret, headers=own)
        assert said.status_code == 200
        request_id = said.headers["x-request-id"]
        while (found := await admin.http.get(f"/admin/v1/requests/{request_id}")).status_code == 404:
            await asyncio.sleep(0.02)
        assert found.json()["data"]["tags"] == {"feature": "chat"}
        assert [one["target"] for one in found.json()["data"]["attempts"]] == ["off"]


async def test_equal_questions_are_paid_once_by_a_team_and_never_shared_with_another(tmp_path: Path) -> None:
    async with running(tmp_path) as admin:
        for team in ("red", "blue"):
            await admin.http.post("/admin/v1/teams", json={"name": team})
        red, also_red, blue = [await admin.key(team=team) for team in ("red", "red", "blue")]
        said = [(await admin.ask(secret, model="kept")) for secret in (red, also_red, blue)]
        assert [one.headers["x-tidyllm-cache"] for one in said] == ["miss", "hit", "miss"]
        assert said[1].json() == said[0].json()
        assert float(said[1].headers["x-tidyllm-saved-usd"]) > 0
        other = await admin.ask(red, model="kept", headers={"cache-control": "no-store"})
        assert other.headers["x-tidyllm-cache"] == "bypass"
        nothing = await admin.ask(red, "New", model="kept", headers={"cache-control": "only-if-cached"})
        assert nothing.status_code == 504
        while (rows := await admin.spend("team"))["total"]["calls"] < 3 or rows["total"]["hits"] < 1:
            await asyncio.sleep(0.02)
        assert (rows["red"]["hits"], rows["red"]["calls"], rows["blue"]["calls"]) == (1, 2, 1)


@pytest.mark.parametrize("stream", [False, True])
async def test_who_joins_an_equal_question_is_in_the_books_with_what_that_saved(
    tmp_path: Path, stream: bool
) -> None:
    async with running(tmp_path) as admin:
        secret = await admin.key()
        said = await asyncio.gather(*(admin.ask(secret, model="slowly", stream=stream) for _ in range(3)))
        assert sorted(one.headers["x-tidyllm-cache"] for one in said) == ["joined", "joined", "miss"]
        while (rows := await admin.spend("model"))["total"]["hits"] < 2:
            await asyncio.sleep(0.02)
        [(model, row)] = [(name, row) for name, row in rows.items() if name != "total"]
        assert (model, row["calls"], row["hits"]) == ("slow", 1, 2)
        assert float(row["saved_usd"]) == pytest.approx(2 * float(row["cost_usd"]))


async def test_calls_of_one_trace_are_requests_of_their_own(tmp_path: Path) -> None:
    async with running(tmp_path) as admin:
        secret = await admin.key()
        trace = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
        said = [await admin.ask(secret, text, headers=trace) for text in ("One", "Two and a half")]
        for one in said:
            request_id = one.headers["x-request-id"]
            while (
                found := await admin.http.get(f"/admin/v1/requests/{request_id}")
            ).status_code == 404 or not all(
                settled := [at["input_tokens"] for at in found.json()["data"]["attempts"]]
            ):
                await asyncio.sleep(0.02)
            assert settled == [one.json()["usage"]["prompt_tokens"]]


async def test_feedback_reaches_the_arm_that_answered(tmp_path: Path) -> None:
    async with running(tmp_path) as admin:
        secret, stranger = await admin.key(), await admin.key()
        said = await admin.ask(secret, model="tried")
        verdict = {"id": said.headers["x-request-id"], "quality": 1}
        mine = {"authorization": f"Bearer {secret}"}
        while (taken := await admin.http.post("/v1/feedback", json=verdict, headers=mine)).status_code == 404:
            await asyncio.sleep(0.02)
        assert taken.status_code == 200, taken.text
        assert taken.json()["experiment"] == "t"
        assert taken.json()["arm"] in ("control", "fast")
        foreign = {"authorization": f"Bearer {stranger}"}
        assert (await admin.http.post("/v1/feedback", json=verdict, headers=foreign)).status_code == 404
        pretended = {"x-tidyllm-tags": "experiment=t/fast/me"}
        other = {"id": (await admin.ask(secret, headers=pretended)).headers["x-request-id"], "quality": 0}
        while (taken := await admin.http.post("/v1/feedback", json=other, headers=mine)).status_code == 404:
            await asyncio.sleep(0.02)
        assert (taken.json()["route"], taken.json()["experiment"], taken.json()["arm"]) == (
            "fast",
            None,
            None,
        )
        wrong = await admin.http.post("/v1/feedback", json={**verdict, "quality": 7}, headers=mine)
        unknown = (await admin.http.post("/v1/feedback", json={**verdict, "id": "0" * 32})).json()["error"]
        assert (unknown["type"], unknown["code"]) == ("invalid_request_error", None)
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "quality")
        unkept = await admin.http.post("/v1/feedback", json={**verdict, "prompt": "Hello"}, headers=mine)
        assert (unkept.status_code, unkept.json()["error"]["param"]) == (400, "prompt")


async def test_a_choice_takes_the_model_whose_price_is_known(tmp_path: Path) -> None:
    async with running(tmp_path) as admin:
        assert (await admin.ask(KEY, model="auto")).headers["x-tidyllm-model"] == "off/echo"


async def test_two_workers_on_postgres_and_redis_share_limits_and_budgets(tmp_path: Path) -> None:
    sections = {**SECTIONS, "store": {"url": postgres_url()}, "redis": {"url": redis_url()}}
    async with serving(tmp_path, sections, "--workers", "2") as server:
        admin = Admin(server)
        async with admin.http:
            secret = await admin.key(requests_per_minute=10)
            capped = await admin.key(limit_usd=0.0002)
            statuses = await asyncio.gather(*(_fresh(server, secret) for _ in range(30)))
            assert sorted(statuses) == [200] * 10 + [429] * 20
            shared = SharedState.open(sections["redis"]["url"])
            await shared.command("FLUSHDB")
            again = await asyncio.gather(*(_fresh(server, secret) for _ in range(10)))
            assert set(again) == {429}, "what Redis lost is read from the ledger"
            assert set(await asyncio.gather(*(_fresh(server, capped) for _ in range(30)))) == {200, 402}
            [key] = [
                one for one in (await admin.http.get("/admin/v1/keys")).json()["data"] if one["limit_usd"]
            ]
            while key["id"] not in (rows := await admin.spend("key")):
                await asyncio.sleep(0.02)
            assert 0 < float(rows[key["id"]]["cost_usd"]) <= 0.0002
        assert len(await shared.command("KEYS", "tidyllm:budget:key:*")) == 1
        await shared.aclose()


async def _fresh(server: Serving, secret: str) -> int:
    """A request on a connection of its own, so that any worker may take it."""
    async with httpx.AsyncClient(base_url=server.url, timeout=50) as http:
        body = {"model": "fast", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 50}
        headers = {"authorization": f"Bearer {secret}"}
        return (await http.post("/v1/chat/completions", json=body, headers=headers)).status_code
