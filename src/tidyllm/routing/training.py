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
from tidyllm.routing.forest import Forest, fit_forest
from tidyllm.routing.heads import DIRECTIONS, fit_heads, forest_table, halfway, leaning, mixed
from tidyllm.routing.learned import Facts, LearnedPolicy, Weights, standing
from tidyllm.routing.outcomes import Outcome, Outcomes
from tidyllm.routing.ridge import Likeness, solve, standard
from tidyllm.routing.signs import signs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
    Array32: TypeAlias = NDArray[Any]
    Flags: TypeAlias = NDArray[np.bool_]

__all__ = ["MAX_ROWS", "Seen", "left_out", "train"]

MAX_ROWS = 10_000
"""The table of likeness grows with the square: 400 MB and minutes at this size. Of more rows a sample is used."""
_FOLDS = 5
_LOOSE, _TIGHT = 1.0, 8.0
"""The two penalties of the ridge: a mixture of both is taken, one to two."""
_RANK = 500
"""Directions of meaning that the other fits see: with all of them they would learn prompts by heart."""
_PRIOR = 20.0
"""A group's quality is pulled towards the mean as if by this many rows."""


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
    seen = Seen(
        Likeness([hashed(each) for each in words], shapes), looks[:, len(SHAPES) :], real, kinds, len(groups)
    )
    folds = _folds(rows, random)
    _check(real, folds, routes)
    score, forest = left_out(seen, looks, folds)
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
        apgr=_apgr(expected, filled, folds) if len(routes) == 2 else None,
        groups=groups,
        group_quality=tuple(map(tuple, _means(real, kinds, len(groups)).tolist())),
        offset=tuple(offset.tolist()),
        slope=(float(slope[0]), float(slope[1])),
        singles=tuple(singles.tolist()),
        curve=tuple(curve(expected, filled, costs, safe=safest, foreign=flagged)),
        hindsight=tuple(oracle(filled, costs)),
    )
    weights = seen.weights((middle, spread), foreign, forest)
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
    return real, np.array([number.get(row.group or "", -1) for row in rows])


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


def _fit(table: Array32, real: Array, used: Flags, penalty: float) -> tuple[Array, Array]:
    """Weights of the rows by target, and the targets' means. Targets with the same rows are solved at once."""
    import numpy as np

    alphas, mean = np.zeros(real.shape), np.zeros(real.shape[1])
    known = ~np.isnan(real) & used[:, None]
    left = set(range(real.shape[1]))
    while left:
        first = min(left)
        alike = [at for at in sorted(left) if (known[:, at] == known[:, first]).all()]
        left.difference_update(alike)
        at = np.flatnonzero(known[:, first])
        targets = real[at[:, None], alike]
        mean[alike] = targets.mean(0)
        whole = len(at) == len(table)
        alphas[at[:, None], alike] = solve(
            table if whole else table[at[:, None], at], targets - mean[alike], penalty
        )
    return alphas, mean


def _means(real: Array, kinds: Array, count: int) -> Array:
    """The mean quality of each group by route, pulled towards the overall mean."""
    import numpy as np

    overall = np.nanmean(real, axis=0)
    found = np.empty((count, real.shape[1]))
    for group in range(count):
        inside = real[kinds == group]
        found[group] = (np.nansum(inside, axis=0) + _PRIOR * overall) / ((~np.isnan(inside)).sum(0) + _PRIOR)
    return found


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


def _apgr(expected: Array, real: Array, folds: Array) -> float | None:
    """The mean over the folds."""
    import numpy as np

    gain = expected[:, 1] - expected[:, 0]
    each = [apgr(gain[folds == fold], *real[folds == fold].T) for fold in range(_FOLDS)]
    known = [value for value in each if not np.isnan(value)]
    return float(np.mean(known)) if known else None


class Seen:
    """All that was seen of the rows: how alike they are, their signs, the quality of each route, their groups."""

    def __init__(self, likeness: Likeness, signs: Array, real: Array, kinds: Array, count: int) -> None:
        self.likeness = likeness
        self.signs = signs
        self.real = real
        self.kinds = kinds
        self.count = count
        self.space, self.directions = likeness.space(_RANK)

    def _ridge(self, used: Flags) -> tuple[Array, Array]:
        loose, mean = _fit(self.likeness.table, self.real, used, _LOOSE)
        tight, _ = _fit(self.likeness.table, self.real, used, _TIGHT)
        return (loose + 2 * tight) / 3, mean

    def left_out(self, out: Flags) -> tuple[Array, Array]:
        """What all fits but the trees tell of every row, learned without the rows `out`; and the likely groups."""
        import numpy as np

        alphas, mean = self._ridge(~out)
        real, kinds = self.real[~out], self.kinds[~out]
        by_space, by_sign, offset, net = fit_heads(
            self.space[~out], self.signs[~out], real, kinds, self.count
        )
        scores = np.hstack(
            [
                mean + self.likeness.table @ alphas,
                self.space @ by_space + self.signs @ by_sign + offset,
            ]
        )
        return mixed(scores, net, _means(real, kinds, self.count))

    def weights(self, scale: tuple[Array, Array], foreign: Foreign, forest: Forest) -> Weights:
        """The final fit, on all rows. The last columns are the coordinates that the trees see."""
        import numpy as np

        alphas, mean = self._ridge(np.ones(len(self.real), bool))
        by_space, by_sign, offset, net = fit_heads(self.space, self.signs, self.real, self.kinds, self.count)
        first = self.directions[:, :DIRECTIONS]
        words, by_shape = self.likeness.heads(np.hstack([alphas, self.directions @ by_space, first]))
        no_sign, no_more = (np.zeros((len(by_sign), each.shape[1])) for each in (alphas, first))
        return Weights(
            words=words,
            shapes=np.vstack([by_shape, np.hstack([no_sign, by_sign, no_more])]),
            mean=np.concatenate([mean, offset, np.zeros(first.shape[1])]),
            rare=self.likeness.rare,
            shape_mean=scale[0],
            shape_spread=scale[1],
            net=net,
            forest=forest,
            foreign=foreign,
        )


def left_out(seen: Seen, looks: Array, folds: Array) -> tuple[Array, Forest]:
    """What is expected of each row by all that was learned without its fold; and the trees of all rows."""
    import numpy as np

    real, missing = seen.real, np.isnan(seen.real)
    score, likely = np.zeros(real.shape), np.zeros((len(real), seen.count))
    targets: list[Array] = []
    for fold in range(_FOLDS):
        out = folds == fold
        told, like = seen.left_out(out)
        score[out], likely[out] = told[out], like[out]
        targets.append(np.where(missing, np.clip(told, 0, 1), real))
    # Only now: the trees learn from how likely groups were told of prompts that were left out. Coordinates hold a
    # prompt's likeness to itself, which later prompts have not; taking it out was tried and chose no better.
    table = forest_table(looks, likely, seen.space[:, :DIRECTIONS])
    for fold, wanted in enumerate(targets):
        out = folds == fold
        score[out] = halfway(score[out], fit_forest(table[~out], wanted[~out]).told(table[out]))
    return score, fit_forest(table, np.where(missing, np.clip(score, 0, 1), real))
