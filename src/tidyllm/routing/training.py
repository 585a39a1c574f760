"""How a policy is learned from outcomes. It knows the method and its fixed settings; it reads and writes no file.

Every figure that a policy carries comes from prompts that were left out while it was fitted, one fifth at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from tidyllm.errors import ConfigError
from tidyllm.errors.extras import installed
from tidyllm.routing.curve import apgr, curve, oracle
from tidyllm.routing.features import SHAPES, hashed, shape, words_of
from tidyllm.routing.foreign import Foreign
from tidyllm.routing.groups import fit_groups, softmax
from tidyllm.routing.learned import Facts, LearnedPolicy, Weights, standing
from tidyllm.routing.likeness import Likeness, standard
from tidyllm.routing.mixture import DIRECTIONS, Mixture, fit_mixture, leaning, seen_table
from tidyllm.routing.outcomes import Outcome, Outcomes
from tidyllm.routing.signs import signs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

__all__ = ["MAX_ROWS", "Seen", "left_out", "train"]

MAX_ROWS = 10_000
"""The table of likeness grows with the square: 400 MB and minutes at this size. Of more rows a sample is used."""
_FOLDS = 5
_RANK = 500
"""Directions of meaning that tell the groups: with all of them prompts would be learned by heart."""


def train(
    outcomes: Outcomes,
    *,
    safe: str | None = None,
    quality: float | None = None,
    share: float | None = None,
    seed: int = 0,
) -> LearnedPolicy:
    """Learn a policy.

    - `safe`: the route for prompts unlike those in `outcomes`. Default: the one with the best mean quality.
    - `quality`: keep this share of the safe route's quality, as cheaply as possible (0.99 is the default), or
      `share`: send this share of calls to the dearest route.
    - `seed`: of the folds, and of the sample where there are more than `MAX_ROWS` rows.

    :raises ConfigError: `safe` is no route of the outcomes, `quality` and `share` are both given or out of range, the
        outcomes of a route are of too few different prompts, or numpy or scikit-learn is not installed.
    """
    with installed():
        import numpy as np
        import sklearn  # noqa: F401  # pyright: ignore[reportUnusedImport] - minutes before it is needed

    if quality is not None and share is not None:
        raise ConfigError("a policy has one setting: give `quality` or `share`, not both.")
    if safe is not None and safe not in outcomes.routes:
        raise ConfigError(
            f"the safe route {safe!r} has no outcomes; there are {', '.join(map(repr, outcomes.routes))}."
        )
    random = np.random.default_rng(seed)
    rows = outcomes.rows
    if len(rows) > MAX_ROWS:
        kept: list[int] = sorted(random.choice(len(rows), MAX_ROWS, replace=False).tolist())
        rows = tuple(rows[at] for at in kept)
    routes, groups = outcomes.routes, outcomes.groups
    real, kinds = _targets(rows, routes, groups)
    if (kinds >= 0).mean() < 0.5 or len(groups) < 2:
        groups, kinds = (), np.full(len(rows), -1)
    words = [words_of(row.prompt) for row in rows]
    raw = np.array([[*shape(row.prompt), *signs(row.prompt)] for row in rows])
    middle, spread = standard(raw)
    looks = standing(raw, middle, spread)
    shapes = looks[:, : len(SHAPES)]
    seen = Seen(Likeness([hashed(each) for each in words], shapes), looks, real, kinds, len(groups))
    folds = _folds(rows, random)
    _check(real, folds, routes)
    score, mixture = left_out(seen, folds)
    offset, slope = _calibrated(score, real)
    expected = offset + leaning(score) @ slope
    missing = np.isnan(real)
    filled = np.where(missing, np.clip(expected, 0, 1), real)
    costs = tuple(outcomes.costs[route] for route in routes)
    singles = filled.mean(0)
    safest = int(singles.argmax()) if safe is None else routes.index(safe)
    foreign = Foreign.learned(shapes, words, folds)
    flagged = np.array(
        [foreign.why(look, each) is not None for look, each in zip(shapes, words, strict=True)]
    )
    facts = Facts(
        routes=routes,
        costs_usd=costs,
        safe=routes[safest],
        tradeoff=0.0,
        rows=len(rows),
        estimated=bool(missing.any()),
        apgr=_apgr(score, filled, folds) if len(routes) == 2 else None,
        groups=groups,
        offset=tuple(offset.tolist()),
        slope=(float(slope[0]), float(slope[1])),
        singles=tuple(singles.tolist()),
        curve=tuple(curve(expected, filled, costs, safe=safest, foreign=flagged)),
        hindsight=tuple(oracle(filled, costs)),
    )
    weights = seen.weights((middle, spread), foreign, mixture)
    policy = LearnedPolicy(facts, weights)
    return (
        policy.for_share(share)
        if share is not None
        else policy.for_quality(0.99 if quality is None else quality)
    )


def _targets(
    rows: tuple[Outcome, ...], routes: tuple[str, ...], groups: tuple[str, ...]
) -> tuple[Array, Array]:
    """Quality by row and route (NaN where a route was not asked), and the number of each row's group (-1: none)."""
    import numpy as np

    real = np.array([[row.quality.get(route, np.nan) for route in routes] for row in rows])
    number = {name: at for at, name in enumerate(groups)}
    return real, np.array([-1 if row.group is None else number.get(row.group, -1) for row in rows])


