"""Whether a prompt is like those that were learned from. It knows what was seen, not what is right."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
    Bytes: TypeAlias = NDArray[Any]

__all__ = ["Foreign"]

_BITS = 18
_QUANTILE = 0.999
"""One known prompt in a thousand is taken for foreign by each of the two signs; it then gets the safe route."""


def _spots(words: Sequence[str]) -> list[int]:
    return [zlib.crc32(word.encode(errors="replace")) & ((1 << _BITS) - 1) for word in set(words)]


class Foreign:
    """Two signs: a shape far from the usual ones, and a larger share of unknown words than any known prompt had.

    `inverse` is the inverse covariance of the standardised shapes; `far` and `unknown` are the limits.
    """

    def __init__(self, inverse: Array, far: float, seen: Bytes, unknown: float) -> None:
        self.inverse = inverse
        self.far = far
        self.seen = seen
        self.unknown = unknown

    @classmethod
    def learned(cls, shapes: Array, prompts: Sequence[Sequence[str]], folds: Array) -> Foreign:
        """From standardised shapes and the words of each prompt; each fold is judged by the words of the others."""
        import numpy as np

        inverse = np.linalg.inv(np.cov(shapes.T) + 0.01 * np.eye(shapes.shape[1]))
        slack = 1 + 2 / np.sqrt(len(prompts))
        far = float(np.quantile(np.einsum("ij,jk,ik->i", shapes, inverse, shapes), _QUANTILE) * slack)
        spots = [_spots(words) for words in prompts]
        counts = [np.zeros(1 << _BITS, np.int32) for _ in range(int(folds.max()) + 1)]
        for fold, places in zip(folds, spots, strict=True):
            counts[int(fold)][places] += 1
        total = np.sum(counts, axis=0)
        shares = [
            float((total[places] == counts[int(fold)][places]).mean()) if places else 0.0
            for fold, places in zip(folds, spots, strict=True)
        ]
        unknown = min(float(np.quantile(shares, _QUANTILE) * slack), 0.999)
        return cls(inverse, far, (total > 0).astype(np.uint8), unknown)

    def why(self, shape: Array, words: Sequence[str]) -> str | None:
        """Why a prompt of this shape and these words is foreign; None when it is not."""
        distance = float(shape @ self.inverse @ shape)
        if distance > self.far:
            return f"its shape is {distance:.0f} from those learned from, beyond {self.far:.0f}"
        if words:
            spots = _spots(words)
            share = 1 - float(self.seen[spots].mean())
            if share > self.unknown:
                return f"{share:.0%} of its words are unknown, beyond {self.unknown:.0%}"
        return None
