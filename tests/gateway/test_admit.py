"""Who may go on, without a server around it: what a reload changes, and what it leaves when it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.access.test_limits_lost import KEY as LIMITED
from tests.access.test_limits_lost import call
from tests.gateway.harness import KEY, settings
from tidyllm.config.stores import Stores
from tidyllm.errors import ConfigError, LimitExceeded
from tidyllm.gateway.admit import Admission
from tidyllm.gateway.asgi import Headers
from tidyllm.gateway.auth import MasterKey
from tidyllm.money import Ledger
from tidyllm.store import Store

BALANCED = {"client": ("10.1.1.1", 7)}
HEADERS = Headers([(b"x-forwarded-for", b"8.8.8.8")])


def store(folder: Path) -> dict[str, str]:
    return {"url": str(folder / "store.db")}


async def test_access_counts_from_a_reload_on(tmp_path: Path) -> None:
    before = settings(store=store(tmp_path))
    admission = Admission(before, Stores(before), MasterKey(KEY))
    assert admission.address(BALANCED, HEADERS) == "10.1.1.1"
    access = {"proxies": ["10.0.0.0/8"], "on_store_down": "allow"}
    admission.renew(settings(store=store(tmp_path), access=access), None)
    assert admission.address(BALANCED, HEADERS) == "8.8.8.8"
    assert admission.keys is not None
    assert (admission.limits.on_store_down, admission.keys.lookup.on_store_down) == ("allow", "allow")
    await admission.aclose()


async def test_limits_go_on_after_a_restart_with_what_the_ledger_has_of_the_last_minute(
    tmp_path: Path,
) -> None:
    books = Store.open(tmp_path / "store.db")
    for _ in range(3):
        await call(Ledger(books), tokens=100)
    await books.aclose()
    now = settings(store=store(tmp_path))
    admission = Admission(now, Stores(now), MasterKey(KEY))
    with pytest.raises(LimitExceeded, match="300 are taken"):
        await admission.limits.enter_as((LIMITED,), tokens=701)
    for _ in range(2):
        await (await admission.limits.enter_as((LIMITED,), tokens=1)).leave()
    with pytest.raises(LimitExceeded, match="5 are taken"):
        await admission.limits.enter_as((LIMITED,))
    await admission.aclose()


@pytest.mark.parametrize(
    "wrong", [{"money": {"limit_usd": 1, "window": "fortnight"}}, {"access": {"proxies": ["balancer"]}}]
)
async def test_a_reload_that_fails_changes_nothing(wrong: dict[str, object]) -> None:
    before = settings()
    master = MasterKey(KEY)
    admission = Admission(before, Stores(before), master)
    with pytest.raises(ConfigError):
        admission.renew(settings(**wrong), MasterKey("another-key-of-the-gateway"))
    assert (admission.settings, admission.master) == (before, master)
    await admission.aclose()
