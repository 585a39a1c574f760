"""What a cache did, in numbers. It knows nothing of how."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

__all__ = ["Counts"]


class Counts:
    """Since the cache was made; each worker has its own.

    - `hits`: answered by what was kept. `joined`: by the call of an equal request. `similar`: by the answer to a
      question that means the same. `misses`: the step was called. `bypassed`: no cache was wanted, or possible.
    - `kept`: answers that were stored. `not_kept`: answers that were not (their kind, their size, not encodable).
    - `corrupt`: kept answers that could not be read. `store_failures`: acts of the store that failed.
    - `saved_usd`: dollars of hits whose price is known; `unpriced` counts the others.
    """

    __slots__ = (
        "bypassed", "corrupt", "hits", "joined", "kept", "misses", "not_kept", "saved_usd", "similar",
        "store_failures", "unpriced",
    )  # fmt: skip

    def __init__(self) -> None:
        self.hits = 0
        self.joined = 0
        self.similar = 0
        self.misses = 0
        self.bypassed = 0
        self.kept = 0
        self.not_kept = 0
        self.corrupt = 0
        self.store_failures = 0
        self.unpriced = 0
        self.saved_usd = Decimal(0)

    def add(self, outcome: str, saved_usd: Decimal | None) -> None:
        """One question was answered."""
        if outcome == "miss":
            self.misses += 1
            return
        if outcome == "bypass":
            self.bypassed += 1
            return
        if outcome == "hit":
            self.hits += 1
        elif outcome == "joined":
            self.joined += 1
        else:
            self.similar += 1
        if saved_usd is None:
            self.unpriced += 1
        else:
            self.saved_usd += saved_usd

    def known(self, saved_usd: Decimal) -> None:
        """What an answer had cost that was counted as unpriced."""
        self.unpriced -= 1
        self.saved_usd += saved_usd

    def as_dict(self) -> dict[str, Any]:
        """All of them by name."""
        return {name: getattr(self, name) for name in self.__slots__}
