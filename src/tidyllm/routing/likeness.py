"""How alike hashed prompts are, and the directions in which they differ most. It knows matrices, not routes.

With a few thousand prompts and many more features the likeness of every two prompts is the smaller table.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

from tidyllm.routing.features import BITS, FAMILIES, Hashed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
    Array32: TypeAlias = NDArray[Any]

__all__ = ["Likeness", "rarity", "standard", "weighed"]

_SHAPE_SHARE = 0.02
"""How much the shape of prompts counts beside their words."""
_BLOCK = 4096
_SPARE = 60
"""Directions looked for beyond those wanted, so that the last of these are right as well."""


def rarity(prompts: Sequence[Hashed], bits: int = BITS) -> list[Array32]:
    """For each family and place how telling it is: the logarithm of one over the share of prompts that have it."""
    import numpy as np

    found: list[Array32] = []
    for family in range(FAMILIES):
        seen = np.zeros(1 << bits, np.int64)
        for prompt in prompts:
            seen[prompt.places[family]] += 1
        found.append(np.log((1 + len(prompts)) / (1 + seen)).astype(np.float32))
    return found


def weighed(prompt: Hashed, rare: Sequence[Array32]) -> list[Array32]:
    """The weights of a prompt's places by family, each family of length √½, so that the prompt has length one."""
    import numpy as np

    found: list[Array32] = []
    for family in range(FAMILIES):
        values = prompt.counts[family] * rare[family][prompt.places[family]]
        length = float(np.sqrt(values @ values))
        found.append(values * np.float32(0.7071067811865476 / length if length else 0.0))
    return found


def standard(shapes: Array) -> tuple[Array, Array]:
    """Mean and spread of each column; a column without spread gets one, so that it says nothing."""
    import numpy as np

    spread = shapes.std(0)
    return shapes.mean(0), np.where(spread > 1e-9, spread, 1.0)


class Likeness:
    """How alike every two of these prompts are, in words and in shape.

    `shapes` are standardised already.
    """

    def __init__(self, prompts: Sequence[Hashed], shapes: Array, bits: int = BITS) -> None:
        import numpy as np

        self.prompts = prompts
        self.shapes = shapes
        self.bits = bits
        self.rare = rarity(prompts, bits)
        self._weights = [weighed(prompt, self.rare) for prompt in prompts]
        scaled = (shapes * np.sqrt(_SHAPE_SHARE / shapes.shape[1])).astype(np.float32)
        self.table: Array32 = scaled @ scaled.T
        for family in range(FAMILIES):
            self._add(family)

    def _add(self, family: int) -> None:
        """Add the likeness in one family, some thousand places at a time, so that memory stays small."""
        import numpy as np

        sizes = [len(prompt.places[family]) for prompt in self.prompts]
        rows = np.repeat(np.arange(len(sizes)), sizes)
        columns = np.concatenate([prompt.places[family] for prompt in self.prompts])
        values = np.concatenate([weights[family] for weights in self._weights])
        order = np.argsort(columns, kind="stable")
        rows, columns, values = rows[order], columns[order], values[order]
        cuts = np.searchsorted(columns, np.arange(0, (1 << self.bits) + _BLOCK, _BLOCK))
        for at, (start, stop) in enumerate(pairwise(cuts)):
            if start == stop:
                continue
            used, place = np.unique(columns[start:stop] - at * _BLOCK, return_inverse=True)
            block = np.zeros((len(sizes), len(used)), np.float32)
            block[rows[start:stop], place] = values[start:stop]
            self.table += block @ block.T

    def space(self, rank: int) -> tuple[Array32, Array32]:
        """Coordinates of the prompts along the `rank` directions in which they differ most, and the `alphas` of these:
        `as_weights(alphas @ weights)` writes weights of the coordinates as weights of places and shapes.

        By a randomised search of the largest directions, which is the same every time.
        """
        import numpy as np

        count = len(self.table)
        rank = min(rank, count // 2)
        tried = (
            np.random.default_rng(0).standard_normal((count, min(rank + _SPARE, count))).astype(np.float32)
        )
        for _ in range(4):
            tried, _ = np.linalg.qr(self.table @ tried)
        sizes, inside = np.linalg.eigh(tried.T @ (self.table @ tried))
        best = np.argsort(-sizes)[:rank]
        root = np.sqrt(np.maximum(sizes[best], 1e-3))
        directions = tried @ inside[:, best]
        return directions * root, directions / root

    def as_weights(self, alphas: Array) -> tuple[list[Array32], Array]:
        """Each column of `alphas`, which is by prompt, as weights of places (by family) and of shapes."""
        import numpy as np

        words = [np.zeros((1 << self.bits, alphas.shape[1]), np.float32) for _ in range(FAMILIES)]
        for prompt, weights, alpha in zip(
            self.prompts, self._weights, alphas.astype(np.float32), strict=True
        ):
            for family in range(FAMILIES):
                words[family][prompt.places[family]] += np.outer(weights[family], alpha)
        return words, (self.shapes.T @ alphas) * (_SHAPE_SHARE / self.shapes.shape[1])
