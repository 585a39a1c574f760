"""Routes that lead to other routes: a choice for each request, an experiment. It builds them and decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tidyllm.config.schema import ChoiceSettings, ExperimentSettings, ProviderSettings
from tidyllm.core import Context, Step
from tidyllm.core.tags import KEY_TAG, USER_TAG
from tidyllm.errors import ConfigError

if TYPE_CHECKING:
    from tidyllm.config.routes import Route
    from tidyllm.routing import Candidate, Experiment, Selector

__all__ = ["chosen", "compared", "experiment", "selector_of", "sticky_of"]


def chosen(
    settings: ChoiceSettings, routes: Mapping[str, Route], providers: Mapping[str, ProviderSettings]
) -> Step[Any, Any]:
    """A step that picks one of `routes` for each request.

    :raises ConfigError: the policy cannot be read, or an ability is unknown.
    """
    from tidyllm.routing import Router

    selector = selector_of(settings, routes, providers)
    return Router({name: routes[name].step for name in settings.among}, choose=selector)


def selector_of(
    settings: ChoiceSettings, routes: Mapping[str, Route], providers: Mapping[str, ProviderSettings]
) -> Selector:
    """What picks, without what answers.

    :raises ConfigError: as `chosen` says.
    """
    from tidyllm.routing import Candidate, LearnedPolicy, Needs, Selector

    candidates: list[Candidate] = []
    for name in settings.among:
        target = routes[name].targets[0]
        at = providers.get(target.name.partition("/")[0])
        candidates.append(
            Candidate(
                name=name,
                info=target.info,
                weight=settings.weights.get(name, 1.0),
                region=None if at is None else at.region or next(iter(at.regions), None),
                residency=frozenset(() if at is None else at.residency),
            )
        )
    price = settings.usd_per_million
    try:
        needs = Needs(
            window_tokens=settings.window_tokens,
            usd_per_million=None if price is None else Decimal(repr(price)),
            latency=settings.latency,
            abilities=frozenset(settings.abilities),  # pyright: ignore[reportArgumentType] - judged below
            regions=frozenset(settings.regions),
            residency=settings.residency,
        )
    except ValueError as error:
        raise ConfigError(f"{error}.", where="choose") from error
    return Selector(
        candidates,
        by=settings.by,
        needs=needs,
        tasks=settings.tasks,
        policy=None if settings.policy is None else LearnedPolicy.load(settings.policy),
        count=_counter(candidates),
    )


def _counter(candidates: Sequence[Candidate]) -> Callable[[str], int]:
    """Tokens of a text by the ranks of the first candidate whose ranks are public; a guess where there is none.

    Reading the ranks takes 0.2 s: it happens here, and never in a request.
    """
    from tidyllm.routing.text import guessed_tokens
    from tidyllm.tokens import count_text

    for one in candidates:
        name = "" if one.info is None else one.info.name
        try:
            if count_text("x", name).exact:
                return lambda text: count_text(text, name).tokens
        except ModuleNotFoundError:  # the extra `tokens` is not installed
            break
    return guessed_tokens


def experiment(settings: ExperimentSettings) -> Experiment:
    """The experiment, by whom its arms are dealt."""
    from tidyllm.routing import ABSettings, Experiment

    return Experiment(
        ABSettings(
            name=settings.name,
            arms=settings.arms,
            sticky=settings.sticky,
            alpha=settings.alpha,
            min_clusters=settings.min_clusters,
            margin=settings.margin,
        ),
        who=sticky_of(settings.sticky),
    )


def sticky_of(what: str) -> Callable[[Context], str]:
    """Who stays with an arm, read from a run's tags; "" for nobody."""
    tag = KEY_TAG if what == "key" else USER_TAG
    return lambda ctx: ctx.tags.get(tag, "")


def compared(own: Step[Any, Any], test: Experiment, routes: Mapping[str, Route]) -> Step[Any, Any]:
    """`own` and the arms beside it, dealt by the experiment."""
    from tidyllm.routing import Router

    arms = {arm: own if arm == test.control else routes[arm].step for arm in test.settings.arms}
    return Router(arms, choose=test)
