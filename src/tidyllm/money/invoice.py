"""A provider's bill beside the ledger. It reads a CSV file and says where the two differ; it changes nothing."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from pathlib import Path

import msgspec
from sqlalchemy import Connection

from tidyllm.errors import ConfigError
from tidyllm.money.chain import WRITER_SHIFT
from tidyllm.money.nanos import from_nanos, to_nanos
from tidyllm.money.sql import native

__all__ = ["Billed", "Difference", "Reconciled", "read_invoice", "reconcile"]

_NAMES = {
    "request_id": "request_id",
    "id": "request_id",
    "day": "day",
    "date": "day",
    "model": "model",
    "cost_usd": "cost_usd",
    "amount_usd": "cost_usd",
    "cost": "cost_usd",
    "amount": "cost_usd",
    "currency": "currency",
}
"""Columns that an invoice may have, under the names that exports use."""
_LARGEST = 512 * 1024 * 1024
_DATED = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8})$")


class Billed(msgspec.Struct, frozen=True):
    """One line of an invoice."""

    line: int
    cost_nanos: int
    request_id: str | None = None
    day: int | None = None
    """Days since 1970."""
    model: str | None = None


class Difference(msgspec.Struct, frozen=True):
    """Where the two disagree. A side that knows nothing of it is None."""

    what: str
    """`request req_1`, or `2026-11-01 gpt-5-mini`."""
    why: str
    billed_usd: Decimal | None
    ledger_usd: Decimal | None


class Reconciled(msgspec.Struct):
    """What came of the comparison. Dollars that agree are in both totals."""

    matched: int
    """Requests, or days of a model, that agree."""
    billed_usd: Decimal
    ledger_usd: Decimal
    differences: list[Difference]


def read_invoice(path: str | Path) -> list[Billed]:
    """The lines of an invoice: `cost_usd`, and `request_id` or both of `day` and `model`; `currency` may say USD.

    :raises ConfigError: it cannot be read, or a column or value is odd; the message names line, column and value.
    """
    file = Path(path)
    try:
        if file.stat().st_size > _LARGEST:
            raise ConfigError(f"{file} is larger than {_LARGEST} bytes; split it by days.")
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{file} is not UTF-8 at byte {error.start}.", hint="Export it as CSV in UTF-8."
        ) from None
    try:
        rows = list(csv.reader(io.StringIO(text), strict=True))
    except csv.Error as error:
        raise ConfigError(f"{file} is no CSV: {error}.") from None
    if not rows:
        raise ConfigError(f"{file} is empty; expected a line with the names of its columns.")
    columns = _columns(rows[0], str(file))
    return [_billed(file, number, columns, row) for number, row in enumerate(rows[1:], 2) if any(row)]


def _columns(head: Sequence[str], file: str) -> list[str]:
    columns: list[str] = []
    for name in head:
        plain = name.strip().lower().replace(" ", "_")
        known = _NAMES.get(plain)
        if known is None:
            near = get_close_matches(plain[:60], _NAMES, 1)
            raise ConfigError(
                f"{file} has a column {name[:60]!r}; known are {', '.join(_NAMES)}.",
                where="invoice",
                hint=f"Did you mean {near[0]!r}?" if near else "Leave other columns out.",
            )
        if known in columns:
            raise ConfigError(f"{file} has two columns for {known!r}.", where="invoice")
        columns.append(known)
    if "cost_usd" not in columns or not ("request_id" in columns or {"day", "model"} <= set(columns)):
        raise ConfigError(
            f"{file} has columns {', '.join(columns)}; expected cost_usd, and request_id or both day and model.",
            where="invoice",
        )
    return columns


def _billed(file: Path, line: int, columns: Sequence[str], row: Sequence[str]) -> Billed:
    where = f"{file}:{line}"
    if len(row) != len(columns):
        raise ConfigError(f"{len(row)} values for {len(columns)} columns.", where=where)
    given = {name: value.strip() for name, value in zip(columns, row, strict=True)}
    if (currency := given.get("currency", "USD")).upper() != "USD":
        raise ConfigError(f"currency {currency[:20]!r} is not USD, the only one known.", where=where)
    try:
        cost = Decimal(given["cost_usd"].removeprefix("$").replace(",", ""))
    except InvalidOperation:
        raise ConfigError(
            f"cost_usd {given['cost_usd'][:40]!r} is no amount in dollars.", where=where
        ) from None
    if not cost.is_finite() or not 0 <= cost < 10**9:
        raise ConfigError(f"cost_usd {given['cost_usd'][:40]!r} is not from 0 to a billion.", where=where)
    day: int | None = None
    if "day" in given:
        try:
            day = (dt.date.fromisoformat(given["day"][:10]) - dt.date(1970, 1, 1)).days
        except ValueError:
            raise ConfigError(
                f"day {given['day'][:40]!r} is no date; expected 2026-11-01.", where=where
            ) from None
    return Billed(line, to_nanos(cost), given.get("request_id") or None, day, given.get("model") or None)


def reconcile(
    connection: Connection,
    billed: Iterable[Billed],
    *,
    since: float | None = None,
    until: float | None = None,
    tolerance_usd: Decimal = Decimal(0),
) -> Reconciled:
    """Compare by request id where the lines have one, else by day and model (dated versions of a model count as it).

    `since` and `until` bound what of the ledger must be on the invoice; default: the days that the invoice names, or
    all. `tolerance_usd`: smaller differences of one request or day are none.
    """
    lines = list(billed)
    bill: dict[str, int] = {}
    by_request = any(line.request_id for line in lines)
    for line in lines:
        name = f"request {line.request_id}" if by_request else _day_model(line.day or 0, line.model or "")
        bill[name] = bill.get(name, 0) + line.cost_nanos
    days = [line.day for line in lines if line.day is not None]
    if days and since is None:
        since = min(days) * 86_400.0
    if days and until is None:
        until = (max(days) + 1) * 86_400.0
    ours, doubtful = _booked(connection, since, until, by_request=by_request)
    allowed = to_nanos(tolerance_usd)
    differences: list[Difference] = []
    matched = 0
    for name in sorted(set(bill) | set(ours)):
        theirs, mine = bill.get(name), ours.get(name)
        if theirs is not None and mine is not None and abs(theirs - mine) <= allowed and name not in doubtful:
            matched += 1
            continue
        if theirs is None and (mine or 0) <= allowed and name not in doubtful:
            continue  # what cost nothing need not be on a bill
        why = (
            "in doubt in the ledger" if name in doubtful
            else "not in the ledger" if mine is None
            else "not on the invoice" if theirs is None
            else "different"
        )  # fmt: skip
        shown = None if mine is None else from_nanos(mine)
        differences.append(Difference(name, why, None if theirs is None else from_nanos(theirs), shown))
    return Reconciled(matched, from_nanos(sum(bill.values())), from_nanos(sum(ours.values())), differences)


def _day_model(day: int, model: str) -> str:
    return f"{dt.date(1970, 1, 1) + dt.timedelta(days=day)} {_DATED.sub('', model)}"


def _booked(
    connection: Connection, since: float | None, until: float | None, *, by_request: bool
) -> tuple[dict[str, int], set[str]]:
    """The ledger's cost by request or by day and model, and which of these are in doubt."""
    mask = (1 << WRITER_SHIFT) - 1
    statement = (
        "SELECT s.request_id, s.at, i.model, s.kind, s.cost_nanos FROM ledger AS s"  # noqa: S608 - our own names
        f" JOIN ledger AS i ON i.writer = s.entry >> {WRITER_SHIFT} AND i.seq = s.entry & {mask}"
        " WHERE s.kind <> 0 AND s.kind IN (1, 2) AND COALESCE(s.error, '') <> 'NotSent' AND s.at >= ? AND s.at < ?"
        " AND NOT (s.kind = 2 AND EXISTS (SELECT 1 FROM ledger AS t WHERE t.entry = s.entry AND t.kind = 1))"
    )
    bounds = (0.0 if since is None else since, 1e18 if until is None else until)
    costs: dict[str, int] = {}
    doubtful: set[str] = set()
    for request, at, model, kind, cost in connection.exec_driver_sql(native(connection, statement), bounds):
        if by_request:
            if request is None:
                continue
            name = f"request {request}"
        else:
            name = _day_model(int(at // 86_400), model or "")
        costs[name] = costs.get(name, 0) + (cost or 0)
        if kind == 2:
            doubtful.add(name)
    return costs, doubtful