def _folds(rows: tuple[Outcome, ...], random: np.random.Generator) -> Array:
    """The fold of each row; equal prompts share one, so that none is judged by its own answer."""
    import numpy as np

    number = {prompt: at for at, prompt in enumerate(dict.fromkeys(row.prompt for row in rows))}
    drawn = random.permutation(len(number)) % _FOLDS
    return np.array([drawn[number[row.prompt]] for row in rows])


def _check(real: Array, folds: Array, routes: tuple[str, ...]) -> None:
    """:raises ConfigError: with a fold left out, nothing is known of some route."""
    import numpy as np

    for at, route in enumerate(routes):
        inside = np.unique(folds[~np.isnan(real[:, at])])
        if len(inside) < 2 or len(np.unique(folds)) < _FOLDS:
            raise ConfigError(
                f"the outcomes of route {route!r} are of too few different prompts to learn from.",
                hint=f"{_FOLDS} different prompts are the least; hundreds are needed to choose well.",
            )


def _calibrated(score: Array, real: Array) -> tuple[Array, Array]:
    """The offset by route and the two slopes that make left-out scores an expected quality; never falling ones."""
    import numpy as np

    known = ~np.isnan(real)
    parts, wanted = leaning(score), np.where(known, real, 0.0)
    count = known.sum(0)
    middle = (parts * known[..., None]).sum(0) / count[:, None]
    mean = wanted.sum(0) / count
    x: Array = (parts - middle)[known]
    y: Array = (real - mean)[known]
    fitted: list[float] = np.linalg.solve(x.T @ x + 1e-9 * np.eye(2), x.T @ y).tolist()
    slope = np.array([max(each, 0.0) for each in fitted])
    return mean - middle @ slope, slope


def _apgr(score: Array, real: Array, folds: Array) -> float | None:
    """The mean over the folds."""
    import numpy as np

    gain = score[:, 1] - score[:, 0]
    each = [apgr(gain[folds == fold], *real[folds == fold].T) for fold in range(_FOLDS)]
    known = [value for value in each if not np.isnan(value)]
    return float(np.mean(known)) if known else None


class Seen:
    """All that was seen of the rows: how alike they are, shape and signs, the quality of each route, their groups."""

    def __init__(self, likeness: Likeness, looks: Array, real: Array, kinds: Array, count: int) -> None:
        self.likeness = likeness
        self.looks = looks
        self.real = real
        self.kinds = kinds
        self.count = count
        self.space, self.directions = likeness.space(_RANK)

    def table(self, folds: Array) -> Array:
        """What the fits see of each row: as later prompts will look, groups are told by the other folds.

        Coordinates hold a prompt's likeness to itself, which later prompts have not; taking it out was tried and chose
        no better.
        """
        import numpy as np

        likely = np.zeros((len(self.real), self.count))
        for fold in range(_FOLDS):
            out = folds == fold
            weights, offset = fit_groups(self.space[~out], self.kinds[~out], self.count)
            likely[out] = softmax(self.space[out] @ weights + offset)
        return seen_table(self.looks, likely, self.space[:, :DIRECTIONS])

    def weights(self, scale: tuple[Array, Array], foreign: Foreign, mixture: Mixture) -> Weights:
        """The final fit, on all rows."""
        import numpy as np

        by_space, offset = fit_groups(self.space, self.kinds, self.count)
        first = self.directions[:, :DIRECTIONS]
        words, shapes = self.likeness.as_weights(np.hstack([self.directions @ by_space, first]))
        return Weights(
            words=words,
            shapes=shapes,
            offset=np.concatenate([offset, np.zeros(first.shape[1])]),
            rare=self.likeness.rare,
            look_mean=scale[0],
            look_spread=scale[1],
            mixture=mixture,
            foreign=foreign,
        )


def left_out(seen: Seen, folds: Array) -> tuple[Array, Mixture]:
    """What is expected of each row by all that was learned without its fold; and the fits of all rows."""
    import numpy as np

    table, score = seen.table(folds), np.zeros(seen.real.shape)
    for fold in range(_FOLDS):
        out = folds == fold
        score[out] = fit_mixture(table[~out], seen.real[~out]).told(table[out])
    return score, fit_mixture(table, seen.real)
