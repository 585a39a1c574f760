"""What keys and teams used in the last minute, as the ledger has it: for counters that were lost.

It reads the ledger's table and knows no counters. A request counts once in each second in which it called a provider or
was answered from a cache; tokens count where the call began, and only once it is settled. What never reached a provider
is not in the ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from tidyllm import clock
from tidyllm.access.window import SPAN

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Used", "used_lately"]

Used: TypeAlias = dict[str, dict[int, tuple[int, int]]]
"""By the name of a subject (`key:ID`, `team:NAME`) and by second: requests, tokens."""

_INTENT, _SETTLED, _HIT = 0, 1, 3


def used_lately(connection: Connection) -> Used:
    """Everybody's use in the seconds that count now. Each writer is read from where its last minute begins."""
    import sqlalchemy as sa

    from tidyllm.store.tables.money import ledger, ledger_writers

    first = int(clock.now()) - SPAN + 1
    writers = connection.execute(
        sa.select(ledger_writers.c.id, ledger_writers.c.seq).where(
            ledger_writers.c.heartbeat_at >= first - SPAN
        )
    ).all()
    second = sa.cast(sa.func.floor(ledger.c.at), sa.BigInteger).label("second")
    ends = ledger.alias("ends")
    tokens = sa.func.coalesce(ends.c.input_tokens, 0) + sa.func.coalesce(ends.c.output_tokens, 0)
    # The very words of the partial index: with values in their place, or with `= 1` behind them, SQLite would read all
    # rows for each.
    indexed = sa.text(f"{ends.name}.kind IN (1, 2)")
    settled = sa.and_(ends.c.entry == ledger.c.entry, indexed, ends.c.kind == _SETTLED)
    used: Used = {}
    for writer, last in writers:
        rows = connection.execute(
            sa.select(
                ledger.c.key_id,
                ledger.c.team,
                second,
                sa.func.count(sa.distinct(ledger.c.run_id)),
                sa.func.coalesce(sa.func.sum(tokens), 0),
            )
            .select_from(ledger.outerjoin(ends, settled))
            .where(
                ledger.c.writer == writer,
                ledger.c.seq >= _begin(connection, writer, last, first),
                ledger.c.at >= first,
                ledger.c.kind.in_((_INTENT, _HIT)),
                ledger.c.key_id.is_not(None),
            )
            .group_by(ledger.c.key_id, ledger.c.team, second)
        )
        for key, team, at, requests, counted in rows:
            for name in (f"key:{key}", *([f"team:{team}"] if team else ())):
                seconds = used.setdefault(name, {})
                before = seconds.get(at, (0, 0))
                seconds[at] = (before[0] + requests, before[1] + int(counted))
    return used


def _begin(connection: Connection, writer: int, last: int, first: float) -> int:
    """The first row of a writer that is not older than `first`: its rows are in order of time, without a gap."""
    import sqlalchemy as sa

    from tidyllm.store.tables.money import ledger

    low, high = 1, last + 1
    while low < high:
        middle = (low + high) // 2
        at = connection.execute(
            sa.select(ledger.c.at).where(ledger.c.writer == writer, ledger.c.seq == middle)
        ).scalar()
        if at is None or at < first:
            low = middle + 1
        else:
            high = middle
    return low
