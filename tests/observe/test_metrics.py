from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from tests.observe.events import attempt, call, place
from tests.observe.page import series, value
from tidyllm.core import BreakerChanged, Progress, install, step
from tidyllm.errors import ModelNotFound, Overloaded, RateLimited
from tidyllm.observe import Metrics
from tidyllm.resilience import CircuitBreaker, Fallback, Retry


@step
def double(x: int) -> int:
    return 2 * x


@step
def broken(x: int) -> int:
    raise Overloaded(f"no {x} today.")


async def test_counts_and_times_calls_by_step_and_outcome() -> None:
    metrics = Metrics()
    remove = install(metrics)
    try:
        await double(1)
        await double(2)
        with pytest.raises(Overloaded):
            await broken(1)
    finally:
        remove()
    assert value(metrics, "call_duration_seconds_count", step="double", outcome="ok") == 2
    assert value(metrics, "call_duration_seconds_count", step="broken", outcome="Overloaded") == 1


def test_a_cancelled_call_has_an_outcome_of_its_own() -> None:
    metrics = Metrics()
    metrics(call("slow", error=asyncio.CancelledError()))
    assert value(metrics, "call_duration_seconds_count", step="slow", outcome="cancelled") == 1


def test_durations_are_seconds_in_buckets() -> None:
    metrics = Metrics()
    metrics(call("slow"))
    assert value(metrics, "call_duration_seconds_sum", step="slow", outcome="ok") == 0.25
    assert value(metrics, "call_duration_seconds_bucket", step="slow", outcome="ok", le="0.1") == 0
    assert value(metrics, "call_duration_seconds_bucket", step="slow", outcome="ok", le="0.25") == 1


AT = {"provider": "openai", "target": "main", "model": "gpt-5.1"}


def test_an_attempt_adds_its_time_tokens_and_cost() -> None:
    metrics = Metrics()
    used: dict[str, Any] = {
        "input_tokens": 812,
        "output_tokens": 64,
        "cache_read_tokens": 512,
        "reasoning_tokens": 0,
    }
    for _ in range(2):
        metrics(attempt(first_piece=100.25, cost_usd=Decimal("0.0125"), **used))
    assert value(metrics, "attempt_duration_seconds_sum", **AT, outcome="ok") == 1.0
    assert value(metrics, "first_piece_seconds_sum", **AT) == 0.5
    assert value(metrics, "tokens_total", **AT, kind="input") == 1624
    assert value(metrics, "tokens_total", **AT, kind="output") == 128
    assert value(metrics, "tokens_total", **AT, kind="cache_read") == 1024
    assert value(metrics, "tokens_total", **AT, kind="reasoning") is None
    assert value(metrics, "cost_usd_total", **AT) == 0.025
    assert value(metrics, "unpriced_attempts_total", **AT) == 0


def test_what_is_not_streamed_has_no_first_piece() -> None:
    metrics = Metrics()
    metrics(attempt())
    assert value(metrics, "first_piece_seconds_count", **AT) is None


def test_a_failed_attempt_counts_under_the_class_of_its_error() -> None:
    metrics = Metrics()
    metrics(attempt(error=RateLimited("slow down.")))
    assert value(metrics, "attempt_duration_seconds_count", **AT, outcome="RateLimited") == 1
    assert value(metrics, "unpriced_attempts_total", **AT) == 0


@pytest.mark.parametrize("error", [None, Overloaded("broke off.")], ids=["whole", "broken"])
def test_tokens_without_a_price_are_counted_as_such_never_as_free(error: Exception | None) -> None:
    metrics = Metrics()
    metrics(attempt(error=error, output_tokens=3))
    assert value(metrics, "unpriced_attempts_total", **AT) == 1
    assert value(metrics, "cost_usd_total", **AT) is None
    metrics(attempt(output_tokens=3, cost_usd=Decimal("0.5")))
    assert value(metrics, "cost_usd_total", **AT) == 0.5


def test_nonsense_of_a_provider_cannot_make_a_counter_fall() -> None:
    metrics = Metrics()
    metrics(attempt(input_tokens=-5))
    assert value(metrics, "tokens_total", **AT, kind="input") == 0


