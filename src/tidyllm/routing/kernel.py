"""Prompts near each other are expected to fare alike: a ridge fit in the space of a Gaussian kernel. It knows tables.

The kernel compares with some known prompts only, drawn at random (Nyström's method: Williams and Seeger 2001), so that
choosing does not slow down with all that was ever seen, and learning only in proportion.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

__all__ = ["Kernel", "fit_kernel"]

_LANDMARKS = 1500
"""Known prompts that others are compared with. Twice or half as many choose as well."""
_PENALTY = 3.0
_STEADY = 0.01
"""Added to the likeness of each landmark to itself: without it equal landmarks could not be solved for."""


class Kernel:
    """What is expected near each of the `landmarks`: `weights` of these by route, and the `mean` far from all."""

    def __init__(self, landmarks: Array, weights: Array, mean: Array) -> None:
        self.landmarks = landmarks
        self.weights = weights
        self.mean = mean

    def fits(self, columns: int, routes: int) -> bool:
        """Whether a table of so many columns can be compared, with a quality for each route."""
        import numpy as np

        return (
            self.landmarks.shape == (len(self.weights), columns)
            and self.weights.shape[1:] == self.mean.shape == (routes,)
            and all(bool(np.isfinite(each).all()) for each in (self.landmarks, self.weights, self.mean))
        )

    def told(self, table: Array) -> Array:
        """The expected quality by row of `table` and route."""
        return self.mean + _closeness(table, self.landmarks, self._squares) @ self.weights

    @cached_property
    def _squares(self) -> Array:
        return (self.landmarks**2).sum(1)


def fit_kernel(table: Array, quality: Array) -> Kernel:
    """Fit the `quality` (row by route; NaN where a route was not asked)."""
    import numpy as np

    drawn = np.random.default_rng(0).permutation(len(table))[:_LANDMARKS]
    # As the file of a policy keeps them.
    landmarks = table[drawn].astype(np.float16).astype(np.float32)
    squares = (landmarks**2).sum(1)
    # In double precision: single rounds away what `_STEADY` adds where thousands of prompts are nearly equal.
    near = _closeness(table, landmarks, squares).astype(float)
    apart = _closeness(landmarks, landmarks, squares).astype(float)
    apart[np.diag_indices(len(apart))] += _STEADY
    known = ~np.isnan(quality)
    weights, mean = np.zeros((len(landmarks), quality.shape[1])), np.zeros(quality.shape[1])
    left = set(range(quality.shape[1]))
    while left:
        # Routes that were asked the same prompts are solved at once.
        first = min(left)
        alike = [at for at in sorted(left) if (known[:, at] == known[:, first]).all()]
        left.difference_update(alike)
        asked, targets = near[known[:, first]], quality[known[:, first]][:, alike]
        mean[alike] = targets.mean(0)
        square = asked.T @ asked + _PENALTY * apart
        weights[:, alike] = np.linalg.solve(square, asked.T @ (targets - mean[alike]))
    return Kernel(landmarks, weights.astype(np.float32), mean.astype(np.float32))


def _closeness(table: Array, landmarks: Array, squares: Array) -> Array:
    """From 0 for what is far apart to 1 for what is equal, by row of `table` and landmark; `squares` of landmarks."""
    import numpy as np

    square = (table**2).sum(1)[:, None] + squares - 2 * (table @ landmarks.T)
    return np.exp(-0.5 * np.maximum(square, 0))
