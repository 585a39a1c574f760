"""The figures of `tidyllm migrate report`. It knows prices and clocks, which the codemods do not."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tidyllm import clock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tidyllm.migrate import Plan

__all__ = ["figures", "lines"]

_INPUT_TOKENS, _OUTPUT_TOKENS = 1_000, 300
_CALLS, _ROUNDS = 400, 5


def figures(plan: Plan, model: str, *, bench: bool) -> dict[str, Any]:
    """The report as plain data."""
    from tidyllm.migrate import count

    found = count(plan)
    price = _price(model)
    table: dict[str, Any] = {
        "files": found.files,
        "changed": found.changed,
        "lines": {"before": found.lines_before, "after": found.lines_after},
        "wrappers": {"before": found.wrappers_before, "after": found.wrappers_after},
        "call_sites": {"before": found.call_sites_before, "after": found.call_sites_after},
        "patterns": [
            {"pattern": name, "converted": done, "could_not": left} for name, done, left in found.by_pattern
        ],
        "attempts_at_worst": {"before": found.attempts_worst_before, "after": found.attempts_worst_after},
        "retries": {
            "model": model,
            "usd_per_attempt": None if price is None else str(price),
            "usd_at_worst_before": None if price is None else str(price * found.attempts_worst_before),
            "usd_at_worst_after": None if price is None else str(price * found.attempts_worst_after),
            "assumes": f"each place is called once, fails throughout, and an attempt costs {_INPUT_TOKENS:,} tokens in "
            f"and {_OUTPUT_TOKENS} out",
        },
    }
    if bench:
        table["benchmark"] = _bench()
    return table


def lines(found: dict[str, Any]) -> list[str]:
    """The report for people."""
    rows = [
        ("files changed", f"{found['changed']} of {found['files']}", ""),
        *((name.replace("_", " "), found[name]["before"], found[name]["after"]) for name in (
            "lines", "wrappers", "call_sites", "attempts_at_worst")),
    ]  # fmt: skip
    said = [f"{'':<20}{'before':>14}{'after':>14}"]
    said += [f"{name:<20}{before!s:>14}{after!s:>14}" for name, before, after in rows]
    for one in found["patterns"]:
        said.append(f"  {one['pattern']}: {one['converted']} converted, {one['could_not']} could not")
    money = found["retries"]
    if money["usd_per_attempt"] is None:
        said.append(
            f"retries that multiply: the price of {money['model']} is not known; name another with --model"
        )
    else:
        before, after = Decimal(money["usd_at_worst_before"]), Decimal(money["usd_at_worst_after"])
        said.append(
            f"retries that multiply, at the prices of {money['model']}: ${before:.4f} before, ${after:.4f} after "
            f"({money['assumes']})"
        )
    if "benchmark" in found:
        times = found["benchmark"]
        said.append(
            f"one call of the offline model: {times['old_us']:.0f} µs through an old wrapper, "
            f"{times['new_us']:.0f} µs through the new one (bare: {times['bare_us']:.0f} µs)"
        )
    return said


def _price(model: str) -> Decimal | None:
    from tidyllm.models.catalog import Catalog
    from tidyllm.models.pricing import at_most_usd

    return at_most_usd(_INPUT_TOKENS, _OUTPUT_TOKENS, Catalog.default().find(model))


def _bench() -> dict[str, float]:
    """µs a call: the best of some rounds, without retries or faults."""
    return asyncio.run(_measure())


async def _measure() -> dict[str, float]:
    from tidyllm.cache import Cache
    from tidyllm.models.factory import model
    from tidyllm.resilience import Retry, Timeout

    echo = model("offline/echo")
    old = _old(echo)
    new = Cache(Retry(Timeout(echo, total=30.0), attempts=3), ttl_seconds=3600, key=str)
    return {
        "bare_us": await _best(echo),
        "old_us": await _best(old),
        "new_us": await _best(new),
    }


async def _best(call: Callable[[str], Awaitable[object]]) -> float:
    best = float("inf")
    for turn in range(_ROUNDS):
        begun = clock.monotonic()
        for number in range(_CALLS):
            await call(f"question {turn} {number}")
        best = min(best, clock.monotonic() - begun)
    return best / _CALLS * 1e6


def _old(inner: Callable[[str], Awaitable[object]]) -> Callable[[str], Awaitable[object]]:
    """A wrapper as such libraries are written: a digest for a key, a task for each timeout, a list of checkpoints."""
    kept: dict[str, tuple[object, float]] = {}

    async def call(question: str) -> object:
        checkpoints: list[tuple[str, float]] = []
        key = hashlib.sha256(json.dumps({"question": question}, sort_keys=True).encode()).hexdigest()
        now = clock.monotonic()
        if key in kept and now - kept[key][1] < 3600:
            return kept[key][0]
        for attempt in range(3):
            checkpoints.append((f"attempt_{attempt}.start", clock.monotonic()))
            try:
                answer = await asyncio.wait_for(inner(question), 30.0)  # noqa: TID251 - as old wrappers do
            except Exception:
                if attempt == 2:
                    raise
                await clock.sleep(min(2.0**attempt, 60.0) * (0.5 + random.random()))
                continue
            checkpoints.append((f"attempt_{attempt}.end", clock.monotonic()))
            kept[key] = answer, clock.monotonic()
            return answer
        raise AssertionError

    return call