async def test_counts_retries_fallbacks_and_states_of_breakers() -> None:
    metrics = Metrics()
    remove = install(metrics)
    try:
        guarded = CircuitBreaker(broken, failures=2, window=60, cooldown=60, name="b")
        await Fallback(Retry(guarded, attempts=2, base=0.0).named("first"), double)(1)
    finally:
        remove()
    found = series(metrics)
    assert found["tidyllm_retries_total", frozenset({("step", "first"), ("error", "Overloaded")})] == 1
    assert found["tidyllm_fallbacks_total", frozenset({("source", "first"), ("target", "double")})] == 1
    states = {
        state: value(metrics, "breaker_state", breaker="b", state=state) for state in ("open", "closed")
    }
    assert states == {"open": 1, "closed": 0}


def test_a_breaker_is_in_one_state_at_a_time() -> None:
    metrics = Metrics()
    for state in ("open", "half_open", "half_open", "closed"):
        metrics(BreakerChanged(place("x"), "b", state))
    states = ("open", "half_open", "closed")
    assert [value(metrics, "breaker_state", breaker="b", state=state) for state in states] == [0, 0, 1]


def test_names_that_callers_choose_cannot_grow_the_page() -> None:
    metrics = Metrics(cap=10)
    for n in range(500):
        metrics(attempt(f"made-up-{n}"))
        metrics(call(f"step-{n}"))
        metrics(BreakerChanged(place("x"), f"breaker-{n}", "open"))
    found = series(metrics)
    assert len({labels for name, labels in found if name == "tidyllm_attempt_duration_seconds_count"}) == 11
    assert value(metrics, "call_duration_seconds_count", step="other", outcome="ok") == 490
    assert value(metrics, "attempt_duration_seconds_count", **(AT | {"model": "other"}), outcome="ok") == 490
    assert len({labels for name, labels in found if name == "tidyllm_breaker_state"}) == 30


def test_a_name_that_its_provider_refused_takes_no_place() -> None:
    metrics = Metrics(cap=1)
    metrics(attempt("junk", error=ModelNotFound("no such model.")))
    metrics(call("junk", error=ModelNotFound("no such model.")))
    metrics(call("fast"))
    metrics(attempt("gpt-5.1"))
    metrics(attempt("gpt-5.1", error=ModelNotFound("gone.")))
    assert value(metrics, "attempt_duration_seconds_count", **AT, outcome="ok") == 1
    assert value(metrics, "attempt_duration_seconds_count", **AT, outcome="ModelNotFound") == 1
    assert value(metrics, "call_duration_seconds_count", step="fast", outcome="ok") == 1
    assert value(metrics, "call_duration_seconds_count", step="other", outcome="ModelNotFound") == 1


def test_a_name_that_is_no_unicode_leaves_the_page_readable() -> None:
    metrics = Metrics()
    metrics(attempt("gpt\ud800"))
    metrics(call('quo"te\n\\'))
    assert value(metrics, "call_duration_seconds_count", step='quo"te\n\\', outcome="ok") == 1
    assert value(metrics, "attempt_duration_seconds_count", **(AT | {"model": "gpt?"}), outcome="ok") == 1


def test_unknown_events_are_ignored() -> None:
    metrics = Metrics()
    before = metrics.exposition()[1].count(b"\n")
    metrics(Progress(place("x"), 1, 2))
    assert metrics.exposition()[1].count(b"\n") == before


def test_several_do_not_collide() -> None:
    one, other = Metrics(), Metrics()
    one(call("slow"))
    assert value(one, "call_duration_seconds_count", step="slow", outcome="ok") == 1
    assert value(other, "call_duration_seconds_count", step="slow", outcome="ok") is None


def test_the_page_tells_of_the_process_and_not_of_creation_times() -> None:
    names = {name for name, _ in series(Metrics())}
    assert not [name for name in names if name.endswith("_created")]
    assert "process_resident_memory_bytes" in names


def test_counts_lost_spans() -> None:
    metrics = Metrics()
    metrics.dropped_spans(3, "queue_full")
    assert value(metrics, "spans_dropped_total", reason="queue_full") == 3
