"""What the values of a configuration must fulfil together. Pure: it touches no network, no secret and no file."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any, get_args

from tidyllm.config.problem import Problem, Where, did_you_mean
from tidyllm.config.schema import (
    ChoiceSettings,
    LimitSettings,
    ModelSettings,
    ProviderSettings,
    Settings,
    is_reference,
)
from tidyllm.config.secrets import STRONG_KEY, is_strong
from tidyllm.core.tags import OURS
from tidyllm.errors import ConfigError
from tidyllm.models.catalog import Catalog
from tidyllm.models.http_target import sent_headers, target
from tidyllm.models.model_info import Ability
from tidyllm.models.provider import KINDS
from tidyllm.money.window import Window
from tidyllm.routing.tasks import TASKS

__all__ = ["broken_rules"]

_LONGEST_NAME = 200
_ABILITIES: tuple[str, ...] = get_args(Ability)


def broken_rules(settings: Settings) -> Iterator[Problem]:
    """Everything about `settings`, whose shape is right, that could not be built."""
    for name, provider in settings.providers.items():
        yield from _provider(name, provider, ("providers", name))
    for name, model in settings.models.items():
        yield from _model(name, model, settings, ("models", name))
    for name, facts in settings.catalog.items():
        yield from _catalog_entry(name, facts)
    key = settings.server.master_key
    if key is not None and not is_reference(key) and not is_strong(key):
        yield Problem(("server", "master_key"), STRONG_KEY, "Make one with: openssl rand -hex 24")
    yield from _shared(settings)
    if settings.observe.content and settings.observe.traces == "off":
        hint = "Set observe.traces to otlp."
        yield Problem(("observe", "content"), "content is recorded on spans, and traces are off.", hint)


def _shared(settings: Settings) -> Iterator[Problem]:
    """The database, Redis, money and access."""
    for section, given, known, example in (
        ("store", settings.store, _DATABASES, "a path, or postgresql://user:password@host/database"),
        ("redis", settings.redis, _REDISES, "redis://host:port/number"),
    ):
        url = None if given is None else given.url
        if url is None or is_reference(url):
            continue
        scheme, slashes, _ = url.partition("://")
        if slashes and scheme.partition("+")[0].lower() not in known:
            yield Problem((section, "url"), f"{scheme[:40]!r} is unknown.", f"Expected {example}.")
        elif not url or (section == "redis" and not slashes):
            yield Problem((section, "url"), f"expected {example}.")  # it is not shown: it may hold a password
    money = settings.money
    try:
        Window.parse(money.window)
    except ConfigError as error:
        yield Problem(("money", "window"), error.message.removeprefix("window: "), error.hint)
    if money.limit_usd is not None and money.soft_usd is not None and money.soft_usd > money.limit_usd:
        message = f"{money.soft_usd:g} is above limit_usd, {money.limit_usd:g}."
        yield Problem(("money", "soft_usd"), message, "A soft limit warns before the hard one stops.")
    for place, one in enumerate(settings.access.proxies):
        try:
            ipaddress.ip_network(one, strict=False)
        except ValueError:
            hint = "Write an address or a network, such as 10.0.0.0/8."
            yield Problem(("access", "proxies", place), f"{one[:80]!r} is neither.", hint)
    for place, one in enumerate(settings.access.required_tags):
        if not one.strip() or one.startswith(OURS):
            hint = "Names that begin with tidyllm. are the gateway's own: no caller can give them."
            yield Problem(("access", "required_tags", place), f"{one[:80]!r} is no tag of a request.", hint)


_DATABASES = frozenset({"sqlite", "postgresql", "postgres"})
_REDISES = frozenset({"redis", "rediss", "unix"})


def _provider(name: str, provider: ProviderSettings, where: Where) -> Iterator[Problem]:
    if (
        not name
        or len(name) > _LONGEST_NAME
        or any(letter in name for letter in "/*")
        or not name.isprintable()
    ):
        yield Problem(where, "a provider's name is plain text without '/' and '*'.")
    kind = KINDS.get(provider.kind)
    if kind is None:
        yield Problem((*where, "kind"), f"{provider.kind!r} is unknown.", did_you_mean(provider.kind, KINDS))
        return
    if provider.base_url is not None:
        try:
            target(provider.base_url.replace("{region}", "us-east-1"))
        except ConfigError as error:
            yield Problem((*where, "base_url"), error.message.removeprefix("base_url: "), error.hint)
    elif not kind.base_url:
        yield Problem(where, "the key 'base_url' is missing.", f"Kind {kind.name} has no common address.")
    spoken = [endpoint.format for endpoint in kind.endpoints]
    if provider.formats == ():
        yield Problem((*where, "formats"), "the list is empty.", f"Known are {', '.join(spoken)}.")
    for place, format in enumerate(provider.formats or ()):
        if format not in spoken:
            message = f"kind {kind.name} does not speak {format!r}."
            yield Problem((*where, "formats", place), message, did_you_mean(format, spoken))
    if provider.prompt_cache is not None and "anthropic" not in (provider.formats or spoken):
        yield Problem((*where, "prompt_cache"), f"kind {kind.name} has no place for marks.", _MARKS)
    yield from _regions(provider, where)
    for header, value in provider.headers.items():
        try:
            sent_headers({header: value})
        except ConfigError as error:
            yield Problem((*where, "headers", header), error.message.removeprefix("headers: "), error.hint)


def _regions(provider: ProviderSettings, where: Where) -> Iterator[Problem]:
    """Where a service in several regions is called, and where data may go."""
    if provider.kind != "bedrock":
        for key in ("regions", "profile"):
            if getattr(provider, key):
                yield Problem((*where, key), f"kind {provider.kind} has none.", "Only kind bedrock has.")
        return
    if provider.regions and provider.region not in {None, *provider.regions}:
        hint = "Write all of them under regions."
        yield Problem((*where, "region"), f"{provider.region!r} is none of the regions.", hint)
    from tidyllm.models.bedrock.places import check_places

    try:
        check_places(provider.called, provider.residency)
    except ConfigError as error:
        key = "region" if error.where == "regions" and not provider.regions else error.where
        message = error.message.removeprefix(f"{error.where}: ")
        yield Problem((*where, key or "regions"), message, error.hint or "")


def _leaves(bare: str, provider: ProviderSettings, where: Where) -> Iterator[Problem]:
    """A model that none of the regions can call, or whose calls may leave the places that data must not leave."""
    if provider.kind != "bedrock" or "*" in bare or not provider.called:
        return  # the environment says the region, and what does not fit is refused when the route is built
    from tidyllm.models.bedrock.places import allowed_regions, check_places

    try:
        check_places(provider.called, provider.residency)
    except ConfigError:
        return  # which is a problem of its own
    try:
        allowed_regions(bare, provider.called, provider.residency)
    except ConfigError as error:
        yield Problem(where, error.message.removeprefix(f"{error.where}: "), error.hint or "")


_MARKS = "They are for services that speak Anthropic's format."


def _model(name: str, model: ModelSettings, settings: Settings, where: Where) -> Iterator[Problem]:
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        yield Problem(where, f"a model's name is printable text of at most {_LONGEST_NAME} characters.")
    if name.count("*") > 1:
        yield Problem(where, "a name may hold one '*'.")
    if model.choose is not None and model.route:
        yield Problem(where, "route and choose cannot stand together: one of them says what answers.")
    elif model.choose is None and not model.route:
        yield Problem(where, "the key 'route' is missing.", _ROUTE)
    yield from _choice(name, model, settings, where)
    if model.cache is not None and model.cache.store == "redis" and settings.redis is None:
        hint = "Add a section 'redis' with its url."
        yield Problem((*where, "cache", "store"), "answers are to be kept in Redis, and none is given.", hint)
    if model.prompt_cache is not None and not any(_takes_marks(one, settings) for one in model.route):
        yield Problem((*where, "prompt_cache"), "no provider of the route has a place for marks.", _MARKS)
    for place, one in enumerate(model.route):
        yield from _target(one, name, settings, (*where, "route", place))
        if one in model.route[:place]:
            yield Problem((*where, "route", place), f"target {one!r} stands in it twice.")
    if model.retry.cap < model.retry.base:
        message = f"cap {model.retry.cap:g} s is below base {model.retry.base:g} s."
        yield Problem((*where, "retry"), message)
    if model.limit is not None:
        yield from _limit(model.limit, (*where, "limit"))


def _takes_marks(target: str, settings: Settings) -> bool:
    provider = settings.providers.get(target.partition("/")[0])
    kind = None if provider is None else KINDS.get(provider.kind)
    if provider is None or kind is None:
        return True  # which is a problem of its own
    return "anthropic" in (provider.formats or [endpoint.format for endpoint in kind.endpoints])


_ROUTE = "Name at least one target, such as [main/gpt-5-mini]."


def _choice(name: str, model: ModelSettings, settings: Settings, where: Where) -> Iterator[Problem]:
    """Other models that this one leads to: they must be there, and lead to providers themselves."""
    named: list[tuple[Where, str]] = []
    if (choose := model.choose) is not None:
        named += [((*where, "choose", "among", place), one) for place, one in enumerate(choose.among)]
        yield from _chooses(choose, (*where, "choose"))
    if (test := model.ab) is not None:
        named += [((*where, "ab", "arms", one), one) for one in test.arms if one != "control"]
        if "control" not in test.arms:
            yield Problem((*where, "ab", "arms"), "there is no arm 'control': it is the route itself.")
        if abs(sum(test.arms.values()) - 1) > 1e-6:
            total = sum(test.arms.values())
            yield Problem((*where, "ab", "arms"), f"the shares add up to {total:g}; they must add up to 1.")
    for at, one in named:
        other = settings.models.get(one)
        if one == name:
            yield Problem(at, f"{one!r} is this model itself; name others here.")
        elif other is None or "*" in one:
            yield Problem(at, f"there is no model {one!r} here.", did_you_mean(one, settings.models))
        elif other.choose is not None or other.ab is not None:
            yield Problem(at, f"{one!r} chooses or compares itself: name models that have a route.")


def _chooses(choose: ChoiceSettings, where: Where) -> Iterator[Problem]:
    for place, one in enumerate(choose.abilities):
        if one not in _ABILITIES:
            hint = did_you_mean(one, _ABILITIES)
            yield Problem((*where, "abilities", place), f"there is no ability {one!r}.", hint)
    for task, models in choose.tasks.items():
        if task not in TASKS:
            yield Problem((*where, "tasks", task), "there is no such task.", did_you_mean(task, TASKS))
        for place, one in enumerate(models):
            if one not in choose.among:
                hint = did_you_mean(one, choose.among)
                yield Problem((*where, "tasks", task, place), f"{one!r} is not in among.", hint)
    if choose.by == "learned" and choose.policy is None:
        hint = "Train one: tidyllm route train."
        yield Problem(where, "by is 'learned', and there is no policy.", hint)
    for one in choose.weights:
        if one not in choose.among:
            hint = did_you_mean(one, choose.among)
            yield Problem((*where, "weights", one), f"{one!r} is not in among.", hint)


def _target(target: str, name: str, settings: Settings, where: Where) -> Iterator[Problem]:
    provider, slash, bare = target.partition("/")
    if not (slash and provider and bare):
        hint = ""
        if not slash and target in settings.models:
            hint = "A route leads to providers, not to other routes."
        yield Problem(where, f"target {target!r} is not of the form provider/model.", hint)
    elif provider not in settings.providers:
        hint = did_you_mean(provider, settings.providers) or "Write it under providers."
        yield Problem(where, f"target {target!r}: there is no provider {provider!r}.", hint)
    elif bare.count("*") > 1:
        yield Problem(where, f"target {target!r} may hold one '*'.")
    elif "*" in bare and "*" not in name:
        yield Problem(where, f"target {target!r} has a '*', but the name {name!r} has none.")
    else:
        yield from _leaves(bare, settings.providers[provider], where)


def _limit(limit: LimitSettings, where: Where) -> Iterator[Problem]:
    if limit.concurrency is None and limit.rate is None:
        yield Problem(where, "it limits nothing.", "Give concurrency, rate (per second) or both.")
    if limit.burst is not None and limit.rate is None:
        yield Problem((*where, "burst"), "there is a burst but no rate.")


def _catalog_entry(name: str, facts: dict[str, Any]) -> Iterator[Problem]:
    try:
        Catalog.default().with_({name: facts})
    except ConfigError as error:
        # The catalogue names the field as text behind the entry's name; the rest of its path is lost with the dots.
        prefix = f"catalog.{name}"
        field = (error.where or prefix).removeprefix(prefix).strip(".")
        message = error.message.removeprefix(f"{error.where}: ")
        where: Where = ("catalog", name, *((field,) if field else ()))
        yield Problem(where, f"{message.rstrip('.')}.", error.hint)
