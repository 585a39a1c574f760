"""`POST /v1/feedback` without a server around it: what cannot be kept, and what nobody foresaw."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from tests.gateway.harness import KEY, offline, settings
from tests.gateway.inside import call
from tests.observe.page import value
from tidyllm.access import Key
from tidyllm.config import Routes
from tidyllm.config.schema import StoreSettings
from tidyllm.core import AttemptStarted, Context
from tidyllm.errors import BadRequest
from tidyllm.gateway import Gateway, MasterKey
from tidyllm.gateway.admit import Admission
from tidyllm.gateway.feedback import PATH, Verdicts
from tidyllm.gateway.traffic import Traffic
from tidyllm.money import Ledger
from tidyllm.observe import Metrics
from tidyllm.store import Store
from tidyllm.testing import FakeClock

TRIED = settings(
    providers={"off": {"kind": "offline"}},
    models={
        "fast": {"route": ["off/echo"]},
        "tried": {"route": ["off/echo"], "ab": {"name": "a/b", "arms": {"control": 0.5, "fast": 0.5}}},
    },
    observe={"content": True, "traces": "otlp"},
)

STICKY = settings(
    providers={"off": {"kind": "offline"}},
    models={
        "other": {"route": ["off/simulated"]},
        "tried": {
            "route": ["off/echo"],
            "ab": {"name": "t", "arms": {"control": 0.5, "other": 0.5}, "sticky": "user"},
        },
    },
)


async def answered(store: Store, route: str, tags: Mapping[str, str]) -> str:
    """The id of an answer that the ledger knows."""
    ledger = Ledger(store)
    ctx = Context.new(tags={"tidyllm.route": route, **tags})
    entry = await ledger.intent(AttemptStarted(ctx, 1, "offline", "off", "echo"), Decimal(0))
    entry.close(Decimal(0))
    await ledger.aclose()
    return ctx.run_id


async def test_a_verdict_counts_for_an_arm_that_its_route_has_now(tmp_path: Path) -> None:
    store, routes = Store.open(str(tmp_path / "store.db")), Routes(TRIED)
    told: list[object] = []
    for route, tag in (
        ("tried", "a/b/fast/x"),
        ("fast", "a/b/fast/x"),
        ("tried", "a/b/gone/x"),
        ("tried", "c/fast/x"),
    ):
        run_id = await answered(store, route, {"tidyllm.experiment": tag, "experiment": "a/b/fast/x"})
        body = msgspec.json.encode({"id": run_id, "quality": 1})
        told.append((await Verdicts(store).take(body, None, routes))["arm"])
    assert told == ["fast", None, None, None]
    await store.aclose()


async def test_what_no_database_can_hold_is_refused(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store.db"))
    body = msgspec.json.encode({"id": await answered(store, "fast", {}), "quality": 1, "prompt": "\0"})
    with pytest.raises(BadRequest, match="NUL"):
        await Verdicts(store).take(body, None, Routes(TRIED))
    await store.aclose()


async def test_an_arm_that_is_surely_worse_gets_no_traffic_any_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Verdicts come in as calls do; at the next look the arm is stopped, which the log and the metrics say."""
    given = msgspec.structs.replace(STICKY, store=StoreSettings(url=str(tmp_path / "store.db")))
    routes, metrics = Routes(given), Metrics()
    app = Gateway(routes, authenticate=MasterKey(KEY), traffic=Traffic(metrics), open_metrics=True)
    app.admission = Admission(given, routes.stores, MasterKey(KEY))
    app.verdicts = Verdicts(routes.stores.store, on_stopped=app.traffic.arm_stopped)

    async def arm_of(user: str) -> str:
        """The arm that answers him; he likes the control's answers only."""
        body = {"model": "tried", "messages": [{"role": "user", "content": "Hi"}], "user": user}
        said = await call(app, msgspec.json.encode(body))
        served = said.headers["x-tidyllm-model"].removeprefix("off/")
        assert app.admission is not None and app.admission.ledger is not None  # noqa: PT018 - for the type checker
        await app.admission.ledger.flush()
        verdict = {"id": said.headers["x-request-id"], "quality": float(served == "echo")}
        assert (await call(app, msgspec.json.encode(verdict), PATH)).status == 200
        return served

    with FakeClock() as fake, caplog.at_level(logging.WARNING, "tidyllm.gateway"):
        seen = [await arm_of(f"user {n}") for n in range(140)]
        assert min(seen.count("echo"), seen.count("simulated")) >= 50
        unlucky = f"user {seen.index('simulated')}"
        assert await arm_of(unlucky) == "simulated", "nobody looks all the time"
        fake.advance(31)
        await arm_of(unlucky)
        while value(metrics, "experiment_arm_stopped", experiment="t", arm="other") != 1:
            await asyncio.sleep(0.01)
        assert {await arm_of(f"user {n}") for n in range(20)} == {"echo"}
        app.routes = Routes(given, earlier=routes)
        assert await arm_of(unlucky) == "echo", "after a reload as before"
    assert "experiment t: arm other is surely worse, and was stopped" in caplog.text
    await app.admission.aclose()


class Broken(Verdicts):
    async def take(self, body: bytes, key: Key | None, routes: Routes) -> dict[str, object]:
        raise ZeroDivisionError


async def test_what_nobody_foresaw_is_a_500_in_json_and_whole_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = Gateway(Routes(offline()), authenticate=MasterKey(KEY))
    app.verdicts = Broken(None)
    with caplog.at_level(logging.ERROR, "tidyllm.gateway"):
        said = await call(app, b"{}", PATH)
    assert said.status == 500
    assert said.headers["x-request-id"] in said.json()["error"]["message"]
    assert "ZeroDivisionError" in caplog.text
