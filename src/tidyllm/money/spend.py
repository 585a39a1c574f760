"""What was spent, by key, team, model, day or tag. It reads the ledger's sums, or its rows.

Dollars that are known, calls without a known price, and calls in doubt are three different things: they are never
added up.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Literal, TypeAlias, get_args

import msgspec
from sqlalchemy import Connection

from tidyllm.core.tags import EXPERIMENT_TAG
from tidyllm.errors import ConfigError
from tidyllm.money.chain import WRITER_SHIFT
from tidyllm.money.nanos import from_nanos
from tidyllm.money.sql import native

__all__ = ["By", "Spend", "SpendRow", "moment", "spend"]

By: TypeAlias = Literal["key", "team", "model", "day", "tag", "route", "provider"]
_COLUMNS: dict[str, str] = {
    "key": "key_id",
    "team": "team",
    "model": "model",
    "day": "day",
    "route": "route",
    "provider": "target",
}
_NUMBERS = (
    "calls", "cost_nanos", "unpriced", "doubts", "doubt_nanos", "hits", "saved_nanos", "errors", "input_tokens",
    "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
    "provider_saved_nanos",
)  # fmt: skip
_DAY = 86_400


class SpendRow(msgspec.Struct, kw_only=True):
    """The spend of one key, team, model, day or tag. Calls count once they have ended, at the time they ended."""

    name: str
    calls: int = 0
    cost_usd: Decimal = Decimal(0)
    """Of all calls whose cost is known."""
    unpriced: int = 0
    """Calls that were answered, whose price nobody knows."""
    doubts: int = 0
    """Calls of which nobody knows whether, or what, they cost."""
    doubt_usd: Decimal = Decimal(0)
    """The most that those in doubt may have cost."""
    hits: int = 0
    """Answers from a cache."""
    saved_usd: Decimal = Decimal(0)
    """What those hits would have cost."""
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    provider_saved_usd: Decimal = Decimal(0)
    """What the providers' own caches of prompts saved; below 0 where writing to them cost more."""


class Spend(msgspec.Struct):
    """A report: its rows, the dearest first (days in order), and the sum over all calls."""

    by: str
    rows: list[SpendRow]
    total: SpendRow


def moment(text: str, *, where: str) -> float:
    """A date (`2026-11-01`) or a time (`2026-11-01T12:00`, UTC unless it says otherwise), in seconds since 1970.

    :raises ConfigError: it is neither.
    """
    try:
        when = dt.datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigError(
            f"{text[:80]!r} is no time; expected 2026-11-01 or 2026-11-01T12:00.", where=where
        ) from None
    return (when if when.tzinfo else when.replace(tzinfo=dt.UTC)).timestamp()


def spend(
    connection: Connection, by: By = "model", *, since: float | None = None, until: float | None = None
) -> Spend:
    """The spend from `since` (included) to `until` (not included), in seconds since 1970; None: without end.

    Whole days (UTC), but for tags, are read from the sums by day, in milliseconds whatever the ledger's size. Anything
    else reads the rows of that time.

    :raises ConfigError: `by` is unknown, or `until` is not after `since`.
    """
    if by not in get_args(By):
        raise ConfigError(f"{by!r} is unknown; known are {', '.join(get_args(By))}.", where="by")
    if since is not None and until is not None and until <= since:
        raise ConfigError("the time ends before it begins.", where="until")
    whole_days = all(at is None or at % _DAY == 0 for at in (since, until))
    source = _from_days if whole_days and by != "tag" else _from_rows
    column = "tags" if by == "tag" else _COLUMNS[by]
    found = source(connection, column, since, until)
    total = _sum("total", (numbers for _, numbers in found))
    shown: dict[str, list[Any]] = {}
    for name, numbers in found:
        for one in _names(by, name):
            shown.setdefault(one, []).append(numbers)
    rows = [_sum(name, several) for name, several in shown.items()]
    rows.sort(key=(lambda row: row.name) if by == "day" else lambda row: (-row.cost_usd, row.name))
    return Spend(by, rows, total)


