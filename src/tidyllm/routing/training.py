"""How a policy is learned from outcomes. It knows the method and its fixed settings; it reads and writes no file.

Every figure that a policy carries comes from prompts that were left out while it was fitted, one fifth at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from tidyllm.errors import ConfigError
from tidyllm.routing.curve import apgr, curve, oracle
from tidyllm.routing.features import hashed, shape, words_of
from tidyllm.routing.foreign import Foreign
from tidyllm.routing.learned import Facts, LearnedPolicy, Weights, mixed
from tidyllm.routing.outcomes import Outcome, Outcomes
from tidyllm.routing.ridge import Likeness, solve, standard

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
    Array32: TypeAlias = NDArray[Any]
    Flags: TypeAlias = NDArray[np.bool_]

__all__ = ["MAX_ROWS", "train"]

MAX_ROWS = 10_000
"""The table of likeness grows with the square: 400 MB and minutes at this size. Of more rows a sample is used."""
_FOLDS = 5
_LOOSE, _TIGHT = 1.0, 8.0
"""The two penalties: groups are told apart loosely, quality is fitted by a mixture of both, one to two."""
_PRIOR = 10.0
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

    :raises ConfigError: `safe` is no route of the outcomes, or `quality` and `share` are both given or out of range.
    """
    import numpy as np

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
    raw = np.array([shape(row.prompt) for row in rows])
    middle, spread = standard(raw)
    shapes = (raw - middle) / spread
    likeness = Likeness([hashed(each) for each in words], shapes)
    folds = _folds(rows, random)
    direct, likely, means = _left_out(likeness.table, real, kinds, len(groups), folds)
    score = _per_fold(direct, likely, means, folds) if groups else direct
    offset, slope = _calibrated(score, real)
    expected = offset + slope * score
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
        slope=tuple(slope.tolist()),
        singles=tuple(singles.tolist()),
        curve=tuple(curve(expected, filled, costs, safe=safest, foreign=flagged)),
        hindsight=tuple(oracle(filled, costs)),
    )
    weights = _weights(likeness, real, kinds, len(groups), (middle, spread), foreign)
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


def _onehot(kinds: Array, count: int) -> Array:
    import numpy as np

    return np.where(
        (kinds >= 0)[:, None], np.eye(count)[kinds] if count else np.zeros((len(kinds), 0)), np.nan
    )


def _means(real: Array, kinds: Array, count: int) -> Array:
    """The mean quality of each group by route, pulled towards the overall mean."""
    import numpy as np

    overall = np.nanmean(real, axis=0)
    found = np.empty((count, real.shape[1]))
    for group in range(count):
        inside = real[kinds == group]
        found[group] = (np.nansum(inside, axis=0) + _PRIOR * overall) / ((~np.isnan(inside)).sum(0) + _PRIOR)
    return found


def _left_out(
    table: Array32, real: Array, kinds: Array, count: int, folds: Array
) -> tuple[Array, Array, list[Array]]:
    """For each row what was predicted while its fold was left out, and the groups' quality without each fold."""
    import numpy as np

    direct = np.zeros(real.shape)
    likely = np.zeros((len(real), count))
    means: list[Array] = []
    for fold in range(_FOLDS):
        inside, outside = folds != fold, folds == fold
        loose, mean = _fit(table, np.hstack([real, _onehot(kinds, count)]), inside, _LOOSE)
        tight, _ = _fit(table, real, inside, _TIGHT)
        scores = mean + table[outside] @ loose
        routes = real.shape[1]
        direct[outside] = (scores[:, :routes] + 2 * (mean[:routes] + table[outside] @ tight)) / 3
        likely[outside] = scores[:, routes:]
        means.append(_means(real[inside], kinds[inside], count))
    return direct, likely, means


def _per_fold(direct: Array, likely: Array, means: list[Array], folds: Array) -> Array:
    import numpy as np

    found = np.empty_like(direct)
    for fold, mean in enumerate(means):
        at = folds == fold
        found[at] = mixed(direct[at], likely[at], mean)
    return found


def _calibrated(score: Array, real: Array) -> tuple[Array, Array]:
    """The straight line by route that makes left-out scores an expected quality; never a falling one."""
    import numpy as np

    offset, slope = np.zeros(real.shape[1]), np.zeros(real.shape[1])
    for route in range(real.shape[1]):
        known = ~np.isnan(real[:, route])
        x, y = score[known, route], real[known, route]
        spread = float(((x - x.mean()) ** 2).sum())
        slope[route] = (
            max(float(((x - x.mean()) * (y - y.mean())).sum()) / spread, 0.0) if spread > 1e-12 else 0.0
        )
        offset[route] = y.mean() - slope[route] * x.mean()
    return offset, slope


def _apgr(expected: Array, real: Array, folds: Array) -> float | None:
    """The mean over the folds."""
    import numpy as np

    gain = expected[:, 1] - expected[:, 0]
    each = [apgr(gain[folds == fold], *real[folds == fold].T) for fold in range(_FOLDS)]
    known = [value for value in each if not np.isnan(value)]
    return float(np.mean(known)) if known else None


def _weights(  # noqa: PLR0917 - the parts of one fit, used once
    likeness: Likeness,
    real: Array,
    kinds: Array,
    count: int,
    scale: tuple[Array, Array],
    foreign: Foreign,
) -> Weights:
    """The final fit, on all rows."""
    import numpy as np

    everything = np.ones(len(real), bool)
    loose, mean = _fit(likeness.table, np.hstack([real, _onehot(kinds, count)]), everything, _LOOSE)
    tight, _ = _fit(likeness.table, real, everything, _TIGHT)
    routes = real.shape[1]
    loose[:, :routes] = (loose[:, :routes] + 2 * tight) / 3
    words, shapes = likeness.heads(loose)
    return Weights(
        words=words,
        shapes=shapes,
        mean=mean,
        rare=likeness.rare,
        shape_mean=scale[0],
        shape_spread=scale[1],
        foreign=foreign,
    )
