"""Logistic fits in a small space: how likely each route is right, and each group meant. They know tables, not prompts.

The number of steps is fixed: stopping early is part of how they are kept from learning by heart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

__all__ = ["fit_each", "fit_one_of", "sigmoid", "softmax"]


def sigmoid(scores: Array) -> Array:
    """Shares from 0 to 1, one for each score."""
    import numpy as np

    return 1 / (1 + np.exp(-np.clip(scores, -30, 30)))


def softmax(scores: Array) -> Array:
    """Shares along the last axis, which add up to one."""
    import numpy as np

    odds = np.exp(scores - scores.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)


def fit_each(inputs: Array, targets: Array, *, penalty: float, steps: int) -> tuple[Array, Array]:
    """Weights and offset of one sigmoid for each column of `targets` (0 to 1; NaN where nothing is known)."""
    import numpy as np

    known = ~np.isnan(targets)
    wanted = np.where(known, targets, 0.0).astype(np.float32)
    share = np.clip(wanted.sum(0) / np.maximum(known.sum(0), 1), 0.01, 0.99)
    start = np.log(share / (1 - share))

    def slope(scores: Array) -> Array:
        return (sigmoid(scores) - wanted) * known

    return _descend(inputs, start, slope, penalty=penalty, steps=steps, bend=0.25)


def fit_one_of(inputs: Array, kinds: Array, count: int, *, penalty: float, steps: int) -> tuple[Array, Array]:
    """Weights and offset of one softmax over `count` kinds; a row whose kind is -1 teaches nothing."""
    import numpy as np

    known = (kinds >= 0)[:, None]
    wanted = np.eye(count, dtype=np.float32)[kinds] * known
    start = np.log((wanted.sum(0) + 0.1) / (wanted.sum() + 0.1 * count))

    def slope(scores: Array) -> Array:
        return (softmax(scores) - wanted) * known

    return _descend(inputs, start, slope, penalty=penalty, steps=steps, bend=0.5)


def _descend(
    inputs: Array, start: Array, slope: Callable[[Array], Array], *, penalty: float, steps: int, bend: float
) -> tuple[Array, Array]:
    """Nesterov's accelerated descent; `bend` bounds the curvature of the loss in its scores."""
    import numpy as np

    rows = len(inputs)
    # The longest direction of the inputs, which limits the length of a step, by power iteration.
    look, reach = np.ones(inputs.shape[1], np.float32), 0.0
    for _ in range(20):
        look = inputs.T @ (inputs @ look) / rows
        reach = float(np.linalg.norm(look))
        look /= max(reach, 1e-12)
    step = 1 / (bend * reach + penalty / rows + 1e-9)
    weights = np.zeros((inputs.shape[1], len(start)), np.float32)
    ahead, offset, pace = weights, start.astype(np.float32), 1.0
    for _ in range(steps):
        error = slope(inputs @ ahead + offset).astype(np.float32)
        then = ahead - np.float32(step) * (inputs.T @ error / rows + penalty / rows * ahead).astype(
            np.float32
        )
        offset -= error.mean(0) / (2 * bend)
        faster = (1 + np.sqrt(1 + 4 * pace**2)) / 2
        ahead = then + np.float32((pace - 1) / faster) * (then - weights)
        weights, pace = then, faster
    return weights, offset
