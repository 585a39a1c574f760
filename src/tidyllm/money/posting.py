"""One batch of the ledger as one work of the store: settles, decides, books, all in one transaction.

It decides by the counters in the database, which all processes share, and changes nothing but the database: what
came of it is told by the ledger once the batch is committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from tidyllm import clock
from tidyllm.errors import BudgetExceeded
from tidyllm.money.account import Account, Held, exceeded, judge
from tidyllm.money.chain import WRITER_SHIFT, Chain
from tidyllm.money.counters import Counters, Place
from tidyllm.money.entry import LedgerEntry
from tidyllm.money.facts import NO_FACTS, NO_OUTCOME, Facts
from tidyllm.money.local import free_at
from tidyllm.money.row import DOUBT, HIT, INTENT, SETTLEMENT
from tidyllm.money.sql import Sql
from tidyllm.money.sums import DailySums

__all__ = ["Batch", "Hit", "Posted", "post_batch"]


_DOUBTED = "SELECT 1 FROM ledger WHERE entry = ? AND kind IN (1, 2) AND kind = ? LIMIT 1"


@dataclass(frozen=True)
class Hit:
    """An answer that a cache gave: what it saved, in nano-dollars (None: unknown)."""

    facts: Facts
    saved: int | None


@dataclass
class Batch:
    """What is to be written together."""

    closes: list[LedgerEntry] = field(default_factory=list[LedgerEntry])
    asks: list[LedgerEntry] = field(default_factory=list[LedgerEntry])
    hits: list[Hit] = field(default_factory=list[Hit])
    open_from: int | None = None
    """The first row of this writer that is still open; None: none is."""

    def __bool__(self) -> bool:
        return bool(self.closes or self.asks or self.hits)

    @property
    def later(self) -> int:
        """`open_from` for a batch that is written later than it was made for: meanwhile others may have begun, so
        where none was open any row may be."""
        return self.open_from or 1

    def apart(self) -> list[Batch]:
        """What is in it, each alone: settlements and hits first. Nothing, when it is one thing already."""
        first = self.later
        alone = [Batch([one], [], [], first) for one in self.closes]
        alone += [Batch([], [], [one], first) for one in self.hits]
        alone += [Batch([], [one], [], first) for one in self.asks]
        return alone if len(alone) > 1 else []


@dataclass
class Posted:
    """What came of a batch."""

    writer: int
    made: dict[Account, int]
    """Accounts whose rows were looked up, or made."""
    granted: list[tuple[LedgerEntry, int, tuple[tuple[int, int], ...]]] = field(
        default_factory=list[tuple[LedgerEntry, int, tuple[tuple[int, int], ...]]]
    )
    refused: list[tuple[LedgerEntry, BudgetExceeded]] = field(
        default_factory=list[tuple[LedgerEntry, BudgetExceeded]]
    )
    waiting: list[LedgerEntry] = field(default_factory=list[LedgerEntry])
    crossed: dict[Account, tuple[Held, int]] = field(default_factory=dict[Account, tuple[Held, int]])
    """Accounts above their soft limit, and the slot."""


def post_batch(connection: Connection, batch: Batch, writer: int | None, name: str) -> Posted:
    """Write `batch` on `connection`. `writer`: the number of this process, if it has one already."""
    now = clock.now()
    sql = Sql(connection)
    counters = Counters(sql, now)
    chain = Chain(sql, now, writer, name)
    sums = DailySums(now)
    counters.load([ask.path for ask in batch.asks])
    chain.begin()
    posted = Posted(chain.writer, counters.made)
    if batch.closes:
        _settle(batch.closes, chain, counters, sums, _doubted(sql, batch.closes, chain.writer))
    for hit in batch.hits:
        chain.add(HIT, None, hit.facts, None, None, None, hit.saved, NO_OUTCOME)
        sums.add(hit.facts, NO_OUTCOME, hits=1, saved_nanos=hit.saved or 0)
    if batch.asks:
        _decide(batch.asks, chain, counters, posted)
    counters.write()
    sums.write(sql)
    first_open = None if chain.replaced is not None else batch.open_from
    if first_open is None and posted.granted:
        first_open = posted.granted[0][1] & ((1 << WRITER_SHIFT) - 1)
    chain.write(first_open)
    return posted


def _decide(asks: Sequence[LedgerEntry], chain: Chain, counters: Counters, posted: Posted) -> None:
    """In order: each gets the money from all its accounts, or is refused, or goes on waiting."""
    booked: dict[int, tuple[tuple[tuple[int, int], ...], str]] = {}
    moment = clock.monotonic()
    for ask in asks:
        amount = ask.amount
        places = counters.places(ask.path)
        blocked = False
        for place in places:
            if place.spent + place.reserved + amount > place.limit:
                blocked = True
        if blocked:
            error = _refusal(ask, places, moment)
            if error is None:
                posted.waiting.append(ask)
            else:
                posted.refused.append((ask, error))
            continue
        for place in places:
            place.reserved += amount
            place.added += amount
            if place.account.soft is not None and place.spent + place.reserved > place.account.soft:
                posted.crossed[place.account] = (place.held, place.row[1])
        where = booked.get(id(places))
        if where is None:
            rows = tuple([place.row for place in places])
            booked[id(places)] = where = rows, ",".join([f"{number}:{slot}" for number, slot in rows])
        reserved = amount if ask.priced else None
        number = chain.add(INTENT, None, ask.facts, where[1], reserved, None, None, NO_OUTCOME)
        posted.granted.append((ask, number, where[0]))


def _refusal(ask: LedgerEntry, places: Sequence[Place], moment: float) -> BudgetExceeded | None:
    """Why not; None: it is worth to wait for calls under way."""
    for place in places:
        verdict = judge(place.account, place.held, ask.amount)
        if verdict == "refuse" or (verdict == "wait" and moment >= ask.until):
            when = free_at(place.account, place.slots, ask.amount, place.held)
            return exceeded(place.account, place.held, ask.amount, ask.what, when)
    return None


def _settle(
    closes: Sequence[LedgerEntry], chain: Chain, counters: Counters, sums: DailySums, doubted: set[int]
) -> None:
    """What was set aside becomes spent, or in doubt; what others had put in doubt becomes spent."""
    changes: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for entry in closes:
        amount, cost, outcome = entry.amount, entry.cost, entry.outcome
        doubtful = cost is None and entry.doubtful
        change = changes.get(entry.booked)
        if change is None:
            changes[entry.booked] = change = [0, 0, 0]
        calls, doubts, in_doubt = 1 if entry.counted else 0, 0, 0
        if doubted and entry.id in doubted:
            if doubtful:
                continue  # others have written so already
            change[2] -= amount
            calls, doubts, in_doubt = 0, -1, -amount
        else:
            change[1] -= amount
        if doubtful:
            change[2] += amount
            doubts, in_doubt = 1, amount
        elif cost is not None:
            change[0] += cost
        kind = DOUBT if doubtful else SETTLEMENT
        reserved, saved = amount if entry.priced else None, entry.saved
        chain.add(kind, entry.id, NO_FACTS, None, reserved, cost, saved, outcome)
        if saved:
            sums.add(entry.facts, NO_OUTCOME, provider_saved_nanos=saved)
        sums.settled(
            entry.facts,
            outcome,
            calls,
            cost or 0,
            1 if cost is None and not doubtful else 0,
            doubts,
            in_doubt,
        )
    for rows, change in changes.items():
        for row in rows:
            counters.change(row, *change)


def _doubted(sql: Sql, closes: Sequence[LedgerEntry], writer: int) -> set[int]:
    """Which of the entries were marked in doubt by others, who took this process for dead.

    They belong to a writer that this process was before: there are none in all other cases.
    """
    found: set[int] = set()
    for entry in closes:
        if entry.id >> WRITER_SHIFT != writer and sql.rows(_DOUBTED, (entry.id, DOUBT)):
            found.add(entry.id)
    return found
