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
from tidyllm.money.counters import Counters
from tidyllm.money.entry import LedgerEntry
from tidyllm.money.facts import Facts, Outcome
from tidyllm.money.local import free_at
from tidyllm.money.row import DOUBT, HIT, INTENT, SETTLEMENT
from tidyllm.money.sums import DailySums

__all__ = ["Batch", "Hit", "Posted", "post_batch"]

_NONE: tuple[None, ...] = (None,) * 9


@dataclass(frozen=True)
class Hit:
    """An answer that a cache gave: what it saved, in nano-dollars (None: unknown)."""

    facts: Facts
    outcome: Outcome
    saved: int | None


@dataclass
class Batch:
    """What is to be written together."""

    closes: list[LedgerEntry] = field(default_factory=list[LedgerEntry])
    asks: list[LedgerEntry] = field(default_factory=list[LedgerEntry])
    hits: list[Hit] = field(default_factory=list[Hit])
    open_from: int | None = None
    """The first row of this writer that is still open."""

    def __bool__(self) -> bool:
        return bool(self.closes or self.asks or self.hits)


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
    counters = Counters(connection, now)
    chain = Chain(connection, now, writer, name)
    posted = Posted(chain.writer, counters.made)
    sums = DailySums()
    counters.load(account for ask in batch.asks for account in ask.path)
    doubted = _doubted(connection, batch.closes, chain.writer)
    for entry in batch.closes:
        _settle(entry, chain, counters, sums, now, was_doubted=entry.id in doubted)
    for hit in batch.hits:
        saved = hit.saved
        chain.add(HIT, None, *hit.facts, None, None, None, saved, *hit.outcome)
        sums.add(now, hit.facts, None, hits=1, saved_nanos=saved or 0)
    texts: dict[tuple[tuple[int, int], ...], str] = {}
    moment = clock.monotonic()
    for ask in batch.asks:
        _decide(ask, chain, counters, posted, texts, moment)
    counters.write()
    sums.write(connection)
    first_open = None if chain.replaced is not None else batch.open_from
    if first_open is None and posted.granted:
        first_open = posted.granted[0][1] & ((1 << WRITER_SHIFT) - 1)
    chain.write(first_open)
    return posted


def _decide(
    ask: LedgerEntry,
    chain: Chain,
    counters: Counters,
    posted: Posted,
    texts: dict[tuple[tuple[int, int], ...], str],
    moment: float,
) -> None:
    amount = ask.amount
    wait = False
    for account in ask.path:
        if account.limit is None:
            continue
        held = counters.held(account)
        verdict = judge(account, held, amount)
        if verdict == "refuse" or (verdict == "wait" and moment >= ask.until):
            when = free_at(account, counters.by_slot(account), amount, held)
            posted.refused.append((ask, exceeded(account, held, amount, ask.what, when)))
            return
        wait = wait or verdict == "wait"
    if wait:
        posted.waiting.append(ask)
        return
    booked = tuple([counters.place(account) for account in ask.path])
    for place in booked:
        counters.change(place, 0, amount, 0)
    for account in ask.path:
        if account.soft is not None:
            held = counters.held(account)
            if held.spent + held.reserved > account.soft:
                posted.crossed[account] = (held, counters.place(account)[1])
    text = texts.get(booked)
    if text is None:
        texts[booked] = text = ",".join(f"{number}:{slot}" for number, slot in booked)
    reserved = amount if ask.priced else None
    number = chain.add(INTENT, None, *ask.facts, text, reserved, None, None, *_NONE[:8])
    posted.granted.append((ask, number, booked))


def _settle(
    entry: LedgerEntry, chain: Chain, counters: Counters, sums: DailySums, now: float, *, was_doubted: bool
) -> None:
    amount, cost, outcome, facts = entry.amount, entry.cost, entry.outcome, entry.facts
    doubtful = entry.doubtful
    if was_doubted and doubtful:
        return  # others have written so already
    spent = 0 if cost is None else cost
    for place in entry.booked:
        if doubtful:
            counters.change(place, 0, -amount, amount)
        elif was_doubted:
            counters.change(place, spent, 0, -amount)
        else:
            counters.change(place, spent, -amount, 0)
    kind = DOUBT if doubtful else SETTLEMENT
    reserved = amount if entry.priced else None
    chain.add(kind, entry.id, *_NONE, None, reserved, cost, None, *outcome)
    numbers = {"calls": 0 if was_doubted or not entry.counted else 1}
    if outcome.error is not None:
        numbers["errors"] = 1
    if doubtful:
        numbers["doubts"], numbers["doubt_nanos"] = 1, amount
    elif cost is None:
        numbers["unpriced"] = 1
    else:
        numbers["cost_nanos"] = cost
    if was_doubted:
        numbers["doubts"], numbers["doubt_nanos"] = -1, -amount
    sums.add(now, facts, outcome, **numbers)


def _doubted(connection: Connection, closes: Sequence[LedgerEntry], writer: int) -> set[int]:
    """Which of the entries were marked in doubt by others, who took this process for dead.

    They belong to a writer that this process was before: there are none in all other cases.
    """
    found: set[int] = set()
    for entry in closes:
        if entry.id >> WRITER_SHIFT != writer:
            mark = "?" if connection.dialect.name == "sqlite" else "%s"
            statement = f"SELECT 1 FROM ledger WHERE entry = {mark} AND kind = {DOUBT} LIMIT 1"  # noqa: S608 - a number of ours
            if connection.exec_driver_sql(statement, (entry.id,)).first() is not None:
                found.add(entry.id)
    return found
