"""A policy that was learned from outcomes: it expects a quality of each route and picks one. It asks nobody."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from tidyllm.errors import ConfigError
from tidyllm.routing.curve import EXTREME, Point
from tidyllm.routing.features import SHAPES, hashed, shape, words_of
from tidyllm.routing.foreign import Foreign
from tidyllm.routing.groups import softmax
from tidyllm.routing.likeness import weighed
from tidyllm.routing.mixture import Mixture, leaning, seen_table
from tidyllm.routing.signs import signs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tidyllm.routing.outcomes import Outcomes

    Array: TypeAlias = NDArray[Any]
    Array32: TypeAlias = NDArray[Any]

__all__ = ["Facts", "LearnedPolicy", "Prediction", "Weights"]

_FAR = 4.0
"""A sign further than this many spreads from the usual counts as this far."""
_SPARE = 0.5
"""Standard errors of quality to spare. On recorded outcomes (MMLU) the luck of the cheapest setting was worth less:
even with none to spare, what was wanted was kept. On few outcomes an error is large, and so is what is spared."""


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """What is expected for one prompt, and the route it should take.

    `quality` is by route. `foreign` says why the prompt is unlike what was learned from; then `route` is the safe one.
    """

    route: str
    quality: dict[str, float]
    foreign: str | None = None
    group: str | None = None


class Facts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What people read in the file of a policy: everything but the weights.

    `curve`, `hindsight` and `singles` were measured on prompts that were left out while learning (`rows` of them);
    `estimated` says that some outcomes there were missing and the policy's own expectation stood in for them.
    """

    routes: tuple[str, ...]
    costs_usd: tuple[float, ...]
    safe: str
    tradeoff: float
    rows: int
    estimated: bool
    apgr: float | None
    groups: tuple[str, ...]
    offset: tuple[float, ...]
    slope: tuple[float, float]
    singles: tuple[float, ...]
    curve: tuple[Point, ...]
    hindsight: tuple[Point, ...]


class Weights:
    """The numbers behind a policy. `words` are by family and place, `shapes` by `SHAPES`; the columns of both, and of
    `offset`, are a score for each group, then the coordinates that the `mixture` sees. `look_mean` and `look_spread`
    are by `SHAPES` and `SIGNS`."""

    __slots__ = ("foreign", "look_mean", "look_spread", "mixture", "offset", "rare", "shapes", "words")

    def __init__(
        self,
        *,
        words: Sequence[Array32],
        shapes: Array,
        offset: Array,
        rare: Sequence[Array32],
        look_mean: Array,
        look_spread: Array,
        mixture: Mixture,
        foreign: Foreign,
    ) -> None:
        self.words = list(words)
        self.shapes = shapes
        self.offset = offset
        self.rare = list(rare)
        self.look_mean = look_mean
        self.look_spread = look_spread
        self.mixture = mixture
        self.foreign = foreign


