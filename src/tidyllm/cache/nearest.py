"""Vectors in partitions, and which lie nearest. It knows numbers; what they stand for is opaque to it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from tidyllm.cache.guards import Signature
from tidyllm.errors import ConfigError

__all__ = ["Nearest"]

_FIRST = 16
"""Rows of a new partition."""


class _Part:
    """Vectors as rows of one matrix, beside what they stand for."""

    __slots__ = ("keys", "rows", "signatures")

    def __init__(self, rows: Any) -> None:
        self.rows = rows
        self.keys: list[bytes] = []
        self.signatures: list[Signature] = []


class Nearest:
    """At most `max_entries` vectors; the oldest of the partition that was longest unused goes first."""

    def __init__(self, max_entries: int) -> None:
        """:raises ConfigError: NumPy is missing."""
        try:
            import numpy as np
        except ImportError as error:
            raise ConfigError("similar questions need NumPy.", hint="Install numpy.") from error
        self._np = np
        self._max = max_entries
        self._parts: OrderedDict[bytes, _Part] = OrderedDict()
        self._where: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._where)

    def unit(self, vectors: Any, count: int) -> Any:
        """The first of `count` vectors, brought to length 1.

        :raises ValueError: these are no such vectors.
        """
        np = self._np
        array = np.asarray(vectors, dtype=np.float32)
        if array.ndim != 2 or array.shape[0] != count or array.shape[1] == 0:
            raise ValueError(f"expected {count} vector of numbers, got an array of shape {array.shape}")
        length = float(np.linalg.norm(array[0]))
        if not (np.isfinite(length) and length > 0):
            raise ValueError(f"a vector of length {length} has no direction")
        return array[0] / length

    def find(
        self, part: bytes, vector: Any, threshold: float, most: int
    ) -> Sequence[tuple[bytes, Signature]]:
        """Up to `most` entries of the partition within the threshold, the nearest first."""
        held = self._parts.get(part)
        if held is None or held.rows.shape[1] != vector.shape[0]:
            return ()
        self._parts.move_to_end(part)
        np = self._np
        near = held.rows[: len(held.keys)] @ vector
        # Sums of single precision: two equal vectors may come out at 0.9999999.
        within = np.flatnonzero(near >= threshold - 1e-6)
        order = within[np.argsort(-near[within], kind="stable")][:most]
        return [(held.keys[place], held.signatures[place]) for place in map(int, order)]

    def add(self, part: bytes, key: bytes, signature: Signature, vector: Any) -> None:
        """One more; a key that is there already is replaced."""
        np = self._np
        self.forget(key)
        held = self._parts.get(part)
        if held is None or held.rows.shape[1] != vector.shape[0]:
            if held is not None:
                self._drop(part)  # the embedder was changed
            held = self._parts[part] = _Part(np.empty((_FIRST, vector.shape[0]), dtype=np.float32))
        count = len(held.keys)
        if count == held.rows.shape[0]:
            held.rows = np.concatenate([held.rows, np.empty_like(held.rows)])
        held.rows[count] = vector
        held.keys.append(key)
        held.signatures.append(signature)
        self._where[key] = part
        self._parts.move_to_end(part)
        while len(self._where) > self._max:
            self.forget(next(iter(self._parts.values())).keys[0])

    def forget(self, key: bytes) -> None:
        """Take one out, if it is there."""
        part = self._where.pop(key, None)
        if part is None:
            return
        held = self._parts[part]
        place = held.keys.index(key)
        del held.keys[place], held.signatures[place]
        if not held.keys:
            del self._parts[part]
            return
        held.rows[place : len(held.keys)] = held.rows[place + 1 : len(held.keys) + 1].copy()

    def _drop(self, part: bytes) -> None:
        for key in self._parts.pop(part).keys:
            self._where.pop(key, None)
