"""What a `UnifiedDSPyWrapper` is told, as data. These names live only here; routes in `tidyllm.yaml` have their own.

Times are seconds. Nothing is looked up before the first call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias

import msgspec

from tidyllm.config.schema import CacheSettings
from tidyllm.core import Budget
from tidyllm.dspy.backends import Pauses
from tidyllm.errors import ConfigError

__all__ = ["BACKENDS", "Backend", "CacheConfig", "RetryConfig", "UnifiedConfig", "ValidationConfig"]

Backend: TypeAlias = Literal["auto", "gateway", "bedrock", "direct", "offline"]
BACKENDS: tuple[str, ...] = ("auto", "gateway", "bedrock", "direct", "offline")


class RetryConfig(msgspec.Struct, frozen=True):
    """How often a failed call is made again: `max_retries=n` is n + 1 attempts.

    - `initial_delay`: the most seconds before the second attempt; `max_delay`: before any. The defaults are those of
      the wrappers that this one takes the place of; routes of ours wait less.
    - `multiplier`: by which that grows with each attempt; 1 keeps it at `initial_delay`.
    - `jitter`: pauses are drawn evenly from 0 to that bound, so that callers do not come back together; False waits
      just that long.

    No circuit breaker stands before a model that is named alone: every call makes its attempts, as DSPy's own do. A
    route of a file keeps the breaker that its file gives it.

    :raises ConfigError: a number is out of range.
    """

    max_retries: int = 3
    initial_delay: float = 1.0
    max_delay: float = 60.0
    multiplier: float = 2.0
    jitter: bool = True

    def __post_init__(self) -> None:
        _whole("RetryConfig.max_retries", self.max_retries, 0, 99)
        _number("RetryConfig.initial_delay", self.initial_delay, 0.0)
        _number("RetryConfig.max_delay", self.max_delay, 0.0)
        _number("RetryConfig.multiplier", self.multiplier, 1.0)

    def settings(self) -> Pauses:
        """The same as settings of a route."""
        return Pauses(
            attempts=self.max_retries + 1,
            base=float(self.initial_delay),
            cap=float(self.max_delay),
            multiplier=float(self.multiplier),
            jitter=bool(self.jitter),
        )


class CacheConfig(msgspec.Struct, frozen=True):
    """Equal questions are answered once: for `ttl_seconds` seconds, or not at all where `enabled` is false.

    :raises ConfigError: `ttl_seconds` is out of range.
    """

    enabled: bool = True
    ttl_seconds: float = 3600.0

    def __post_init__(self) -> None:
        _number("CacheConfig.ttl_seconds", self.ttl_seconds, 0.0, above=True)

    def settings(self) -> CacheSettings | None:
        """The same as settings of a route; None for none."""
        return CacheSettings(ttl=float(self.ttl_seconds)) if self.enabled else None


class ValidationConfig(msgspec.Struct, frozen=True):
    """What an answer must be like. Where it is not, the model is asked once more and told what was wrong.

    - `min_length`, `max_length`: characters of the answer's text; by default it must not be empty.
    - `keywords`: words that must stand in it, whatever their case.
    - `check`: a function of the text: True or None is well; False, a text that says what is wrong, or a `ValueError`
      is not.
    - `fields`: the outputs that are looked at; default: all of them but `reasoning`.
    - `retries`: how often it is asked again.

    :raises ConfigError: a number is out of range.
    """

    min_length: int | None = 1
    max_length: int | None = None
    keywords: Sequence[str] = ()
    check: Callable[[str], Any] | None = None
    fields: Sequence[str] = ()
    retries: int = 1

    def __post_init__(self) -> None:
        for name in ("min_length", "max_length"):
            if getattr(self, name) is not None:
                _whole(f"ValidationConfig.{name}", getattr(self, name), 0)
        _whole("ValidationConfig.retries", self.retries, 0, 10)
        if self.min_length is not None and self.max_length is not None and self.min_length > self.max_length:
            raise ConfigError(
                f"min_length {self.min_length} is more than max_length {self.max_length}.",
                where="ValidationConfig",
            )
        for name in ("keywords", "fields"):
            if isinstance(getattr(self, name), str):
                raise ConfigError("is text; expected a list of texts.", where=f"ValidationConfig.{name}")


class UnifiedConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where a program's models are, and how they are called.

    - `backend`: `gateway` (our server, or any that speaks OpenAI's format), `bedrock`, `direct` (the provider that a
      model's name begins with), `offline` (simulated answers), or `auto`: what the program and the environment offer.
    - `route`: a route's name, here or at the gateway; `model`: a model's name.
    - `retry`, `cache`, `validation`: None: those of the route, no cache, no validation.
    - `base_url`, `api_key` (`env:NAME`, `file:PATH` or the key): of the gateway, Bedrock, or a direct
      model.
    - `region`, `regions` (others, where that one throttles), `residency` (places that data must not leave), `profile`:
      of Bedrock.
    - `config`: the file of routes; default: `tidyllm.yaml` in the working folder.
    - `budget`: a cap on what everything made by the wrapper may spend.
    - `temperature`, `max_tokens`: for every call; None: the model's own.
    - `retriever`: a function of a query and a number, for `retrieve`.

    :raises ConfigError: `backend` is none of these, or what was given is of another kind.
    """

    retry: RetryConfig | None = None
    cache: CacheConfig | None = None
    validation: ValidationConfig | None = None
    backend: Backend = "auto"
    route: str | None = None
    model: str | None = None
    base_url: str | None = None
    api_key: str | None = None
    region: str | None = None
    regions: Sequence[str] = ()
    residency: Sequence[str] = ()
    profile: str | None = None
    config: str | None = None
    budget: Budget | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    retriever: Callable[[str, int], Sequence[Any]] | None = None

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            near = get_close_matches(str(self.backend), BACKENDS, 1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(BACKENDS)}."
            raise ConfigError(
                f"there is no backend {self.backend!r}.", where="UnifiedConfig.backend", hint=hint
            )
        for name, kind in (("retry", RetryConfig), ("cache", CacheConfig), ("validation", ValidationConfig)):
            given = getattr(self, name)
            if given is not None and not isinstance(given, kind):
                raise ConfigError(
                    f"got a {type(given).__name__}, expected a {kind.__name__}.",
                    where=f"UnifiedConfig.{name}",
                )
        for name in ("regions", "residency"):
            if isinstance(getattr(self, name), str):
                raise ConfigError("is text; expected a list of texts.", where=f"UnifiedConfig.{name}")

    def __repr__(self) -> str:
        shown = {
            name: getattr(self, name)
            for name in self.__struct_fields__
            if getattr(self, name) not in (None, ())
        }
        if "api_key" in shown:
            shown["api_key"] = "(hidden)"
        return f"UnifiedConfig({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def _whole(where: str, value: object, least: int, most: int | None = None) -> None:
    fits = isinstance(value, int) and not isinstance(value, bool) and value >= least
    if not fits or (most is not None and isinstance(value, int) and value > most):
        bound = f"{least} or more" if most is None else f"{least} to {most}"
        raise ConfigError(f"{value!r} is out of range; expected a whole number, {bound}.", where=where)


def _number(where: str, value: object, least: float, *, above: bool = False) -> None:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if math.isfinite(number) and (number > least or (number == least and not above)):
        return
    bound = f"above {least:g}" if above else f"of {least:g} or more"
    raise ConfigError(f"{value!r} is out of range; expected a number {bound}.", where=where)