class LearnedPolicy:
    """Chooses among named routes. `choose("prompt")` tells which one; `predict` also tells why.

    Make one with `LearnedPolicy.train(outcomes)` or `LearnedPolicy.load(path)`. It needs the extra `routing`
    (numpy; scikit-learn to learn).
    """

    def __init__(self, facts: Facts, weights: Weights) -> None:
        self.facts = facts
        self.weights = weights

    @property
    def routes(self) -> tuple[str, ...]:
        """The routes it knows, the cheapest first."""
        return self.facts.routes

    @property
    def safe(self) -> str:
        """The route for prompts unlike those learned from."""
        return self.facts.safe

    def choose(self, prompt: str, among: Sequence[str] | None = None) -> str:
        """The route for this prompt."""
        return self.predict(prompt, among).route

    def predict(self, prompt: str, among: Sequence[str] | None = None) -> Prediction:
        """What is expected of each route for this prompt. `among`: only these may be chosen.

        :raises ConfigError: none of `among` was learned about.
        """
        import numpy as np

        facts, weights = self.facts, self.weights
        words = words_of(prompt)
        look = standing(np.array([*shape(prompt), *signs(prompt)]), weights.look_mean, weights.look_spread)
        features = hashed(words)
        scores = weights.offset + look[: len(SHAPES)] @ weights.shapes
        for family, values in enumerate(weighed(features, weights.rare)):
            # Not `@`: for so little, the threads of a BLAS take more time of the processors than they save.
            scores = scores + np.einsum("i,ij->j", values, weights.words[family][features.places[family]])
        likely, coordinates = softmax(scores[: len(facts.groups)]), scores[len(facts.groups) :]
        told = weights.mixture.told(seen_table(look[None], likely[None], coordinates[None]))
        expected = np.asarray(facts.offset) + leaning(told)[0] @ np.asarray(facts.slope)
        group = int(likely.argmax()) if facts.groups else None
        allowed = self._allowed(among)
        foreign = weights.foreign.why(look[: len(SHAPES)], words)
        if foreign is not None:
            best = facts.routes.index(facts.safe)
            if best not in allowed:
                best = max(allowed, key=lambda at: facts.singles[at])
        else:
            dearest = max(facts.costs_usd)
            best = max(allowed, key=lambda at: expected[at] - facts.tradeoff * facts.costs_usd[at] / dearest)
        return Prediction(
            route=facts.routes[best],
            quality={route: min(max(float(expected[at]), 0.0), 1.0) for at, route in enumerate(facts.routes)},
            foreign=foreign,
            group=None if group is None else facts.groups[group],
        )

    def _allowed(self, among: Sequence[str] | None) -> list[int]:
        if among is None:
            return list(range(len(self.routes)))
        allowed = [at for at, route in enumerate(self.routes) if route in among]
        if not allowed:
            raise ConfigError(
                f"the policy learned about {', '.join(self.routes)}, but the choice is among {', '.join(among)}."
            )
        return allowed

    # -- settings

    def for_quality(self, wanted: float) -> LearnedPolicy:
        """This policy at the cheapest setting that keeps `wanted` (0.99) of the safe route's quality.

        It must do so by half a standard error, as measured on prompts left out while learning: the cheapest of many
        measured settings is also the luckiest. Where no setting does, the safe route is always taken, or, when that is
        not the dearest, the setting with the best measured quality.

        :raises ConfigError: `wanted` is not above 0 and at most 2.
        """
        if not 0 < wanted <= 2:
            raise ConfigError(
                f"a wanted quality is a share of the safe route's, such as 0.99; got {wanted:g}."
            )
        at = self.facts.routes.index(self.facts.safe)
        least = wanted * self.facts.singles[at]
        good = [point for point in self.facts.curve if point.quality - _SPARE * point.error >= least]
        if good:
            return self._at(min(good, key=lambda point: point.cost_usd).tradeoff)
        if self.facts.costs_usd[at] == max(self.facts.costs_usd):
            return self._at(-EXTREME)
        return self._at(max(self.facts.curve, key=lambda point: point.quality).tradeoff)

    def for_share(self, wanted: float) -> LearnedPolicy:
        """This policy where the share `wanted` of calls goes to the dearest route.

        :raises ConfigError: `wanted` is not from 0 to 1.
        """
        if not 0 <= wanted <= 1:
            raise ConfigError(f"a wanted share is from 0 to 1; got {wanted:g}.")
        return self._at(min(self.facts.curve, key=lambda point: abs(point.shares[-1] - wanted)).tradeoff)

    def at(self, tradeoff: float) -> LearnedPolicy:
        """This policy with another setting; see `Point.tradeoff`."""
        return self._at(tradeoff)

    def _at(self, tradeoff: float) -> LearnedPolicy:
        return LearnedPolicy(msgspec.structs.replace(self.facts, tradeoff=tradeoff), self.weights)

    @property
    def point(self) -> Point:
        """The measured point nearest to the setting."""
        return min(self.facts.curve, key=lambda point: abs(point.tradeoff - self.facts.tradeoff))

    # -- learning and files

    @classmethod
    def train(
        cls,
        outcomes: Outcomes | str | Path,
        *,
        safe: str | None = None,
        quality: float | None = None,
        share: float | None = None,
        seed: int = 0,
    ) -> LearnedPolicy:
        """A policy from outcomes, or from a file of them; see `tidyllm.routing.training.train`.

        :raises ConfigError: the outcomes or the arguments are wrong.
        """
        from tidyllm.routing.outcomes import Outcomes, read_outcomes
        from tidyllm.routing.training import train

        read = outcomes if isinstance(outcomes, Outcomes) else read_outcomes(outcomes)
        return train(read, safe=safe, quality=quality, share=share, seed=seed)

    def save(self, path: str | Path) -> None:
        """Write it to `path` as JSON text; the file is whole or not there."""
        from tidyllm.routing.savefile import write

        write(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> LearnedPolicy:
        """Read what `save` wrote. :raises ConfigError: it is missing, damaged or of a newer version."""
        from tidyllm.routing.savefile import read

        return read(Path(path))


def standing(measured: Array, middle: Array, spread: Array) -> Array:
    """Shape and signs in spreads from their means. Signs are kept within `_FAR`; shapes also tell what is foreign."""
    import numpy as np

    found = (measured - middle) / spread
    found[..., len(SHAPES) :] = np.clip(found[..., len(SHAPES) :], -_FAR, _FAR)
    return found
