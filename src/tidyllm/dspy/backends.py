"""Backends of the unified wrapper: from what was said to a route. They know settings; the parts are put together there.

Gateway, Bedrock, a provider itself, or the simulated model: each is a `Settings` with one provider and one model.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tidyllm.config import Routes, Settings, load
from tidyllm.config.defaults import found_in_environment, provider_from
from tidyllm.config.schema import (
    BreakerSettings,
    CacheSettings,
    ModelSettings,
    ProviderSettings,
    RetrySettings,
    is_reference,
)
from tidyllm.core import Step
from tidyllm.errors import ConfigError
from tidyllm.models.provider import KINDS

__all__ = ["GATEWAY_KEY", "GATEWAY_URL", "Pauses", "Spec", "alone", "found"]

GATEWAY_URL = "TIDYLLM_GATEWAY_URL"
"""The variable that says where the gateway is; default: this machine's, at its own port."""
GATEWAY_KEY = "TIDYLLM_GATEWAY_KEY"
"""The variable that holds a key of it."""
_HERE = "http://127.0.0.1:8400/v1"
_FILE = "tidyllm.yaml"
_OFFLINE = "offline/simulated"


class Pauses(RetrySettings, frozen=True):
    """Retries as a wrapper of DSPy's can ask for them; a file knows no `multiplier` and no `jitter`."""

    multiplier: float = 2.0
    jitter: bool = True

    def options(self) -> dict[str, Any]:
        """As `Retry` takes them."""
        return {**super().options(), "multiplier": self.multiplier, "jitter": self.jitter}


