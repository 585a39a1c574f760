"""One choice among routes, and why. It knows candidates, needs and ways to choose; it calls no model."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeAlias, get_args

import msgspec

from tidyllm.core import Context
from tidyllm.errors import ConfigError, Refused
from tidyllm.models import RequestLike
from tidyllm.models.forward import Forward
from tidyllm.routing.candidate import Candidate, Needs, objections
from tidyllm.routing.latency import Latencies
from tidyllm.routing.learned import LearnedPolicy
from tidyllm.routing.tasks import TASKS, detect_task
from tidyllm.routing.text import Asked, asked, guessed_tokens

__all__ = ["By", "Choice", "Considered", "Selector"]

By: TypeAlias = Literal["order", "weight", "price", "latency", "learned"]
_EXPLORE = 0.05


class Considered(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate in a choice: `eligible` or not, and the `reasons` for that and for its rank."""

    name: str
    eligible: bool
    chosen: bool
    reasons: tuple[str, ...]


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Which route, and why: every candidate with its reasons."""

    route: str
    why: str
    task: str
    task_signs: tuple[str, ...]
    candidates: tuple[Considered, ...]


class Selector:
    """Chooses a route for a request: `Selector([Candidate(name="fast"), …], by="price")`.

    In this order: candidates that cannot meet `needs`, or what the request itself needs, are out; if `tasks` names
    routes for this kind of task, only they stay (as long as one of them does); `by` picks one of the rest:

    - `order`: the first. `weight`: at random by weight. `price`: the cheapest known price.
    - `latency`: the fastest lately; a route without a recent measurement goes first, and one call in twenty tries
      another one.
    - `learned`: what `policy` expects to be best for its price. A candidate it did not learn about is left to the other
      ways.

    - `tasks`: routes by task, the preferred first: `{"code": ("premium",)}`. The task is the tag `task` of the context,
      or `metadata["task"]` of the request; else it is told from the prompt.
    - `latencies`: where measured times are; a `Router` writes them. `count`: tokens of a text.
    - `draw`: random numbers from 0 to 1, for tests.

    It is the `choose` of a `Router`, or the `by` of any `Branch`.
    """

    def __init__(
        self,
        candidates: Iterable[Candidate],
        *,
        by: By = "order",
        needs: Needs | None = None,
        tasks: Mapping[str, Sequence[str]] | None = None,
        policy: LearnedPolicy | None = None,
        latencies: Latencies | None = None,
        count: Callable[[str], int] = guessed_tokens,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """:raises ConfigError: no candidates, two of one name, an unknown way or task, or a policy that fits none."""
        self.candidates = tuple(candidates)
        self.by: By = by
        self.needs = needs or Needs()
        self.tasks = {task: tuple(names) for task, names in (tasks or {}).items()}
        self.policy = policy
        self.latencies = latencies or Latencies()
        self._count = count
        self._draw = draw
        self._check()

    def _check(self) -> None:
        names = [one.name for one in self.candidates]
        if not names:
            raise ConfigError("a Selector needs at least one candidate.")
        if len(set(names)) < len(names):
            raise ConfigError(f"two candidates have one name: {', '.join(names)}.")
        if self.by not in get_args(By):
            raise ConfigError(f"`by` is one of {', '.join(get_args(By))}; got {self.by!r}.")
        for task, routes in self.tasks.items():
            if task not in TASKS:
                raise ConfigError(f"unknown task {task!r}; there are {', '.join(TASKS)}.", where="tasks")
            for route in routes:
                if route not in names:
                    raise ConfigError(
                        f"{route!r} is no candidate; there are {', '.join(names)}.", where=f"tasks.{task}"
                    )
        if self.by == "learned":
            if self.policy is None:
                raise ConfigError(
                    "`by` is 'learned', but there is no `policy`.", hint="Train one: tidyllm route train."
                )
            if not set(names) & set(self.policy.routes):
                raise ConfigError(
                    f"the policy learned about {', '.join(self.policy.routes)}; the candidates are {', '.join(names)}."
                )
        if self.by == "weight" and not any(one.weight > 0 for one in self.candidates):
            raise ConfigError("no candidate has a weight above 0.")

    def __call__(self, x: RequestLike | Forward, ctx: Context) -> str:
        """The name of the route."""
        return self.choose(x, task=ctx.tags.get("task")).route

    def choose(self, x: RequestLike | Forward, *, task: str | None = None) -> Choice:
        """The route and the reasons. `task`: given by the caller; else told from the prompt.

        :raises Refused: no candidate may be chosen; the message says why for each.
        """
        about = asked(x, self._count)
        kind, signs = self._task(about, task)
        reasons: dict[str, list[str]] = {one.name: [] for one in self.candidates}
        eligible: list[Candidate] = []
        for one in self.candidates:
            against = objections(one, self.needs, about, self.latencies.of(one.name))
            reasons[one.name] += against
            if not against:
                eligible.append(one)
        if not eligible:
            told = "; ".join(f"{name}: {', '.join(each)}" for name, each in reasons.items())
            refused = Refused(
                f"no route may be chosen for this request: {told}.", hint="Change the needs or add a route."
            )
            refused.retryable = False
            raise refused
        eligible = self._for_task(eligible, kind, reasons)
        chosen, why = self._pick(eligible, about, reasons)
        open_names = {one.name for one in eligible}
        return Choice(
            route=chosen.name,
            why=why,
            task=kind,
            task_signs=signs,
            candidates=tuple(
                Considered(
                    name=one.name,
                    eligible=one.name in open_names,
                    chosen=one is chosen,
                    reasons=tuple(reasons[one.name]),
                )
                for one in self.candidates
            ),
        )

    def _task(self, about: Asked, given: str | None) -> tuple[str, tuple[str, ...]]:
        given = given or about.task
        if given in TASKS:
            return given, ("given",)
        found = detect_task(about.prompt)
        return found.task, found.signs

    def _for_task(
        self, eligible: list[Candidate], kind: str, reasons: dict[str, list[str]]
    ) -> list[Candidate]:
        wanted = self.tasks.get(kind)
        if not wanted:
            return eligible
        by_name = {one.name: one for one in eligible}
        kept = [by_name[name] for name in wanted if name in by_name]
        if not kept:
            for one in eligible:
                reasons[one.name].append(f"none of the routes for {kind} may be chosen")
            return eligible
        for one in eligible:
            reasons[one.name].append(f"for {kind}" if one in kept else f"not for {kind}")
        return kept

    def _pick(
        self, eligible: list[Candidate], about: Asked, reasons: dict[str, list[str]]
    ) -> tuple[Candidate, str]:
        if self.by == "learned" and self.policy is not None:
            known = [one for one in eligible if one.name in self.policy.routes]
            if known:
                return self._learned(self.policy, known, about, reasons)
            return eligible[0], "the policy did not learn about any of these: the first"
        if self.by == "weight":
            return self._weighted(eligible, reasons)
        if self.by == "price":
            return self._cheapest(eligible, reasons)
        if self.by == "latency":
            return self._fastest(eligible, reasons)
        return eligible[0], "the first that may be chosen"

    def _learned(
        self, policy: LearnedPolicy, known: list[Candidate], about: Asked, reasons: dict[str, list[str]]
    ) -> tuple[Candidate, str]:
        told = policy.predict(about.prompt, [one.name for one in known])
        for one in known:
            reasons[one.name].append(f"expected quality {told.quality[one.name]:.2f}")
        chosen = next(one for one in known if one.name == told.route)
        if told.foreign is not None:
            return chosen, f"the safe route: {told.foreign}"
        return chosen, "best expected quality for its price"

    def _weighted(self, eligible: list[Candidate], reasons: dict[str, list[str]]) -> tuple[Candidate, str]:
        total = sum(one.weight for one in eligible)
        if total <= 0:
            return eligible[0], "no weight is left: the first"
        at = self._draw() * total
        chosen = eligible[-1]
        for one in eligible:
            reasons[one.name].append(f"weight {one.weight:g} of {total:g}")
        for one in eligible:
            at -= one.weight
            if at < 0 and one.weight > 0:
                chosen = one
                break
        return chosen, "drawn by weight"

    def _cheapest(self, eligible: list[Candidate], reasons: dict[str, list[str]]) -> tuple[Candidate, str]:
        for one in eligible:
            price = one.price
            reasons[one.name].append(
                "price not known" if price is None else f"${price:.3g} per million tokens"
            )
        priced = [(price, at) for at, one in enumerate(eligible) if (price := one.price) is not None]
        if not priced:
            return eligible[0], "no price is known: the first"
        return eligible[min(priced)[1]], "the cheapest"

    def _fastest(self, eligible: list[Candidate], reasons: dict[str, list[str]]) -> tuple[Candidate, str]:
        times = [self.latencies.of(one.name) for one in eligible]
        for one, seconds in zip(eligible, times, strict=True):
            reasons[one.name].append("not measured lately" if seconds is None else f"{seconds:.2f} s lately")
        if None in times:
            return eligible[times.index(None)], "it has not been measured lately"
        ranked = sorted(range(len(eligible)), key=lambda at: times[at] or 0.0)
        if len(ranked) > 1 and self._draw() < _EXPLORE:
            return eligible[ranked[1 + int(self._draw() * (len(ranked) - 1))]], "tried, to measure it again"
        return eligible[ranked[0]], "the fastest"

    def __repr__(self) -> str:
        return f"Selector({', '.join(one.name for one in self.candidates)}; by={self.by!r})"
