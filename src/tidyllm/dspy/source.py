"""What answers a language model's questions: a route, a model by name, or a step; and how another process finds it.

It knows names and settings, never a secret's value in what it saves.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit
from weakref import WeakValueDictionary

import msgspec

from tidyllm.config import Routes, load
from tidyllm.config.defaults import provider_from
from tidyllm.config.schema import (
    CacheSettings,
    ProviderSettings,
    RetrySettings,
    TimeoutSettings,
    is_reference,
)
from tidyllm.core import Step, as_step
from tidyllm.core.within import steps_within
from tidyllm.dspy.backends import Spec, alone, found
from tidyllm.errors import ConfigError
from tidyllm.models.model import Model
from tidyllm.models.model_info import Ability
from tidyllm.models.provider import KINDS

__all__ = ["Source", "register", "registered"]

FILE = "tidyllm.yaml"
_SECRET = re.compile(r"key|token|secret|password|signature|^sig$", re.IGNORECASE)
"""Names in an address behind which a secret stands."""
_registered: dict[str, Step[Any, Any]] = {}
_routes: dict[tuple[Path, int], Routes] = {}
_loaded: WeakValueDictionary[bytes, Source] = WeakValueDictionary()
"""Saved states that were read: both engines of a program, and its copies, share breakers and caches."""


def register(name: str, step: Any) -> Step[Any, Any]:
    """Let saved programs that name `name` find `step` here. A later one of that name takes its place."""
    _registered[name] = known = as_step(step)
    return known


def registered(name: str) -> Step[Any, Any] | None:
    """The step that was registered as `name`."""
    return _registered.get(name)


class Source:
    """How to come by a step.

    - `name`: of a route, of a model (`kind/model`), or of the step.
    - `config`: the file of the routes; None: `tidyllm.yaml` in the working folder, where there is one.
    - `routes`, `given`: routes or a step that are there already.
    - `base_url`, `api_key`, `retry`, `cache`, `timeout`, `lenient`: of a model by name alone; a route has its own.
    - `spec`: of a backend of the unified wrapper, in place of all these.
    - `can`: what it can do, where the catalogue does not know.
    """

    def __init__(
        self,
        name: str,
        *,
        config: str | None = None,
        routes: Mapping[str, Step[Any, Any]] | None = None,
        given: Step[Any, Any] | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        retry: RetrySettings | None = None,
        cache: CacheSettings | None = None,
        timeout: float | None = None,
        lenient: bool = False,
        can: frozenset[Ability] | None = None,
        saved: bool = False,
        spec: Spec | None = None,
    ) -> None:
        """:raises ConfigError: `base_url` holds a user, a password or a key."""
        self.name = name
        self.config = config
        self.base_url = _without_secrets(base_url)
        if spec is not None:
            _without_secrets(spec.base_url)
        self.retry = retry
        self.cache = cache
        self.timeout = timeout
        self.lenient = lenient
        self.can = can
        self._api_key = api_key
        self._given = given
        self._saved = saved
        self._spec = spec
        self._given_routes = routes

    @property
    def is_plain(self) -> bool:
        """Nothing was said that only a model by name can have."""
        own = (self.base_url, self._api_key, self.retry, self.cache, self.timeout)
        return not self.lenient and all(one is None for one in own)

    @cached_property
    def step(self) -> Step[Any, Any]:
        """:raises ConfigError: a name, a file or a key is missing."""
        if self._given is not None:
            return self._given
        if self._spec is not None:
            return found(self._spec)
        if self._saved:
            named = registered(self.name)
            if named is None:
                raise ConfigError(
                    f"the saved program asks the step {self.name!r}, which is not registered here.",
                    hint=f"Before the first call: tidyllm.dspy.register({self.name!r}, step).",
                )
            return named
        routes = self._found_routes() if self.is_plain else None
        if routes is not None and self.name in routes:
            return routes[self.name]
        if isinstance(routes, Routes) and _matches(routes, self.name):
            return routes[self.name]
        if "/" not in self.name:
            raise _no_route(self.name, routes, self.is_plain)
        return self._model()

    @cached_property
    def abilities(self) -> frozenset[Ability]:
        """What every target is known to be able to do; what is not known counts as not."""
        if self.can is not None:
            return self.can
        try:
            models = _models(self.step)
        except ConfigError:
            return frozenset()
        known = [frozenset[Ability]() if one.info is None else one.info.abilities for one in models]
        return frozenset[Ability]().union(*known[:1]).intersection(*known)

    def _found_routes(self) -> Mapping[str, Step[Any, Any]] | None:
        if self._given_routes is not None:
            return self._given_routes
        path = Path(self.config or FILE)
        if self.config is None and not path.exists():
            return None
        try:
            key = (path.resolve(), path.stat().st_mtime_ns)
        except OSError:
            return load(path)  # which says what is wrong
        if key not in _routes:
            _routes[key] = load(path)
        return _routes[key]

    def _model(self) -> Step[Any, Any]:
        """A route of its own: the same wrappers as one in a file."""
        kind, _, bare = self.name.partition("/")
        if kind not in KINDS or not bare:
            from tidyllm.models.factory import model

            model(self.name)  # which says what is wrong with it
        if self.base_url is not None or self._api_key is not None:
            at = ProviderSettings(
                kind=kind, base_url=self.base_url, api_key=self._api_key, lenient=self.lenient
            )
        else:
            at = msgspec.structs.replace(provider_from(kind, os.environ), lenient=self.lenient)
        patience = TimeoutSettings() if self.timeout is None else TimeoutSettings(total=self.timeout)
        retry = self.retry or RetrySettings()
        return alone(self.name, at, self.name, retry=retry, cache=self.cache, timeout=patience)

    # -- saving

    def dump(self) -> dict[str, Any]:
        """Names, addresses and where a key is found.

        :raises ConfigError: it is a step without a name, or routes that no file holds.
        """
        if self._given is not None and registered(self.name) is not self._given:
            raise ConfigError(
                f"the step {self.name!r} cannot be saved: no other process could find it.",
                hint="Give it a name: tidyllm.dspy.register('name', step), then lm('name').",
            )
        state: dict[str, Any] = {"name": self.name}
        if self._spec is not None:
            key = self._spec.api_key
            kept = key if key is not None and is_reference(key) else None
            state["spec"] = msgspec.to_builtins(msgspec.structs.replace(self._spec, api_key=kept))
            return state
        if self._given is not None or self._saved:
            state["step"] = True
        if self.config is not None:
            state["config"] = self.config
        if self.base_url is not None:
            state["base_url"] = self.base_url
        if self._api_key is not None and is_reference(self._api_key):
            state["api_key"] = self._api_key
        if self.retry is not None:
            state["retry"] = {"attempts": self.retry.attempts, "base": self.retry.base, "cap": self.retry.cap}
        if self.cache is not None:
            state["cache_ttl"] = self.cache.ttl
        if self.timeout is not None:
            state["timeout"] = self.timeout
        if self.lenient:
            state["lenient"] = True
        if self.can is not None:
            state["can"] = sorted(self.can)
        return state

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> Self:
        """The source of a saved state."""
        key = msgspec.json.encode(state, order="deterministic")
        known = _loaded.get(key)
        if not isinstance(known, cls):
            known = _loaded[key] = cls._read(state)
        return known

    @classmethod
    def _read(cls, state: Mapping[str, Any]) -> Self:
        if "spec" in state:
            return cls(state["name"], spec=msgspec.convert(state["spec"], Spec))
        retry, ttl, can = state.get("retry"), state.get("cache_ttl"), state.get("can")
        return cls(
            state["name"],
            config=state.get("config"),
            base_url=state.get("base_url"),
            api_key=state.get("api_key"),
            retry=None if retry is None else RetrySettings(**retry),
            cache=None if ttl is None else CacheSettings(ttl=ttl),
            timeout=state.get("timeout"),
            lenient=state.get("lenient", False),
            can=None if can is None else frozenset(can),
            saved=state.get("step", False),
        )


def _without_secrets(base_url: str | None) -> str | None:
    if base_url is None:
        return None
    try:
        parts = urlsplit(base_url)
    except ValueError:  # "http://[": who calls it will refuse it by name
        return base_url
    held = "a user or a password" if "@" in parts.netloc else None
    secret = next(
        (name for name in parse_qs(parts.query, keep_blank_values=True) if _SECRET.search(name)), None
    )
    held = held or (None if secret is None else f"{secret!r}")
    if held is not None:
        raise ConfigError(
            f"base_url holds {held}, which would be saved with every program.",
            where="base_url",
            hint="Give the key as api_key='env:NAME'.",
        )
    return base_url


def _matches(routes: Routes, name: str) -> bool:
    """Whether a pattern of the routes makes a route of this name."""
    try:
        routes.find(name)
    except Exception:  # noqa: BLE001 - any reason is the same here: it is no route
        return False
    return True


def _no_route(name: str, routes: Mapping[str, Any] | None, plain: bool) -> ConfigError:
    if not plain:
        return ConfigError(
            f"{name!r} is a route's name, and more was given with it.",
            hint="Write retries, cache and address into the route, or name a model: 'kind/model'.",
        )
    if routes is None:
        return ConfigError(
            f"there is no {FILE} in {Path.cwd()}, so there is no route {name!r}.",
            hint="Give lm() config='path', or name a model: 'kind/model'.",
        )
    known = ", ".join(list(routes)[:8])
    return ConfigError(
        f"there is no route {name!r}.", hint=f"There are {known}." if known else "There are none."
    )


def _models(step: Step[Any, Any]) -> list[Model]:
    """The models inside a step, in order."""
    return [one for one in steps_within(step) if isinstance(one, Model)]
