"""One request as the ledger knows it: its attempts, what they cost, what a cache gave. No content: there is none."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from tidyllm.core.trace import begun_at
from tidyllm.errors import ConfigError
from tidyllm.money.nanos import from_nanos
from tidyllm.money.row import DOUBT, HIT, INTENT, SETTLEMENT
from tidyllm.store.tables.money import ledger

__all__ = ["AttemptReport", "RequestReport", "request_report"]

_ID = re.compile(r"[0-9a-f]{32}")
_BEFORE, _AFTER = 60.0, 3600.0
"""Seconds around the beginning of a run: clocks differ, and runs of a gateway end within an hour."""


class AttemptReport(msgspec.Struct, kw_only=True):
    """One call to a provider, or one answer from a cache (`state` is then `hit`)."""

    at: float
    """Seconds since 1970, when it began."""
    state: str
    """`settled`, `unpriced` (answered, and nobody knows the price), `in doubt`, `open` or `hit`."""
    target: str | None
    model: str | None
    seconds: float | None = None
    status: int | None = None
    error: str | None = None
    provider_request_id: str | None = None
    reserved_usd: Decimal | None = None
    cost_usd: Decimal | None = None
    saved_usd: Decimal | None = None
    """Of a `hit`: what the answer had cost."""
    provider_saved_usd: Decimal | None = None
    """What the provider's own cache of prompts saved; below 0 where writing to it cost more."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class RequestReport(msgspec.Struct, kw_only=True):
    """All that is written down of one request."""

    id: str
    route: str | None
    key: str | None
    team: str | None
    tags: dict[str, str]
    attempts: list[AttemptReport]
    cost_usd: Decimal
    """Of the attempts whose cost is known."""


def request_report(connection: Connection, request_id: str) -> RequestReport | None:
    """The request whose answer had `request_id` in its header `x-request-id`; None when the ledger has none.

    :raises ConfigError: it is no such id.
    """
    if not _ID.fullmatch(request_id):
        raise ConfigError(
            f"{request_id[:80]!r} is no id of a request; expected 32 hexadecimal digits.",
            where="id",
            hint="It stands in the header x-request-id of each answer.",
        )
    query = select(ledger).where(ledger.c.run_id == bytes.fromhex(request_id)).order_by(ledger.c.at)
    # An id of ours tells when the run began. One that a caller brought along does not: then every row is looked at.
    began = begun_at(int(request_id, 16))
    near = query.where(ledger.c.at.between(began - _BEFORE, began + _AFTER))
    begun = connection.execute(near).mappings().all() or connection.execute(query).mappings().all()
    if not begun:
        return None
    entries = [row["entry"] for row in begun if row["kind"] == INTENT]
    ended: dict[int, Any] = {}
    settled = select(ledger).where(ledger.c.entry.in_(entries), ledger.c.kind.in_((SETTLEMENT, DOUBT)))
    for row in connection.execute(settled).mappings():
        if row["entry"] not in ended or row["kind"] == SETTLEMENT:  # what was in doubt may be settled later
            ended[row["entry"]] = row
    attempts = [_attempt(row, ended.get(row["entry"])) for row in begun]
    first = begun[0]
    return RequestReport(
        id=request_id,
        route=first["route"],
        key=first["key_id"],
        team=first["team"],
        tags=msgspec.json.decode(first["tags"], type=dict[str, str]) if first["tags"] else {},
        attempts=attempts,
        cost_usd=sum((one.cost_usd for one in attempts if one.cost_usd is not None), Decimal(0)),
    )


def _attempt(begun: Any, ended: Any) -> AttemptReport:
    if begun["kind"] == HIT:
        return AttemptReport(
            at=begun["at"],
            state="hit",
            target=begun["target"],
            model=begun["model"],
            saved_usd=_usd(begun["saved_nanos"]),
        )
    if ended is None:
        state = "open"
    elif ended["kind"] == DOUBT:
        state = "in doubt"
    else:
        state = "unpriced" if ended["cost_nanos"] is None else "settled"
    known: Any = {} if ended is None else ended
    names = ("input", "output", "cache_read", "cache_write", "reasoning")
    return AttemptReport(
        at=begun["at"],
        state=state,
        target=begun["target"],
        model=begun["model"],
        seconds=None if ended is None else max(ended["at"] - begun["at"], 0.0),
        status=known.get("status"),
        error=known.get("error"),
        provider_request_id=known.get("request_id"),
        reserved_usd=_usd(begun["reserved_nanos"]),
        cost_usd=_usd(known.get("cost_nanos")),
        provider_saved_usd=_usd(known.get("saved_nanos")),
        **{f"{name}_tokens": known.get(f"{name}_tokens") for name in names},
    )


def _usd(nanos: int | None) -> Decimal | None:
    return None if nanos is None else from_nanos(nanos)
