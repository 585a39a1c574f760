"""A small network with one hidden layer that learns quality and group at once. It knows tables, not prompts."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any, TypeAlias

from tidyllm.routing.logistic import sigmoid, softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

__all__ = ["HIDDEN", "fit_net"]

HIDDEN = 32
_BATCH = 64
_EPOCHS, _LEAST_STEPS = 12, 300
_RATE, _DECAY = 2e-3, 0.03
"""Adam's rate, falling to nothing by the end, and how fast weights shrink beside it."""
_KEPT_INPUTS, _KEPT_HIDDEN = 0.8, 0.7
"""The rest is left out at random in each step, so that no sign is relied upon alone."""
_GROUP_SHARE = 0.5
"""How much telling the group counts beside telling the quality."""


def fit_net(
    inputs: Array, quality: Array, kinds: Array, count: int, *, seed: int
) -> tuple[Array, Array, Array, Array]:
    """Weights and offset of the hidden layer, then of what comes out: a sigmoid's score for each column of `quality`
    (NaN where nothing is known), then a softmax's score for each of `count` kinds (-1: unknown)."""
    import numpy as np

    random = np.random.default_rng(seed)
    rows, size = inputs.shape
    routes = quality.shape[1]
    known = (~np.isnan(quality)).astype(np.float32)
    wanted = np.nan_to_num(quality).astype(np.float32)
    groups = np.eye(count, dtype=np.float32)[kinds] if count else np.zeros((rows, 0), np.float32)
    weight = (kinds >= 0).astype(np.float32)[:, None] * np.float32(_GROUP_SHARE)

    def draw(*form: int) -> Array:
        return (random.standard_normal(form) * 0.1).astype(np.float32)

    parts = [draw(size, HIDDEN), np.zeros(HIDDEN, np.float32), draw(HIDDEN, routes + count)]
    parts.append(np.zeros(routes + count, np.float32))
    first = [np.zeros_like(part) for part in parts]
    second = [np.zeros_like(part) for part in parts]
    batches = ceil(rows / _BATCH)
    epochs = max(_EPOCHS, ceil(_LEAST_STEPS / batches))
    step = 0
    for epoch in range(epochs):
        rate = _RATE * (1 - epoch / epochs)
        order = random.permutation(rows)
        for start in range(0, rows, _BATCH):
            at = order[start : start + _BATCH]
            seen = inputs[at]
            seen = seen * ((random.random(seen.shape, np.float32) < _KEPT_INPUTS) / np.float32(_KEPT_INPUTS))
            hidden = np.maximum(seen @ parts[0] + parts[1], 0)
            kept = (random.random(hidden.shape, np.float32) < _KEPT_HIDDEN) / np.float32(_KEPT_HIDDEN)
            hidden *= kept
            out = hidden @ parts[2] + parts[3]
            error = (sigmoid(out[:, :routes]) - wanted[at]) * known[at]
            if count:
                error = np.hstack([error, (softmax(out[:, routes:]) - groups[at]) * weight[at]])
            error = (error / len(at)).astype(np.float32)
            back = (error @ parts[2].T) * kept * (hidden > 0)
            slopes = (seen.T @ back, back.sum(0), hidden.T @ error, error.sum(0))
            step += 1
            for number, slope in enumerate(slopes):
                first[number] = 0.9 * first[number] + 0.1 * slope
                second[number] = 0.99 * second[number] + 0.01 * slope * slope
                move = first[number] / (1 - 0.9**step)
                move = move / (np.sqrt(second[number] / (1 - 0.99**step)) + 1e-8)
                if number in {0, 2}:
                    move = move + _DECAY * parts[number]
                parts[number] = (parts[number] - rate * move).astype(np.float32)
    return parts[0], parts[1], parts[2], parts[3]
