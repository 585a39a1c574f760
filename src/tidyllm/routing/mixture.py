"""What is told of a prompt by two fits that err differently, and what these see of it. It knows tables, not words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from tidyllm.routing.forest import Forest, fit_forest
from tidyllm.routing.kernel import Kernel, fit_kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

__all__ = ["DIRECTIONS", "Mixture", "fit_mixture", "leaning", "seen_table"]

DIRECTIONS = 50
"""Of the space of meaning, those that are seen: with many more the fits would learn prompts by heart."""
_REACH = 4.0
"""Of coordinates beside the rest. Between two prompts of MMLU they make some three fifths of the squared distance,
shape and signs a quarter, groups an eighth; 2.5 in its place chose as well."""


def seen_table(looks: Array, likely: Array, coordinates: Array) -> Array:
    """All that is seen of each prompt: shape and signs, how likely each group is, and the first coordinates. None of
    these has been fitted to the quality of a route.

    How long the three parts are matters to the kernel, which measures distances; to trees it is all the same.
    """
    import numpy as np

    parts = [looks / np.sqrt(looks.shape[1]), likely, _REACH * coordinates]
    return np.hstack(parts).astype(np.float32)


class Mixture:
    """A kernel, which sees how near a prompt is to known ones, and trees, which see what adds up badly."""

    def __init__(self, kernel: Kernel, forest: Forest) -> None:
        self.kernel = kernel
        self.forest = forest

    def fits(self, columns: int, routes: int) -> bool:
        """Whether both parts can be asked with so many columns, and tell so many routes."""
        return self.kernel.fits(columns, routes) and self.forest.fits(columns, routes)

    def told(self, table: Array) -> Array:
        """The expected quality by row of `table` and route. Both count alike: neither is better everywhere."""
        return (self.kernel.told(table) + self.forest.told(table)) / 2


def fit_mixture(table: Array, quality: Array) -> Mixture:
    """Fit both to the `quality` (row by route). Where a route was not asked (NaN) the trees, which need a whole table,
    learn what the kernel expects."""
    import numpy as np

    kernel = fit_kernel(table, quality)
    missing = np.isnan(quality)
    whole = np.where(missing, np.clip(kernel.told(table), 0, 1), quality) if missing.any() else quality
    return Mixture(kernel, fit_forest(table, whole))


def leaning(quality: Array) -> Array:
    """For each row and route: the mean of all routes, and what this route has beyond it.

    One slope for each puts expectations right and leaves alone which prompts gain most from a better route; a slope
    for each route would not.
    """
    import numpy as np

    middle = quality.mean(1, keepdims=True)
    return np.stack([np.broadcast_to(middle, quality.shape), quality - middle], axis=-1)
