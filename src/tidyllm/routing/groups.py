"""How likely a prompt means each group, by a softmax in the space of meaning. It knows tables, not prompts.

The number of steps is fixed: stopping early is part of how it is kept from learning by heart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

__all__ = ["fit_groups", "softmax"]

_SCALE = 5.0
"""Of the coordinates of prompts in the space of meaning: a prompt's are then about this long."""
_PENALTY, _STEPS = 1.0, 50
_BEND = 0.5
"""The most that a softmax's loss curves in its scores."""


def softmax(scores: Array) -> Array:
    """Shares along the last axis, which add up to one; of no scores, none."""
    import numpy as np

    odds = np.exp(scores - scores.max(-1, keepdims=True, initial=-np.inf))
    return odds / odds.sum(-1, keepdims=True)


def fit_groups(space: Array, kinds: Array, count: int) -> tuple[Array, Array]:
    """Weights (coordinate by group) and offset of a softmax over `count` groups; kind -1 is unknown.

    By Nesterov's accelerated descent.
    """
    import numpy as np

    if not count:
        return np.zeros((space.shape[1], 0), np.float32), np.zeros(0, np.float32)
    inputs = (_SCALE * space).astype(np.float32)
    rows, known = len(inputs), (kinds >= 0)[:, None]
    wanted = np.eye(count, dtype=np.float32)[kinds] * known
    offset = np.log((wanted.sum(0) + 0.1) / (wanted.sum() + 0.1 * count)).astype(np.float32)
    # The longest direction of the inputs, which limits the length of a step, by power iteration.
    look, reach = np.ones(inputs.shape[1], np.float32), 0.0
    for _ in range(20):
        look = inputs.T @ (inputs @ look) / rows
        reach = float(np.linalg.norm(look))
        look /= max(reach, 1e-12)
    step = 1 / (_BEND * reach + _PENALTY / rows + 1e-9)
    weights = np.zeros((inputs.shape[1], count), np.float32)
    ahead, pace = weights, 1.0
    for _ in range(_STEPS):
        error = ((softmax(inputs @ ahead + offset) - wanted) * known).astype(np.float32)
        slope = (inputs.T @ error / rows + _PENALTY / rows * ahead).astype(np.float32)
        then = ahead - np.float32(step) * slope
        offset -= error.mean(0) / (2 * _BEND)
        faster = (1 + np.sqrt(1 + 4 * pace**2)) / 2
        ahead = then + np.float32((pace - 1) / faster) * (then - weights)
        weights, pace = then, faster
    return _SCALE * weights, offset
