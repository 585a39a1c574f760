"""Primitives of `tta_dev_primitives` and `tta_workflow_primitives`, with their old meaning.

A primitive is run by `await primitive.execute(data, context)`, composed by `>>` and `|`, and, being callable with one
argument, may stand beside steps. What they do is written out here: their pauses and their errors are not those of our
wrappers, and a program in the middle of a migration must not change.
"""

from __future__ import annotations

import asyncio
import inspect
import random
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tidyllm import clock
from tidyllm.errors import ConfigError, StepError, TimeoutExceeded
from tidyllm.legacy.moved import moved
from tidyllm.resilience import Timeout

__all__ = [
    "CachePrimitive",
    "ConditionalPrimitive",
    "FallbackPrimitive",
    "InstrumentedPrimitive",
    "LambdaPrimitive",
    "ParallelPrimitive",
    "RetryPrimitive",
    "RetryStrategy",
    "RouterPrimitive",
    "SequentialPrimitive",
    "TimeoutError",
    "TimeoutPrimitive",
    "WorkflowContext",
    "WorkflowPrimitive",
]

_PATTERN = "tta_primitives"
TimeoutError = TimeoutExceeded  # noqa: A001 - its old name


@dataclass
class WorkflowContext:
    """What a workflow carries along. Primitives hand on the same object."""

    workflow_id: str | None = None
    session_id: str | None = None
    player_id: str | None = None
    correlation_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    tags: dict[str, str] = field(default_factory=dict[str, str])
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    state: dict[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        moved("WorkflowContext", _PATTERN, "tidyllm.Context")


class WorkflowPrimitive(ABC):
    """Something that turns one value into another. Subclass it and define `execute(input_data, context)`."""

    def __class_getitem__(cls, kinds: object) -> type[WorkflowPrimitive]:
        return cls

    @abstractmethod
    async def execute(self, input_data: Any, context: Any) -> Any:
        """The answer to `input_data`."""

    async def __call__(self, x: Any) -> Any:
        """As a step is called: with a context of its own."""
        return await self.execute(x, _context())

    def __rshift__(self, other: Any) -> SequentialPrimitive:
        """`a >> b`: the answer of `a` is the input of `b`."""
        return SequentialPrimitive([self, other])

    def __or__(self, other: Any) -> ParallelPrimitive:
        """`a | b`: both get the same input, at the same time; the answers are a list."""
        return ParallelPrimitive([self, other])


class InstrumentedPrimitive(WorkflowPrimitive):
    """A primitive whose subclasses define `_execute_impl`. What is recorded of it is what steps around it record."""

    def __init__(self, name: str | None = None) -> None:
        moved("InstrumentedPrimitive", _PATTERN, "tidyllm.Step")
        self.name = name or type(self).__name__

    @abstractmethod
    async def _execute_impl(self, input_data: Any, context: Any) -> Any:
        """The answer to `input_data`."""

    async def execute(self, input_data: Any, context: Any) -> Any:
        """The answer to `input_data`."""
        return await self._execute_impl(input_data, context)


def _context() -> WorkflowContext:
    made = object.__new__(WorkflowContext)
    made.workflow_id = made.session_id = made.player_id = None
    made.correlation_id = uuid.uuid4().hex
    made.tags, made.metadata, made.state = {}, {}, {}
    return made


async def _run(primitive: Any, data: Any, context: Any) -> Any:
    """A primitive, a step, or a function of the input, or of the input and the context."""
    if hasattr(primitive, "execute"):
        return await primitive.execute(data, context)
    if hasattr(primitive, "invoke"):
        return await primitive(data)
    found = _called(primitive, data, context)
    return await found if inspect.isawaitable(found) else found


def _called(function: Callable[..., Any], data: Any, context: Any) -> Any:
    try:
        takes = len(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        takes = 1
    return function(data, context) if takes > 1 else function(data)


class LambdaPrimitive(WorkflowPrimitive):
    """A function, sync or async, of the input or of the input and the context."""

    def __init__(self, func: Callable[..., Any]) -> None:
        moved("LambdaPrimitive", _PATTERN, "a function")
        self.func = func

    async def execute(self, input_data: Any, context: Any) -> Any:
        """The function's answer."""
        return await _run(self.func, input_data, context)


class SequentialPrimitive(WorkflowPrimitive):
    """One after another."""

    def __init__(self, primitives: Sequence[Any]) -> None:
        moved("SequentialPrimitive", _PATTERN, "tidyllm.Sequence")
        self.primitives = [
            inner
            for one in primitives
            for inner in (one.primitives if isinstance(one, SequentialPrimitive) else (one,))
        ]

    async def execute(self, input_data: Any, context: Any) -> Any:
        """The last one's answer."""
        for one in self.primitives:
            input_data = await _run(one, input_data, context)
        return input_data


class ParallelPrimitive(WorkflowPrimitive):
    """Side by side; the answers are a list in order."""

    def __init__(self, primitives: Sequence[Any]) -> None:
        moved("ParallelPrimitive", _PATTERN, "tidyllm.Parallel")
        self.primitives = list(primitives)

    async def execute(self, input_data: Any, context: Any) -> list[Any]:
        """All answers. When one fails, its error is raised."""
        return list(await asyncio.gather(*(_run(one, input_data, context) for one in self.primitives)))


class ConditionalPrimitive(WorkflowPrimitive):
    """One of two, or the input itself where there is no `else_primitive`."""

    def __init__(
        self, condition: Callable[..., Any], then_primitive: Any, else_primitive: Any = None
    ) -> None:
        moved("ConditionalPrimitive", _PATTERN, "tidyllm.Branch")
        self.condition = condition
        self.then_primitive = then_primitive
        self.else_primitive = else_primitive

    async def execute(self, input_data: Any, context: Any) -> Any:
        """The answer of the one that was chosen."""
        chosen = self.then_primitive if _called(self.condition, input_data, context) else self.else_primitive
        return input_data if chosen is None else await _run(chosen, input_data, context)


class RouterPrimitive(WorkflowPrimitive):
    """One of several by name; `default` is the name for an answer of `router_fn` that is none."""

    def __init__(
        self, routes: Mapping[str, Any], router_fn: Callable[..., str], default: str | None = None
    ) -> None:
        moved("RouterPrimitive", _PATTERN, "tidyllm.Branch")
        if default is not None and default not in routes:
            raise ConfigError(f"default {default!r} is none of the routes.", where="RouterPrimitive.default")
        self.routes = dict(routes)
        self.router_fn = router_fn
        self.default = default

    async def execute(self, input_data: Any, context: Any) -> Any:
        """The answer of the one that was chosen. :raises StepError: there is none of that name, nor a default."""
        name = _called(self.router_fn, input_data, context)
        chosen = name if name in self.routes else self.default
        if chosen is None:
            raise StepError(f"there is no route {name!r}; there are {', '.join(map(repr, self.routes))}.")
        return await _run(self.routes[chosen], input_data, context)


class CachePrimitive(WorkflowPrimitive):
    """Answers by key, kept in this object for `ttl_seconds` seconds."""

    def __init__(
        self,
        primitive: Any,
        cache_key_fn: Callable[..., Any] | None = None,
        ttl_seconds: float | None = None,
        ttl: float | None = None,
    ) -> None:
        moved("CachePrimitive", _PATTERN, "tidyllm.cache.Cache")
        self.primitive = primitive
        self.cache_key_fn = cache_key_fn
        self.ttl_seconds = next((one for one in (ttl_seconds, ttl) if one is not None), 3600.0)
        self.hits = self.misses = 0
        self._kept: dict[Any, tuple[float, Any]] = {}

    async def execute(self, input_data: Any, context: Any) -> Any:
        """The kept answer, or a new one."""
        key = (
            repr(input_data) if self.cache_key_fn is None else _called(self.cache_key_fn, input_data, context)
        )
        now = clock.monotonic()
        kept = self._kept.get(key)
        if kept is not None and now - kept[0] < self.ttl_seconds:
            self.hits += 1
            return kept[1]
        self.misses += 1
        answer = await _run(self.primitive, input_data, context)
        self._kept[key] = (clock.monotonic(), answer)
        return answer

    def clear_cache(self) -> None:
        """Forget all answers."""
        self._kept.clear()

    def get_stats(self) -> dict[str, Any]:
        """Hits, misses, and the answers that are kept."""
        asked = self.hits + self.misses
        rate = 100 * self.hits / asked if asked else 0.0
        return {"size": len(self._kept), "hits": self.hits, "misses": self.misses, "hit_rate": rate}


@dataclass
class RetryStrategy:
    """`max_retries=n` is n + 1 attempts. The pause after attempt n (from 0) is `min(backoff_base ** n, max_backoff)`
    seconds, with `jitter` between half and one and a half of it."""

    max_retries: int = 3
    backoff_base: float = 2.0
    max_backoff: float = 60.0
    jitter: bool = True

    def calculate_delay(self, attempt: int) -> float:
        """Seconds to wait after `attempt`, the first one being 0."""
        pause = min(self.backoff_base**attempt, self.max_backoff)
        return pause * (0.5 + random.random()) if self.jitter else pause


class RetryPrimitive(WorkflowPrimitive):
    """Tries again after any error."""

    def __init__(  # noqa: PLR0917 - as it was
        self,
        primitive: Any,
        strategy: RetryStrategy | None = None,
        max_retries: int | None = None,
        max_attempts: int | None = None,
        backoff_base: float | None = None,
        max_backoff: float | None = None,
        jitter: bool | None = None,
    ) -> None:
        moved("RetryPrimitive", _PATTERN, "tidyllm.Retry")
        usual = strategy or RetryStrategy()
        retries = usual.max_retries if max_retries is None else max_retries
        self.primitive = primitive
        self.strategy = RetryStrategy(
            retries if max_attempts is None else max_attempts - 1,
            usual.backoff_base if backoff_base is None else backoff_base,
            usual.max_backoff if max_backoff is None else max_backoff,
            usual.jitter if jitter is None else jitter,
        )

    async def execute(self, input_data: Any, context: Any) -> Any:
        """The first answer; the error of the last attempt where there was none."""
        attempt = 0
        while True:
            try:
                return await _run(self.primitive, input_data, context)
            except Exception:
                if attempt >= self.strategy.max_retries:
                    raise
            await clock.sleep(self.strategy.calculate_delay(attempt))
            attempt += 1


class TimeoutPrimitive(WorkflowPrimitive):
    """At most `timeout_seconds`, then `fallback`, or `TimeoutError` where there is none."""

    def __init__(
        self, primitive: Any, timeout_seconds: float, fallback: Any = None, track_timeouts: bool = True
    ) -> None:
        moved("TimeoutPrimitive", _PATTERN, "tidyllm.Timeout")
        self.primitive = primitive
        self.timeout_seconds = timeout_seconds
        self.fallback = fallback
        self.track_timeouts = track_timeouts

        async def bounded(asked: tuple[Any, Any]) -> Any:
            return await _run(primitive, *asked)

        self._bounded = Timeout(bounded, total=timeout_seconds)

    async def execute(self, input_data: Any, context: Any) -> Any:
        """The answer in time. :raises TimeoutExceeded: there was none."""
        try:
            return await self._bounded((input_data, context))
        except TimeoutExceeded:
            if self.track_timeouts and isinstance(context, WorkflowContext):
                context.state["timeout_count"] = context.state.get("timeout_count", 0) + 1
            if self.fallback is None:
                raise
        return await _run(self.fallback, input_data, context)


class FallbackPrimitive(WorkflowPrimitive):
    """The next one after any error of the one before."""

    def __init__(self, primary: Any, fallback: Any = None, fallbacks: Sequence[Any] = ()) -> None:
        moved("FallbackPrimitive", _PATTERN, "tidyllm.Fallback")
        self.primary = primary
        self.fallbacks = [*(() if fallback is None else (fallback,)), *fallbacks]

    async def execute(self, input_data: Any, context: Any) -> Any:
        """The first answer; where all fail, the error of the last."""
        for one in (self.primary, *self.fallbacks)[:-1]:
            try:
                return await _run(one, input_data, context)
            except Exception:  # noqa: BLE001, S112 - any error, as it was
                continue
        return await _run((self.primary, *self.fallbacks)[-1], input_data, context)