class Spec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a step is made of. Saved with a program, but for `api_key` where that is no reference."""

    backend: str = "auto"
    route: str | None = None
    model: str | None = None
    base_url: str | None = None
    api_key: str | None = None
    region: str | None = None
    regions: tuple[str, ...] = ()
    residency: tuple[str, ...] = ()
    profile: str | None = None
    config: str | None = None
    retry: Pauses | None = None
    cache: CacheSettings | None = None

    def __rich_repr__(self) -> list[tuple[str, object]]:
        shown = {name: getattr(self, name) for name in self.__struct_fields__}
        if self.api_key is not None and not is_reference(self.api_key):
            shown["api_key"] = "(hidden)"
        return list(shown.items())

    def __repr__(self) -> str:
        return f"Spec({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    @property
    def name(self) -> str:
        """What history calls it."""
        wanted = self.route or self.model
        return (wanted or self.backend).strip("/") or self.backend


def found(spec: Spec) -> Step[Any, Any]:
    """The step.

    :raises ConfigError: a name, a key or a part is missing.
    """
    return _BACKENDS[spec.backend](spec)


def alone(target: str, settings: ProviderSettings, name: str, **more: Any) -> Step[Any, Any]:
    """A route called `name` to the one model `service/model`; `more`: of its `ModelSettings`.

    It has no circuit breaker: there is no other target to go to, and whoever says `max_retries=n` has n + 1 attempts of
    every call, however many failed before.
    """
    way = ModelSettings(route=(target,), breaker=None, **more)
    return Routes(Settings(providers={target.partition("/")[0]: settings}, models={name: way}))[name]


def _routed(spec: Spec, settings: ProviderSettings, service: str, model: str) -> Step[Any, Any]:
    retry = spec.retry or RetrySettings()
    return alone(f"{service}/{model}", settings, model, retry=retry, cache=spec.cache)


def _patient(way: ModelSettings, retry: RetrySettings) -> BreakerSettings | None:
    """The breaker of a route whose attempts are said elsewhere: a call makes them all before it opens.

    Where no other target follows, and the file says nothing of a breaker, there is none.
    """
    if way.breaker is None or (len(way.route) == 1 and way.breaker == BreakerSettings()):
        return None
    return msgspec.structs.replace(way.breaker, failures=max(way.breaker.failures, retry.attempts))


def _gateway(spec: Spec) -> Step[Any, Any]:
    name = spec.route or spec.model
    if name is None:
        raise ConfigError(
            "the backend 'gateway' needs a route.",
            where="UnifiedConfig.route",
            hint="Name one of its models.",
        )
    url = spec.base_url or os.environ.get(GATEWAY_URL, "").strip() or _HERE
    key = spec.api_key or (f"env:{GATEWAY_KEY}" if os.environ.get(GATEWAY_KEY, "").strip() else None)
    if spec.retry is None:
        # The gateway tries again itself: attempts here would multiply with its own.
        spec = msgspec.structs.replace(spec, retry=Pauses(attempts=1))
    return _routed(spec, ProviderSettings(kind="openai", base_url=url, api_key=key), "gateway", name)


def _bedrock(spec: Spec) -> Step[Any, Any]:
    model = spec.model or spec.route
    if model is None:
        raise ConfigError(
            "the backend 'bedrock' needs a model.",
            where="UnifiedConfig.model",
            hint="Name a model id of Bedrock.",
        )
    regions = tuple(dict.fromkeys((*((spec.region,) if spec.region else ()), *spec.regions)))
    settings = ProviderSettings(
        kind="bedrock",
        base_url=spec.base_url,
        api_key=spec.api_key,
        regions=regions,
        residency=spec.residency,
        profile=spec.profile,
    )
    return _routed(spec, settings, "bedrock", model.removeprefix("bedrock/"))


def _direct(spec: Spec) -> Step[Any, Any]:
    name = spec.model or spec.route or ""
    kind, _, bare = name.partition("/")
    if kind not in KINDS or not bare:
        raise ConfigError(
            f"{name!r} does not say who serves the model." if name else "the backend 'direct' needs a model.",
            where="UnifiedConfig.model",
            hint="Write it as kind/model, such as 'openai/gpt-5-mini'.",
        )
    if spec.base_url is None and spec.api_key is None:
        settings = provider_from(kind, os.environ)
    else:
        settings = ProviderSettings(kind=kind, base_url=spec.base_url, api_key=spec.api_key)
    return _routed(spec, settings, kind, bare)


def _offline(spec: Spec) -> Step[Any, Any]:
    model = spec.model or _OFFLINE
    bare = model.removeprefix("offline/") if model.startswith("offline/") else "simulated"
    return _routed(spec, ProviderSettings(kind="offline"), "offline", bare)


def _auto(spec: Spec) -> Step[Any, Any]:
    """A route of the file; the gateway that the environment names; the model's own provider; what has a key."""
    routes = _file(spec)
    name = spec.route or spec.model
    if routes is not None and (name is None or name in routes):
        return _of_file(spec, routes, name)
    if routes is not None and spec.route is not None and "/" not in spec.route and not _has_gateway():
        known = ", ".join(list(routes)[:8])
        raise ConfigError(
            f"there is no route {spec.route!r}.",
            where="UnifiedConfig.route",
            hint=f"There are {known}." if known else "There are none.",
        )
    if _has_gateway() and name is not None:
        return _gateway(spec)
    if name is not None:
        return _direct(spec)
    settings = found_in_environment(os.environ, ollama=False)
    kind = next(iter(settings.providers))
    if kind == "offline":
        warnings.warn(
            "tidyllm.dspy: no model is configured (no model=, route=, tidyllm.yaml, key or dspy.configure), so that"
            " answers are simulated. Say backend='offline' to mean that.",
            UserWarning,
            stacklevel=2,
        )
        return _offline(spec)
    raise ConfigError(
        f"{kind} has a key here, but no model is named.",
        where="UnifiedConfig.model",
        hint=f"Name one: UnifiedConfig(model='{kind}/…').",
    )


def _has_gateway() -> bool:
    return bool(os.environ.get(GATEWAY_URL, "").strip())


def _file(spec: Spec) -> Routes | None:
    path = Path(spec.config or _FILE)
    return load(path) if spec.config is not None or path.exists() else None


def _of_file(spec: Spec, routes: Routes, name: str | None) -> Step[Any, Any]:
    """A route as its file has it; with retries or a cache of the wrapper's where those are said."""
    chosen = name or next(iter(routes), None)
    if chosen is None:
        raise ConfigError("the file of routes has none.", where="UnifiedConfig.route")
    if spec.retry is None and spec.cache is None:
        return routes[chosen]
    settings = routes.settings
    way = settings.models.get(chosen)
    if way is None:
        raise ConfigError(
            f"retries and a cache cannot be laid over {chosen!r}, which a pattern makes.",
            where="UnifiedConfig.route",
            hint="Write it out in the file.",
        )
    retry = spec.retry or way.retry
    breaker = way.breaker if spec.retry is None else _patient(way, retry)
    way = msgspec.structs.replace(way, retry=retry, breaker=breaker, cache=spec.cache or way.cache)
    models = {**settings.models, chosen: way}
    return Routes(msgspec.structs.replace(settings, models=models), stores=routes.stores)[chosen]


_BACKENDS: Mapping[str, Any] = {
    "auto": _auto,
    "gateway": _gateway,
    "bedrock": _bedrock,
    "direct": _direct,
    "offline": _offline,
}
