"""Building the named routes: the one place where models and wrappers are put together.

Each target is `Retry(CircuitBreaker(Timeout(model)))`, all targets stand under one `Fallback`, and the whole under one
deadline. The library, the command line and the gateway use these same steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec

from tidyllm.config.read import read, secret
from tidyllm.config.schema import ModelSettings, ProviderSettings, Settings
from tidyllm.core import Step
from tidyllm.errors import ConfigError, ModelNotFound
from tidyllm.models.catalog import Catalog
from tidyllm.models.factory import build
from tidyllm.models.http import Transport
from tidyllm.models.model import Model
from tidyllm.models.provider import Provider, provider
from tidyllm.models.request import RequestLike
from tidyllm.models.response import Response
from tidyllm.resilience import CircuitBreaker, Fallback, Limit, Retry, Timeout

__all__ = ["Route", "Routes", "load"]

_KEPT = 1_000
"""How many routes made from a pattern are kept: callers choose those names, and memory must not grow with them."""


class Route(msgspec.Struct, frozen=True, eq=False):
    """A named way to an answer."""

    name: str
    step: Step[RequestLike, Response]
    targets: tuple[Model, ...]
    """In the order in which they are tried."""


class Routes(Mapping[str, Step[RequestLike, Response]]):
    """The routes of a configuration by name: `routes["fast"]` is a step.

    Only names that were written out are listed; names that match a pattern (`openai/*`) are built when first asked for.
    """

    def __init__(self, settings: Settings, *, transport: Transport | None = None) -> None:
        """:raises ConfigError: a secret is missing."""
        self.settings = settings
        self._transport = transport
        self._catalog = Catalog.default().with_(settings.catalog) if settings.catalog else Catalog.default()
        self.providers: dict[str, Provider] = {
            name: _provider(name, one) for name, one in settings.providers.items()
        }
        self._routes = {
            name: self._build(name, one, "") for name, one in settings.models.items() if "*" not in name
        }
        self._patterns = sorted(
            ((name, one) for name, one in settings.models.items() if "*" in name),
            key=lambda pair: -len(pair[0]),
        )
        self._matched: dict[str, Route] = {}

    def __getitem__(self, name: str) -> Step[RequestLike, Response]:
        """:raises KeyError: there is no such route, with near names in its text."""
        try:
            return self.find(name).step
        except ModelNotFound as error:
            raise KeyError(str(error)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._routes)

    def __len__(self) -> int:
        return len(self._routes)

    def find(self, name: str) -> Route:
        """The route called `name`.

        :raises ModelNotFound: there is none; the message names near ones.
        """
        route = self._routes.get(name) or self._matched.get(name)
        if route is not None:
            return route
        for pattern, settings in self._patterns:
            before, _, after = pattern.partition("*")
            if name.startswith(before) and name.endswith(after) and len(name) > len(before) + len(after):
                route = self._build(name, settings, name[len(before) : len(name) - len(after)])
                if len(self._matched) >= _KEPT:
                    self._matched.pop(next(iter(self._matched)))
                self._matched[name] = route
                return route
        known = [*self._routes, *(pattern for pattern, _ in self._patterns)]
        near = get_close_matches(name, known, 3, 0.5) or known[:8]
        raise ModelNotFound(
            f"there is no model {name!r} here.",
            field="model",
            hint=f"Near ones are {', '.join(near)}." if near else "No models are configured.",
        )

    def routes(self) -> tuple[Route, ...]:
        """Every route that was written out."""
        return tuple(self._routes.values())

    @property
    def patterns(self) -> tuple[str, ...]:
        """Names with a `*`, the longest first."""
        return tuple(pattern for pattern, _ in self._patterns)

    def _build(self, name: str, settings: ModelSettings, matched: str) -> Route:
        models: list[Model] = []
        steps: list[Step[Any, Any]] = []
        for target in settings.route:
            service_name, _, bare = target.partition("/")
            bare = bare.replace("*", matched)
            one = build(
                bare,
                self.providers[service_name],
                lenient=self.settings.providers[service_name].lenient,
                transport=self._transport,
                catalog=self._catalog,
            )
            models.append(one)
            steps.append(_guarded(one, settings))
        whole: Step[Any, Any] = steps[0] if len(steps) == 1 else Fallback(*steps)
        if settings.limit is not None:
            limit = settings.limit
            whole = Limit(
                whole,
                concurrency=limit.concurrency,
                rate=limit.rate,
                burst=limit.burst,
                max_wait=limit.max_wait,
                name=name,
            )
        if settings.deadline is not None:
            whole = Timeout(whole, total=settings.deadline)
        return Route(name, whole.named(name), tuple(models))


def load(path: str | Path = "tidyllm.yaml", *, env: str | None = None) -> Routes:
    """The routes of a configuration file.

    >>> routes = tidyllm.load("tidyllm.yaml")           # doctest: +SKIP
    >>> routes["fast"].run_sync("Say hello.").text      # doctest: +SKIP

    `env="staging"` lays `tidyllm.staging.yaml` over it.

    :raises ConfigError: a file is missing or wrong (every problem is named), or a secret is not there.
    """
    return Routes(read(path, env=env))


def _guarded(model: Model, settings: ModelSettings) -> Step[Any, Any]:
    timeout, breaker, retry = settings.timeout, settings.breaker, settings.retry
    return Retry(
        CircuitBreaker(
            Timeout(model, total=timeout.total, first_piece=timeout.first_piece, gap=timeout.gap),
            failures=breaker.failures,
            window=breaker.window,
            cooldown=breaker.cooldown,
            name=model.name,
        ),
        attempts=retry.attempts,
        base=retry.base,
        cap=retry.cap,
    )


def _provider(name: str, settings: ProviderSettings) -> Provider:
    where = f"providers.{name}.api_key"
    key = None if settings.api_key is None else secret(settings.api_key, where=where)
    try:
        return provider(
            settings.kind,
            name=name,
            base_url=settings.base_url,
            api_key=key,
            headers=settings.headers,
            formats=settings.formats,
        )
    except ConfigError as error:
        raise ConfigError(error.message, where=f"providers.{name}", hint=error.hint) from None
