"""Building the named routes: the one place where models and wrappers are put together.

Each target is `Retry(CircuitBreaker(Timeout(model)))`, all targets stand under one `Fallback`, and the whole under one
deadline. The library, the command line and the gateway use these same steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tidyllm.config.marks import marks
from tidyllm.config.providers import provider_of
from tidyllm.config.read import read
from tidyllm.config.schema import (
    BreakerSettings,
    CacheSettings,
    ExperimentSettings,
    ModelSettings,
    Settings,
)
from tidyllm.config.stores import Stores
from tidyllm.config.ways import chosen, compared, experiment
from tidyllm.core import Context, Step
from tidyllm.core.tags import KEY_TAG, TEAM_TAG
from tidyllm.errors import ConfigError, ModelNotFound
from tidyllm.models.catalog import Catalog
from tidyllm.models.factory import build, known_at
from tidyllm.models.http import Transport
from tidyllm.models.model import Model
from tidyllm.models.provider import Provider
from tidyllm.models.request import RequestLike
from tidyllm.models.response import Response
from tidyllm.resilience import Breakers, CircuitBreaker, Fallback, Limit, Limiter, Retry, Timeout

if TYPE_CHECKING:
    from tidyllm.routing import Experiment

__all__ = ["Route", "Routes", "load"]

_KEPT = 1_000
"""How many routes made from a pattern are kept: callers choose those names, and memory must not grow with them."""
_SHOWN = 8
"""Names in the `repr` of routes."""
_PATIENCE = 60.0
"""Seconds of the longest pause that a provider may ask for: the windows of rate limits are a minute long."""
_PATIENCE_BESIDE_ANOTHER = 1.0
"""The same where another target follows, which has nothing to do meanwhile."""
_LONGEST_NAME = 200
"""Characters of a name that a caller asks for; no model has a longer one, and near names cost time."""


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

    def __init__(
        self,
        settings: Settings,
        *,
        transport: Transport | None = None,
        earlier: Routes | None = None,
        stores: Stores | None = None,
        only_shown: bool = False,
    ) -> None:
        """`stores`: where answers are kept and money is counted; default: those of `earlier`, else their own.
        `earlier`: the routes that these replace. Circuit breakers and limits that did not change go on as they are.
        `only_shown`: nobody will call them, so no secret need be there.

        :raises ConfigError: a secret is missing.
        """
        self.settings = settings
        self._only_shown = only_shown
        self._earlier = earlier
        self._transport = transport
        self._catalog = Catalog.default().with_(settings.catalog) if settings.catalog else Catalog.default()
        self._own = frozenset(settings.catalog)
        self._breakers = Breakers(None if earlier is None else earlier._breakers)
        self.stores = stores or (Stores(settings) if earlier is None else earlier.stores)
        self._limiters: dict[str, Limiter] = {} if earlier is None else earlier._limiters_for(settings)
        self.providers: dict[str, Provider] = {
            name: provider_of(name, one, only_shown=only_shown) for name, one in settings.providers.items()
        }
        self.experiments: dict[str, Experiment] = {}
        """Those of routes with `ab`, by the name of the route."""
        written = {name: one for name, one in settings.models.items() if "*" not in name}
        # Those that lead to others come last, in whatever order they are written.
        self._routes: dict[str, Route] = {}
        for name, one in sorted(written.items(), key=lambda pair: (pair[1].choose or pair[1].ab) is not None):
            self._routes[name] = self._build(name, name, one, "")
        self._routes = {name: self._routes[name] for name in written}
        self._patterns = sorted(
            ((name, one) for name, one in settings.models.items() if "*" in name),
            key=lambda pair: -len(pair[0]),
        )
        self._matched: dict[str, Route] = {}
        self._earlier = None  # nor all that came before it

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

    def __repr__(self) -> str:
        names = [*self, *self.patterns]
        more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return f"<Routes: {', '.join(names[:_SHOWN]) or 'none'}{more}>"

    def find(self, name: str) -> Route:
        """The route called `name`.

        :raises ModelNotFound: there is none; the message names near ones.
        """
        route = self._routes.get(name) or self._matched.get(name)
        if route is not None:
            return route
        # A name with a `*` is a pattern itself, and no model's.
        for pattern, settings in self._patterns if len(name) <= _LONGEST_NAME and "*" not in name else ():
            before, _, after = pattern.partition("*")
            if name.startswith(before) and name.endswith(after) and len(name) > len(before) + len(after):
                route = self._build(name, pattern, settings, name[len(before) : len(name) - len(after)])
                if len(self._matched) >= _KEPT:
                    self._matched.pop(next(iter(self._matched)), None)
                self._matched[name] = route
                return route
        known = [*self._routes, *self.patterns]
        near = get_close_matches(name[:_LONGEST_NAME], known, 3, 0.5) or known[:8]
        shown = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
        raise ModelNotFound(
            f"there is no model {shown!r} here.",
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

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names that can be called: those that were written out, then those of patterns as far as they are known.

        Of a pattern (`openai/*`) the models in the catalogue, where the provider is the one that it speaks of. A
        pattern that leads to a server of one's own takes names that nobody knows here, and one that leads any name to
        the same model has too many: they add nothing.
        """
        names = dict.fromkeys(self._routes)
        for pattern, settings in self._patterns:
            for target in settings.route:
                service, _, bare = target.partition("/")
                before, star, after = bare.partition("*")
                for known in known_at(self.providers[service], self._catalog, self._own) if star else ():
                    if known.startswith(before) and known.endswith(after) and len(known) > len(bare) - 1:
                        names[pattern.replace("*", known[len(before) : len(known) - len(after)])] = None
        return tuple(names)

    def _build(self, name: str, rule: str, settings: ModelSettings, matched: str) -> Route:
        """The route `name` by the settings that stand under `rule`, which may be a pattern."""
        models: list[Model] = []
        steps: list[Step[Any, Any]] = []
        for place, target in enumerate(settings.route):
            service_name, _, bare = target.partition("/")
            given = self.settings.providers[service_name]
            one = build(
                asked := bare.replace("*", matched),
                self.providers[service_name],
                lenient=given.lenient,
                transport=self._transport,
                catalog=self._catalog,
                own=self._own,
                touch=marks(settings.prompt_cache or given.prompt_cache, asked),
            )
            models.append(one)
            steps.append(self._guarded(one, rule, settings, followed=place < len(settings.route) - 1))
        if settings.choose is not None:
            whole = chosen(settings.choose, self._routes, self.settings.providers)
            models = [model for one in settings.choose.among for model in self._routes[one].targets]
        else:
            whole = steps[0] if len(steps) == 1 else Fallback(*steps)
        if settings.limit is not None:
            whole = Limit(whole, limiter=self._limiter(rule, settings), max_wait=settings.limit.max_wait)
        if settings.deadline is not None:
            whole = Timeout(whole, total=settings.deadline, setting="deadline")
        if settings.cache is not None and not self._only_shown:
            whole = self._cached(whole, settings.cache, rule)
        if settings.ab is not None:
            test = self._experiment(name, settings.ab)
            whole = compared(whole, test, self._routes)
            models += [
                model
                for arm in test.settings.arms
                if arm != test.control
                for model in self._routes[arm].targets
            ]
        return Route(name, whole.named(name), tuple(models))

    def _experiment(self, name: str, settings: ExperimentSettings) -> Experiment:
        """One that has not changed goes on with the arms that were stopped."""
        new = experiment(settings)
        before = None if self._earlier is None else self._earlier.experiments.get(name)
        if before is not None and before.settings == new.settings:
            new = before
        self.experiments[name] = new
        return new

    def _cached(self, step: Step[Any, Any], settings: CacheSettings, rule: str) -> Step[Any, Any]:
        from tidyllm.cache import AnswerCache

        return AnswerCache(
            step,
            settings.ttl,
            store=self.stores.cache(settings, where=f"models.{rule}.cache"),
            vary=settings.vary,
            tenant=_TENANTS[settings.share],
        )

    def _guarded(self, model: Model, rule: str, settings: ModelSettings, *, followed: bool) -> Step[Any, Any]:
        timeout, retry = settings.timeout, settings.retry
        step: Step[Any, Any] = model
        if not timeout.total is timeout.first_piece is timeout.gap is None:
            step = Timeout(step, total=timeout.total, first_piece=timeout.first_piece, gap=timeout.gap)
        if settings.breaker is not None:
            name = self._breaker_name(model.name, rule, settings.breaker)
            given = msgspec.structs.asdict(settings.breaker)
            step = CircuitBreaker(step, **given, name=name, breakers=self._breakers)
        longest = retry.longest_wait
        if longest is None:
            longest = _PATIENCE_BESIDE_ANOTHER if followed else _PATIENCE
        return Retry(step, **retry.options(), longest_wait=longest)

    def _breaker_name(self, target: str, rule: str, settings: BreakerSettings) -> str:
        """The target's name: every route that leads there shares what it learns of it.

        A route whose settings differ from those of the first one has a breaker of its own: it cannot share a count that
        it would judge otherwise.
        """
        for other in self._breakers:
            if other.name == target and other.settings != (
                settings.failures,
                settings.window,
                settings.cooldown,
            ):
                return f"{target} ({rule})"
        return target

    def _limiter(self, rule: str, settings: ModelSettings) -> Limiter:
        """One for each rule: all names that match a pattern share its limit."""
        limiter = self._limiters.get(rule)
        if limiter is None:
            limit = settings.limit
            assert limit is not None
            limiter = Limiter(concurrency=limit.concurrency, rate=limit.rate, burst=limit.burst, name=rule)
            self._limiters[rule] = limiter
        return limiter

    def _limiters_for(self, settings: Settings) -> dict[str, Limiter]:
        """The limiters that new settings keep."""
        before, after = self.settings.models, settings.models
        return {
            rule: limiter
            for rule, limiter in self._limiters.copy().items()  # the loop may add some meanwhile
            if rule in after and after[rule].limit == before[rule].limit
        }


def _tenant(*tags: str) -> Callable[[Context], str]:
    """Who may have whose answers: the value of the first of these tags that a run has."""

    def tenant(ctx: Context) -> str:
        return next((f"{tag}={value}" for tag in tags if (value := ctx.tags.get(tag))), "")

    return tenant


_TENANTS = {"key": _tenant(KEY_TAG), "team": _tenant(TEAM_TAG, KEY_TAG), "all": _tenant()}


def load(path: str | Path = "tidyllm.yaml", *, env: str | None = None) -> Routes:
    """The routes of a configuration file.

    >>> routes = tidyllm.load("tidyllm.yaml")           # doctest: +SKIP
    >>> routes["fast"].run_sync("Say hello.").text      # doctest: +SKIP

    `env="staging"` lays `tidyllm.staging.yaml` over it.

    :raises ConfigError: a file is missing or wrong (every problem is named), or a secret is not there.
    """
    path = Path(path)
    if not path.exists():
        where = "" if path.is_absolute() else f" in {Path.cwd()}"
        raise ConfigError(
            f"there is no file {path}{where}.",
            hint="Give load() its path; for a model without any file there is tidyllm.model('openai/gpt-5-mini').",
        )
    return Routes(read(path, env=env))
