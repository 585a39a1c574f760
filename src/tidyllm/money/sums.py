"""The ledger's sums by day: what reports read, kept in the same transaction as the rows. It knows no budgets."""

from __future__ import annotations

from tidyllm.money.facts import Facts, Outcome
from tidyllm.money.nanos import MOST_NANOS
from tidyllm.money.sql import Sql

__all__ = ["NUMBERS", "DailySums"]

NUMBERS = (
    "calls", "cost_nanos", "unpriced", "doubts", "doubt_nanos", "hits", "saved_nanos", "errors", "input_tokens",
    "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
    "provider_saved_nanos",
)  # fmt: skip
_KEYS = ("day", "team", "key_id", "target", "model", "route")

_UPSERT = (
    f"INSERT INTO spend_daily ({', '.join((*_KEYS, *NUMBERS))})"  # noqa: S608 - our own names
    f" VALUES ({', '.join('?' * (len(_KEYS) + len(NUMBERS)))})"
    f" ON CONFLICT ({', '.join(_KEYS)}) DO UPDATE SET "
    + ", ".join(f"{name} = spend_daily.{name} + excluded.{name}" for name in NUMBERS)
)
_Key = tuple[str | None, str | None, str | None, str | None, str | None]


class DailySums:
    """What one batch adds to the day of `at`, by team, key, target, model and route."""

    def __init__(self, at: float) -> None:
        self._day = int(at // 86_400)
        self._sums: dict[_Key, list[int]] = {}

    def _of(self, facts: Facts) -> list[int]:
        key = (facts[7], facts[6], facts[3], facts[4], facts[5])  # team, key, target, model, route
        sums = self._sums.get(key)
        if sums is None:
            self._sums[key] = sums = [0] * len(NUMBERS)
        return sums

    def settled(  # noqa: PLR0917 - called for every row: names would cost a microsecond
        self, facts: Facts, outcome: Outcome, calls: int, cost: int, unpriced: int, doubts: int, in_doubt: int
    ) -> None:
        """Add one settled attempt: the first five numbers, its tokens, and its error."""
        sums = self._of(facts)
        sums[0] += calls
        sums[1] += cost
        if unpriced or doubts:
            sums[2] += unpriced
            sums[3] += doubts
            sums[4] += in_doubt
        if outcome[7] is not None and calls:
            sums[7] += 1
        into, out, read, written, thought = outcome[:5]
        sums[8] += into or 0
        sums[9] += out or 0
        if read or written or thought:
            sums[10] += read or 0
            sums[11] += written or 0
            sums[12] += thought or 0

    def add(self, facts: Facts, outcome: Outcome, **numbers: int) -> None:
        """Add `numbers` (see `NUMBERS`), and the tokens of `outcome`."""
        self.settled(facts, outcome._replace(error=None), 0, 0, 0, 0, 0)
        sums = self._of(facts)
        for name, number in numbers.items():
            sums[NUMBERS.index(name)] += number

    def write(self, sql: Sql) -> None:
        """Add all to the table, in one statement and always in the same order."""
        if self._sums:
            rows = sorted(
                (
                    self._day,
                    *[part or "" for part in key],
                    *[max(-MOST_NANOS, min(one, MOST_NANOS)) for one in sums],
                )
                for key, sums in self._sums.items()
            )
            sql.many(_UPSERT, rows)
