"""Which processes live, and which runs a dead one left behind. It knows leases, not programs."""

from __future__ import annotations

import os
from collections.abc import Collection

from tidyllm.durable.database import Connection
from tidyllm.durable.machine import born, is_gone, machine

__all__ = ["BEAT_SECONDS", "LEASE_SECONDS", "beat", "dead_executors", "left_behind", "sign_off", "sign_on"]

BEAT_SECONDS = 1.0
"""Between two signs of life."""
LEASE_SECONDS = 5.0
"""Without a sign of life for so long, others take over. On the same machine a process that ended is seen at once."""

_NOW = {True: "(julianday('now') - 2440587.5) * 86400.0", False: "EXTRACT(EPOCH FROM clock_timestamp())"}


def _now(at: Connection) -> str:
    """The database's clock, so that clocks of machines need not agree."""
    return _NOW[at.is_sqlite]


def sign_on(at: Connection, executor: str, kind: str) -> None:
    """This process takes part from now on."""
    at.run(
        "INSERT INTO {s}tidyllm_workers (id, machine, pid, born, kind, started, beat)"  # noqa: S608 - no outside text
        f" VALUES (?, ?, ?, ?, ?, {_now(at)}, {_now(at)})",
        (executor, machine(), os.getpid(), born(os.getpid()), kind),
    )


def sign_off(at: Connection, executor: str) -> None:
    """It has ended in order, and holds nothing any more."""
    at.run(f"UPDATE {{s}}tidyllm_workers SET ended = {_now(at)} WHERE id = ?", (executor,))  # noqa: S608


def beat(at: Connection, executor: str, kind: str) -> None:
    """A sign of life."""
    sql = f"UPDATE {{s}}tidyllm_workers SET beat = {_now(at)}, kind = ? WHERE id = ?"  # noqa: S608
    at.run(sql, (kind, executor))


def dead_executors(at: Connection) -> set[str]:
    """Processes that ended, in order or not, or have let their lease run out."""
    rows = at.rows(
        "SELECT id, machine, pid, born, ended IS NOT NULL OR "  # noqa: S608
        f"beat < {_now(at)} - {LEASE_SECONDS} FROM {{s}}tidyllm_workers"
    )
    return {str(row[0]) for row in rows if row[4] or is_gone(row[1], row[2], row[3])}


def left_behind(at: Connection, mine: str, active: Collection[str]) -> list[tuple[str, str, str]]:
    """`(run, executor, flow)` of runs that are under way according to the engine, while nobody runs them."""
    rows = at.rows(
        "SELECT w.workflow_uuid, w.executor_id, r.flow FROM {e}workflow_status w"
        " JOIN {s}tidyllm_runs r ON r.id = w.workflow_uuid WHERE w.status = 'PENDING'"
    )
    if not rows:
        return []
    dead = dead_executors(at)
    known = {row[0] for row in at.rows("SELECT id FROM {s}tidyllm_workers")}
    return [
        (run, executor, flow)
        for run, executor, flow in rows
        if executor in dead or executor not in known or (executor == mine and run not in active)
    ]


def forget_old(at: Connection, days: float = 7.0) -> None:
    """Remove what processes of long ago left in the table."""
    at.run(
        f"DELETE FROM {{s}}tidyllm_workers WHERE beat < {_now(at)} - ? AND NOT EXISTS ("  # noqa: S608
        "SELECT 1 FROM {e}workflow_status w WHERE w.executor_id = tidyllm_workers.id AND w.status = 'PENDING')",
        (days * 86_400,),
    )
