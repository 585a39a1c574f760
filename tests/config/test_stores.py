"""What the parts of a configuration share, over reloads."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from tidyllm.config import Routes, Settings
from tidyllm.config.check import check


def settings(**caches: Any) -> Settings:
    models = {name: {"route": ["off/echo"], "cache": cache} for name, cache in caches.items()}
    found, problems = check({"providers": {"off": {"kind": "offline"}}, "models": models})
    assert found is not None, problems
    return found


async def test_answers_that_no_route_asks_for_any_more_are_let_go_at_a_reload() -> None:
    kept, other = {"ttl": 60}, {"ttl": 61}
    before = Routes(settings(a=kept, b=other))
    stores = before.stores
    first, second = (
        stores.cache(one.cache, where="") for one in before.settings.models.values() if one.cache
    )
    gone = weakref.ref(second)
    after = Routes(settings(a=kept), earlier=before)
    stores.tidy(after.settings)
    del before, second
    gc.collect()
    assert gone() is None
    assert after.settings.models["a"].cache is not None
    assert stores.cache(after.settings.models["a"].cache, where="") is first
