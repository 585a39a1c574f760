"""`tidyllm.dspy.lm(…)`: a `dspy.LM` whose calls are ours. It knows DSPy's arguments, not how calls go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import dspy

from tidyllm.config import Routes
from tidyllm.config.schema import CacheSettings, RetrySettings
from tidyllm.core import Step, as_step
from tidyllm.dspy.engine import AsyncEngine, Engine
from tidyllm.dspy.questions import OURS
from tidyllm.dspy.sampling import Sample, current
from tidyllm.dspy.source import Source, registered
from tidyllm.errors import ConfigError
from tidyllm.models.model_info import Ability

__all__ = ["LM", "lm"]


class LM(dspy.LM):
    """A `dspy.LM` on our engines. It adds two things to its base, because engines are not told them:

    calls say which sample of a question they are (`rollout_id`, `n`), and history says what an answer cost.
    Make one with `lm`.
    """

    def __call__(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        """As `dspy.LM`. `cache=False` keeps this call away from our caches; DSPy's own is never used."""
        token = current.set(self._sample(kwargs))
        try:
            theirs: Any = super()
            return theirs.__call__(prompt, messages=messages, **kwargs)
        finally:
            current.reset(token)

    async def acall(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        """As `__call__`."""
        token = current.set(self._sample(kwargs))
        try:
            theirs: Any = super()
            return await theirs.acall(prompt, messages=messages, **kwargs)
        finally:
            current.reset(token)

    def _sample(self, kwargs: dict[str, Any]) -> Sample:
        wanted = kwargs.get("cache")
        if wanted is not None:
            kwargs["cache"] = False  # DSPy's own cache would hide hits from the ledger
        rollout = kwargs.get("rollout_id", self.kwargs.get("rollout_id"))
        return Sample(rollout, uncached=wanted is False)

    def update_history(self, entry: dict[str, Any]) -> None:
        """Write what was billed into the entry: `cost` in dollars (None: unknown), exact in `cost_details`."""
        given = entry.get("response")
        responses = cast("tuple[Any, ...]", given if isinstance(given, tuple) else (given,))
        bills = [bill for one in responses if (bill := _bill(one)) is not None]
        if bills:
            costs = [bill["cost_usd"] for bill in bills]
            total = None if None in costs else sum(map(Decimal, costs), Decimal(0))
            entry["cost"] = None if total is None else float(total)
            entry["cost_details"] = {
                "kind": "unknown" if total is None else "billed",
                "currency": "USD",
                "usd": None if total is None else str(total),
                "candidates": bills,
            }
            entry["cache_hit"] = all(bill["cached"] for bill in bills)
        theirs: Any = super()
        theirs.update_history(entry)


def _bill(response: Any) -> dict[str, Any] | None:
    told = getattr(response, "provider_data", None)
    return cast("dict[str, Any]", told).get(OURS) if isinstance(told, dict) else None


def lm(
    model: str | Step[Any, Any] | Any,
    *,
    config: str | Path | Routes | Mapping[str, Step[Any, Any]] | None = None,
    base_url: str | None = None,
    api_key: str | None = None,
    num_retries: int | None = None,
    cache: bool | float | None = None,
    timeout: float | None = None,
    lenient: bool = False,
    abilities: Iterable[Ability] | None = None,
    name: str | None = None,
    **settings: Any,
) -> LM:
    """A `dspy.LM` whose calls go through tidyllm: `dspy.configure(lm=lm("fast"))`.

    - `model`: the name of a route in `tidyllm.yaml`, a model's name (`openai/gpt-5-mini`), the name of a registered
      step, a step (`Budgeted(Fallback(a, b), Budget(5))`), or a function from a `Request` to text.
    - `config`: the file of routes, or routes; default: `tidyllm.yaml` in the working folder.
    - `base_url`, `api_key` (`env:NAME`, `file:PATH` or the key itself), `num_retries` (n: at most n + 1 attempts; 2 by
      default), `cache` (True for an hour, or seconds; off by default), `timeout` (seconds for each attempt), `lenient`:
      of a model by name; routes and steps have their own.
    - `abilities`: what it can do (`tools`, `structured_output`, `reasoning`), where the catalogue does not know.
    - `name`: what to call a step in history and in saved programs, which then is registered.
    - `settings`: as for `dspy.LM`: `temperature`, `max_tokens`, `callbacks`, `model_type`, …

    DSPy's own retries are 0 and its cache is off, so that attempts, hits and dollars are counted once.

    :raises ConfigError: a name, a file or a key is missing, or an argument belongs to another kind of `model`.
    """
    source = _source(model, config, base_url, api_key, num_retries, cache, timeout, lenient, abilities, name)
    _ = source.step  # what is missing is said now
    return LM(
        source.name,
        cache=False,
        num_retries=0,
        engine=Engine(source),
        async_engine=AsyncEngine(source),
        **settings,
    )


def _source(  # noqa: PLR0917 - the arguments of `lm`
    model: Any,
    config: Any,
    base_url: str | None,
    api_key: str | None,
    num_retries: int | None,
    cache: bool | float | None,
    timeout: float | None,
    lenient: bool,
    abilities: Iterable[Ability] | None,
    name: str | None,
) -> Source:
    can = None if abilities is None else frozenset(abilities)
    own: dict[str, Any] = {
        "base_url": base_url,
        "api_key": api_key,
        "num_retries": num_retries,
        "timeout": timeout,
        "lenient": lenient or None,
    }
    own["cache"] = None if cache is False else cache
    said = [one for one, value in own.items() if value is not None]
    if not isinstance(model, str) or registered(model) is not None:
        if said:
            raise ConfigError(
                f"{', '.join(said)} cannot be given with a step.",
                hint="Wrap the step: Retry(step), AnswerCache(step).",
            )
        step = registered(model) if isinstance(model, str) else as_step(model)
        called = name or (model if isinstance(model, str) else _name(step))
        if name is not None:
            from tidyllm.dspy.source import register

            step = register(name, step)
        return Source(called, given=step, can=can)
    retry = None if num_retries is None else RetrySettings(attempts=_attempts(num_retries))
    routes = cast("Mapping[str, Step[Any, Any]]", config) if isinstance(config, Mapping) else None
    return Source(
        model,
        config=None if config is None or routes is not None else str(cast("str", config)),
        routes=routes,
        base_url=base_url,
        api_key=api_key,
        retry=retry,
        cache=_cache(cache),
        timeout=_seconds(timeout),
        lenient=lenient,
        can=can,
    )


def _name(step: Step[Any, Any] | None) -> str:
    called = "step" if step is None else step.name
    # DSPy reads the part in front of a slash as a provider; a name that ends in one it refuses.
    return called.strip("/") or "step"


def _attempts(num_retries: int) -> int:
    if isinstance(num_retries, bool) or not isinstance(num_retries, int) or not 0 <= num_retries < 100:  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
        raise ConfigError(f"{num_retries!r} is out of range; expected 0 to 99.", where="lm.num_retries")
    return num_retries + 1


def _cache(cache: bool | float | None) -> CacheSettings | None:
    if cache is None or cache is False:
        return None
    if cache is True:
        return CacheSettings()
    if not cache > 0:
        raise ConfigError(f"{cache!r} is out of range; expected True or seconds above 0.", where="lm.cache")
    return CacheSettings(ttl=float(cache))


def _seconds(timeout: float | None) -> float | None:
    if timeout is not None and not timeout > 0:
        raise ConfigError(f"{timeout!r} is out of range; expected seconds above 0.", where="lm.timeout")
    return timeout
