"""After a crash: what a dead writer left open becomes *in doubt*. It knows who is dead, and never what a call cost.

A writer is dead when its process is gone from this machine, or when it has given no sign of life for a minute. One
that was only slow finds itself replaced, goes on as a new writer, and settles what others had marked: a doubt is not
the end.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from tidyllm import clock
from tidyllm.money.chain import Chain
from tidyllm.money.counters import Counters
from tidyllm.money.facts import NO_FACTS, NO_OUTCOME, Facts
from tidyllm.money.process import alive
from tidyllm.money.row import DOUBT
from tidyllm.money.sql import Sql, native
from tidyllm.money.sums import DailySums

__all__ = ["STALE_SECONDS", "open_entries", "recover", "sign_off"]

STALE_SECONDS = 60.0
"""Without a sign of life for so long a writer counts as dead; it gives one every ten seconds."""

_OTHERS = (
    "SELECT id, host, pid, process_started, heartbeat_at FROM ledger_writers"
    " WHERE recovered_at IS NULL AND ended_at IS NULL"
)
_CLAIM = "UPDATE ledger_writers SET recovered_at = ? WHERE id = ? AND recovered_at IS NULL"
_OPEN = (
    "SELECT entry, run_id, span_id, provider, target, model, route, key_id, team, tags, booked, reserved_nanos"
    " FROM ledger AS i WHERE writer = ? AND kind = 0"
    " AND seq >= (SELECT open_from FROM ledger_writers WHERE id = ?)"
    " AND NOT EXISTS (SELECT 1 FROM ledger AS s WHERE s.entry = i.entry AND s.kind IN (1, 2)) ORDER BY seq"
)


def recover(connection: Connection, writer: int | None, *, name: str = "recovery") -> int:
    """Mark what dead writers left open as in doubt; returns how many entries. It also gives our own sign of life.

    `writer`: our own number; None: we have none yet, and become one only if there is something to mark.
    """
    now = clock.now()
    if writer is not None:
        connection.exec_driver_sql(
            native(connection, "UPDATE ledger_writers SET heartbeat_at = ? WHERE id = ?"), (now, writer)
        )
    dead = [
        number
        for number, host, pid, started, heartbeat in connection.exec_driver_sql(_OTHERS)
        if number != writer and _is_dead(host, pid, started, heartbeat, now)
    ]
    marked = 0
    for number in dead:
        if connection.exec_driver_sql(native(connection, _CLAIM), (now, number)).rowcount == 1:
            marked += _mark(connection, number, writer, name, now)
    return marked


def open_entries(connection: Connection, writer: int) -> list[Any]:
    """The intents of `writer` that were neither settled nor marked."""
    return list(connection.exec_driver_sql(native(connection, _OPEN), (writer, writer)))


def sign_off(connection: Connection, writer: int) -> None:
    """The process `writer` is about to end. What it leaves open is in doubt."""
    now = clock.now()
    _mark(connection, writer, writer, "", now)
    connection.exec_driver_sql(
        native(connection, "UPDATE ledger_writers SET ended_at = ? WHERE id = ?"), (now, writer)
    )


def _is_dead(host: str, pid: int, started: str, heartbeat: float, now: float) -> bool:
    runs = alive(host, pid, started)
    # One that is seen to run is slow, not dead.
    return now - heartbeat > STALE_SECONDS if runs is None else not runs


def _mark(connection: Connection, dead: int, writer: int | None, name: str, now: float) -> int:
    left = open_entries(connection, dead)
    if not left:
        return 0
    sql = Sql(connection)
    chain = Chain(sql, now, writer, name)
    chain.begin()
    counters = Counters(sql, now)
    sums = DailySums(now)
    for entry, *columns in left:
        facts = Facts(*columns[:9])
        booked, reserved = columns[9:]
        amount = reserved or 0
        for place in (booked or "").split(",") if booked else ():
            account, _, slot = place.partition(":")
            counters.change((int(account), int(slot)), 0, -amount, amount)
        outcome = NO_OUTCOME._replace(error="Crashed")
        chain.add(DOUBT, entry, NO_FACTS, None, reserved, None, None, outcome)
        sums.settled(facts, outcome, 1, 0, 0, 1, amount)
    counters.write()
    sums.write(sql)
    sql.send()
    own = connection.exec_driver_sql(
        f"SELECT open_from FROM ledger_writers WHERE id = {int(chain.writer)}"  # noqa: S608 - a number
    ).scalar_one()
    chain.write(int(own) if writer is not None and writer != dead else None)
    sql.send()
    return len(left)
