"""Quality against cost for every setting of a policy, beside chance and hindsight. It knows numbers, not prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
    Indices: TypeAlias = NDArray[Any]

__all__ = ["EXTREME", "Point", "apgr", "choices", "curve", "oracle"]

EXTREME = 1e9
"""A trade-off beyond which nothing changes: cost alone decides (or, negative, the dearest route is taken)."""
_POINTS = 101


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One setting: `tradeoff` is the quality that may be given up to save the whole cost of the dearest route.

    `cost_usd` and `quality` are means over the prompts; `error` is the standard error of the quality's difference from
    the safe route's; `shares` says how often each route was chosen.
    """

    tradeoff: float
    cost_usd: float
    quality: float
    error: float
    shares: tuple[float, ...]


def choices(quality: Array, costs: Array, tradeoff: float) -> Indices:
    """The route for each prompt (row): the best expected quality less `tradeoff` times its relative cost."""
    return (quality - tradeoff * (costs / costs.max())).argmax(1)


def curve(
    expected: Array, real: Array, costs: Sequence[float], *, safe: int, foreign: Array | None = None
) -> list[Point]:
    """What each setting would have given, from the cheapest to the dearest.

    `expected` and `real` are quality by prompt and route; where `foreign` is true the safe route is taken.
    """
    import numpy as np

    prices = np.asarray(costs, float)
    relative = prices / prices.max()
    breaks = [
        (expected[:, one] - expected[:, other]) / (relative[one] - relative[other])
        for one in range(len(prices))
        for other in range(one)
        if relative[one] != relative[other]
    ]
    # Where all cost the same, nothing is traded: each prompt gets the best route.
    steps = np.quantile(np.concatenate(breaks), np.linspace(1, 0, _POINTS)) if breaks else [0.0]
    found: list[Point] = []
    rows = np.arange(len(real))
    for tradeoff in (EXTREME, *dict.fromkeys(float(step) for step in steps), -EXTREME):
        picked = choices(expected, prices, tradeoff)
        if foreign is not None:
            picked = np.where(foreign, safe, picked)
        gains = real[rows, picked] - real[:, safe]
        found.append(
            Point(
                tradeoff=tradeoff,
                cost_usd=float(prices[picked].mean()),
                quality=float(real[rows, picked].mean()),
                error=float(gains.std() / np.sqrt(len(gains))),
                shares=tuple(
                    float(share) for share in np.bincount(picked, minlength=len(prices)) / len(picked)
                ),
            )
        )
    return found


def oracle(real: Array, costs: Sequence[float]) -> list[Point]:
    """What hindsight would have given: no policy can be better."""
    return [
        point
        for point in curve(real, real, costs, safe=int(real.mean(0).argmax()))
        if abs(point.tradeoff) != 0
    ]


def apgr(gain: Array, weak: Array, strong: Array) -> float:
    """Mean share of the gap between weak and strong that is closed, over all shares of calls to the strong one.

    `gain`: what the policy expects of the strong model beyond the weak one; the highest go to it first, equal ones in
    any order. 0.5 is chance. NaN where both models are equally good.
    """
    import numpy as np

    order = np.argsort(-gain, kind="stable")
    ranked = gain[order]
    won = np.concatenate([[0.0], np.cumsum((strong - weak)[order])])
    # Within equal gains the order means nothing: the curve is a straight line there.
    ends = np.concatenate([[0], np.flatnonzero(ranked[1:] != ranked[:-1]) + 1, [len(ranked)]])
    if won[-1] == 0:
        return float("nan")
    heights = won[ends] / won[-1]
    return float(((heights[1:] + heights[:-1]) / 2 * np.diff(ends)).sum() / len(ranked))