def _names(by: str, name: Any) -> Iterable[str]:
    if by == "day":
        return (str(dt.date(1970, 1, 1) + dt.timedelta(days=int(name))),)
    if by == "tag" and name:
        tags: dict[str, str] = msgspec.json.decode(name, type=dict[str, str])
        return tuple(
            f"{key}={_arm(value) if key == EXPERIMENT_TAG else value}" for key, value in tags.items()
        )
    return (str(name) if name else "(none)",)


def _arm(tag: str) -> str:
    """`experiment/arm`, without who was dealt it: an arm is one row, however many users it has."""
    return tag.rpartition("/")[0] or tag


def _sum(name: str, several: Iterable[Any]) -> SpendRow:
    sums = [0] * len(_NUMBERS)
    for numbers in several:
        for place, number in enumerate(numbers):
            sums[place] += int(number or 0)
    row: dict[str, Any] = dict(zip(_NUMBERS, sums, strict=True))
    for money in ("cost", "doubt", "saved", "provider_saved"):
        row[f"{money}_usd"] = from_nanos(row.pop(f"{money}_nanos"))
    return SpendRow(name=name, **row)


def _from_days(connection: Connection, column: str, since: float | None, until: float | None) -> list[Any]:
    where, values = _range("day", since, until, lambda at: int(at // _DAY))
    sums = ", ".join(f"CAST(SUM({name}) AS BIGINT)" for name in _NUMBERS)
    statement = f"SELECT {column}, {sums} FROM spend_daily{where} GROUP BY {column}"  # noqa: S608 - our own names
    return [(row[0], row[1:]) for row in _run(connection, statement, values)]


def _from_rows(connection: Connection, column: str, since: float | None, until: float | None) -> list[Any]:
    """Each end of a call joined with its beginning, which knows whose it was; settled doubts do not count."""
    where, values = _range("s.at", since, until, float)
    named = f"CAST(s.at / {_DAY} AS BIGINT)" if column == "day" else f"i.{column}"
    if column == "day" and connection.dialect.name == "postgresql":
        named = f"CAST(FLOOR(s.at / {_DAY}) AS BIGINT)"
    mask = (1 << WRITER_SHIFT) - 1
    parts = (
        "CASE WHEN s.kind <> 3 AND COALESCE(s.error, '') <> 'NotSent' THEN 1 ELSE 0 END",
        "s.cost_nanos",
        "CASE WHEN s.kind = 1 AND s.cost_nanos IS NULL THEN 1 ELSE 0 END",
        "CASE WHEN s.kind = 2 THEN 1 ELSE 0 END",
        "CASE WHEN s.kind = 2 THEN COALESCE(s.reserved_nanos, 0) ELSE 0 END",
        "CASE WHEN s.kind = 3 THEN 1 ELSE 0 END",
        "CASE WHEN s.kind = 3 THEN s.saved_nanos ELSE 0 END",
        "CASE WHEN s.error IS NOT NULL AND s.error <> 'NotSent' THEN 1 ELSE 0 END",
        *(f"s.{name}" for name in _NUMBERS[8:-1]),
        "CASE WHEN s.kind = 1 THEN s.saved_nanos ELSE 0 END",
    )
    sums = ", ".join(f"CAST(SUM({part}) AS BIGINT)" for part in parts)
    statement = (
        f"SELECT {named}, {sums} FROM ledger AS s"  # noqa: S608 - our own names
        f" JOIN ledger AS i ON i.writer = s.entry >> {WRITER_SHIFT} AND i.seq = s.entry & {mask}"
        f"{where}{' AND' if where else ' WHERE'} s.kind <> 0 AND NOT (s.kind = 2 AND EXISTS"
        " (SELECT 1 FROM ledger AS t WHERE t.entry = s.entry AND t.kind = 1))"
        f" GROUP BY {named}"
    )
    return [(row[0], row[1:]) for row in _run(connection, statement, values)]


def _range(
    column: str, since: float | None, until: float | None, number: Callable[[float], float]
) -> tuple[str, tuple[float, ...]]:
    parts = [(f"{column} >= ?", since), (f"{column} < ?", until)]
    given = [(text, number(at)) for text, at in parts if at is not None]
    return (
        " WHERE " + " AND ".join(text for text, _ in given) if given else "",
        tuple(at for _, at in given),
    )


def _run(connection: Connection, statement: str, values: tuple[float, ...]) -> list[Any]:
    return list(connection.exec_driver_sql(native(connection, statement), values))
