"""The old primitives still mean what they meant."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

import pytest

from tidyllm import Retry, step
from tidyllm.errors import StepError
from tidyllm.legacy import tta_primitives
from tidyllm.legacy.tta_primitives import (
    CachePrimitive,
    ConditionalPrimitive,
    FallbackPrimitive,
    InstrumentedPrimitive,
    LambdaPrimitive,
    ParallelPrimitive,
    RetryPrimitive,
    RetryStrategy,
    RouterPrimitive,
    SequentialPrimitive,
    TimeoutError,  # noqa: A004 - its old name
    TimeoutPrimitive,
    WorkflowContext,
    WorkflowPrimitive,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
NOW = RetryStrategy(max_retries=2, backoff_base=0.0, jitter=False, max_backoff=0.0)


class Flaky(WorkflowPrimitive):
    """Fails so many times, then gives how often it was asked."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.asked = 0

    async def execute(self, input_data: Any, context: Any) -> Any:
        self.asked += 1
        if self.asked <= self.failures:
            raise RuntimeError(f"attempt {self.asked}")
        return self.asked


def key_of(data: Any, context: Any) -> Any:
    return data["k"]


def is_large(x: int, context: Any) -> bool:
    return x > 3


def double(x: int, context: Any) -> int:
    return x * 2


async def add_one(x: int) -> int:
    return x + 1


async def test_primitives_compose() -> None:
    flow = LambdaPrimitive(double) >> LambdaPrimitive(add_one) >> LambdaPrimitive(double)
    assert isinstance(flow, SequentialPrimitive)
    assert len(flow.primitives) == 3
    assert await flow.execute(1, WorkflowContext()) == 6
    assert await (LambdaPrimitive(double) | LambdaPrimitive(add_one)).execute(4, WorkflowContext()) == [8, 5]
    assert await ParallelPrimitive([double, add_one]).execute(4, WorkflowContext()) == [8, 5]


async def test_a_primitive_stands_beside_steps() -> None:
    @step
    def shown(x: int) -> str:
        return f"<{x}>"

    assert await (LambdaPrimitive(double) >> shown).execute(4, WorkflowContext()) == "<8>"
    assert await Retry(LambdaPrimitive(double))(4) == 8


async def test_two_retries_are_three_attempts() -> None:
    assert await RetryPrimitive(Flaky(2), strategy=NOW).execute("x", WorkflowContext()) == 3
    stubborn = Flaky(9)
    with pytest.raises(RuntimeError, match="attempt 3"):
        await RetryPrimitive(stubborn, NOW).execute("x", WorkflowContext())
    counted = Flaky(9)
    with pytest.raises(RuntimeError, match="attempt 2"):
        await RetryPrimitive(counted, NOW, max_attempts=2).execute("x", WorkflowContext())


def test_pauses_grow_up_to_their_bound() -> None:
    exact = RetryStrategy(backoff_base=2.0, max_backoff=5.0, jitter=False)
    assert [exact.calculate_delay(n) for n in range(4)] == [1.0, 2.0, 4.0, 5.0]
    drawn = RetryStrategy(backoff_base=2.0, max_backoff=5.0)
    assert all(1.0 <= drawn.calculate_delay(1) <= 3.0 for _ in range(100))


async def test_a_router_takes_its_default_for_names_it_does_not_know() -> None:
    def by_session(data: Any, context: Any) -> str:
        return context.session_id

    routes = {"a": double, "b": add_one}
    router = RouterPrimitive(routes, by_session, default="b")
    assert await router.execute(4, WorkflowContext(session_id="a")) == 8
    assert await router.execute(4, WorkflowContext(session_id="?")) == 5
    with pytest.raises(StepError, match="no route"):
        await RouterPrimitive(routes, by_session).execute(4, WorkflowContext(session_id="?"))


async def test_a_cache_keeps_answers_by_key_for_its_time() -> None:
    inner = Flaky(0)
    cached = CachePrimitive(inner, cache_key_fn=key_of, ttl_seconds=60)
    asked = [await cached.execute({"k": key, "n": n}, WorkflowContext()) for n, key in enumerate("aab")]
    assert asked == [1, 1, 2]
    assert cached.get_stats() == {"size": 2, "hits": 1, "misses": 2, "hit_rate": pytest.approx(100 / 3)}
    expired = CachePrimitive(Flaky(0), ttl=0)
    assert [await expired.execute("x", WorkflowContext()) for _ in range(2)] == [1, 2]


async def test_a_timeout_falls_back_or_raises() -> None:
    async def never(x: Any) -> None:
        await asyncio.Event().wait()

    context = WorkflowContext()
    assert await TimeoutPrimitive(never, 0.01, fallback=double).execute(4, context) == 8
    assert context.state["timeout_count"] == 1
    with pytest.raises(TimeoutError):
        await TimeoutPrimitive(never, timeout_seconds=0.01).execute(4, context)
    assert await TimeoutPrimitive(double, 5).execute(4, context) == 8


async def test_a_fallback_takes_the_next_after_any_error() -> None:
    assert await FallbackPrimitive(Flaky(9), double).execute(4, WorkflowContext()) == 8
    assert await FallbackPrimitive(primary=Flaky(9), fallbacks=[Flaky(9), double]).execute(4, None) == 8
    with pytest.raises(RuntimeError):
        await FallbackPrimitive(Flaky(9), Flaky(9)).execute(4, None)


async def test_a_condition_chooses() -> None:
    branch = ConditionalPrimitive(is_large, double, add_one)
    assert [await branch.execute(x, None) for x in (4, 3)] == [8, 4]


DEEP = {
    "core": ("WorkflowContext", "WorkflowPrimitive", "LambdaPrimitive", "RouterPrimitive"),
    "core.base": ("WorkflowContext", "WorkflowPrimitive", "LambdaPrimitive"),
    "core.conditional": ("ConditionalPrimitive",),
    "core.parallel": ("ParallelPrimitive",),
    "core.routing": ("RouterPrimitive",),
    "core.sequential": ("SequentialPrimitive",),
    "observability": ("InstrumentedPrimitive",),
    "observability.instrumented_primitive": ("InstrumentedPrimitive",),
    "performance": ("CachePrimitive",),
    "performance.cache": ("CachePrimitive",),
    "recovery": ("FallbackPrimitive", "RetryPrimitive", "RetryStrategy", "TimeoutPrimitive", "TimeoutError"),
    "recovery.fallback": ("FallbackPrimitive",),
    "recovery.retry": ("RetryPrimitive", "RetryStrategy"),
    "recovery.timeout": ("TimeoutPrimitive", "TimeoutError"),
}


@pytest.mark.parametrize("package", ("tta_dev_primitives", "tta_workflow_primitives"))
@pytest.mark.parametrize("path", DEEP)
def test_names_are_found_under_the_deep_addresses_that_they_had(package: str, path: str) -> None:
    module = import_module(f"tidyllm.legacy.{package}.{path}")
    for name in DEEP[path]:
        assert name in module.__all__
        assert getattr(module, name) is getattr(tta_primitives, name)


async def test_an_instrumented_primitive_runs_what_its_class_defines() -> None:
    class Twice(InstrumentedPrimitive):
        async def _execute_impl(self, input_data: Any, context: Any) -> Any:
            return input_data * 2

    assert await (Twice() >> Twice("again")).execute(2, WorkflowContext()) == 8
    assert (Twice().name, Twice("again").name) == ("Twice", "again")
