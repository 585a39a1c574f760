"""The ledger's sums by day: what reports read, kept in the same transaction as the rows. It knows no budgets."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from tidyllm.money.facts import Facts, Outcome

__all__ = ["NUMBERS", "DailySums"]

NUMBERS = (
    "calls", "cost_nanos", "unpriced", "doubts", "doubt_nanos", "hits", "saved_nanos", "errors", "input_tokens",
    "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
)  # fmt: skip
_KEYS = ("day", "team", "key_id", "target", "model", "route")
_AT = {name: place for place, name in enumerate(NUMBERS)}
_TOKENS = _AT["input_tokens"]

_UPSERT = (
    f"INSERT INTO spend_daily ({', '.join((*_KEYS, *NUMBERS))})"  # noqa: S608 - our own names
    f" VALUES ({', '.join('?' * (len(_KEYS) + len(NUMBERS)))})"
    f" ON CONFLICT ({', '.join(_KEYS)}) DO UPDATE SET "
    + ", ".join(f"{name} = spend_daily.{name} + excluded.{name}" for name in NUMBERS)
)
_Key = tuple[int, str, str, str, str, str]


class DailySums:
    """What one batch adds, by day, team, key, target, model and route."""

    def __init__(self) -> None:
        self._sums: dict[_Key, list[int]] = {}

    def add(self, at: float, facts: Facts, outcome: Outcome | None = None, **numbers: int) -> None:
        """Add `numbers` (see `NUMBERS`) and the tokens of `outcome` to the day of `at`."""
        key = (
            int(at // 86_400),
            facts.team or "",
            facts.key_id or "",
            facts.target or "",
            facts.model or "",
            facts.route or "",
        )
        sums = self._sums.get(key)
        if sums is None:
            self._sums[key] = sums = [0] * len(NUMBERS)
        for name, number in numbers.items():
            sums[_AT[name]] += number
        if outcome is not None:
            place = _TOKENS
            for tokens in outcome[:5]:
                if tokens:
                    sums[place] += tokens
                place += 1

    def as_mapping(self) -> Mapping[_Key, list[int]]:
        """What was added, for whoever compares."""
        return self._sums

    def write(self, connection: Connection) -> None:
        """Add all to the table, in one statement and always in the same order."""
        if self._sums:
            mark = _UPSERT if connection.dialect.name == "sqlite" else _UPSERT.replace("?", "%s")
            connection.exec_driver_sql(mark, [(*key, *sums) for key, sums in sorted(self._sums.items())])
