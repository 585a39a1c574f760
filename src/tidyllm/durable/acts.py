"""What people do to runs from outside of the processes that run them: cancel, answer, fork, prune. It runs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from secrets import token_hex
from typing import Any

import msgspec

from tidyllm import clock
from tidyllm.durable import blobs
from tidyllm.durable.codec import encode_plain
from tidyllm.durable.database import Connection, prepare
from tidyllm.durable.forking import copy_records
from tidyllm.durable.starting import outcome
from tidyllm.durable.tables import ASKED
from tidyllm.errors import RunError

__all__ = ["Pruned", "approve", "cancel", "fork", "prune", "signal"]

_CANCEL = """UPDATE {e}workflow_status SET status = 'CANCELLED', owner_xid = NULL, queue_name = NULL,
 deduplication_id = NULL, completed_at = ?, updated_at = ?
 WHERE workflow_uuid = ? AND status NOT IN ('SUCCESS', 'ERROR', 'CANCELLED')"""
_ENGINE_TABLES = {
    "operation_outputs": "workflow_uuid",
    "workflow_input": "workflow_uuid",
    "workflow_output": "workflow_uuid",
    "workflow_status": "workflow_uuid",
}
_AT_ONCE = 500


class Pruned(msgspec.Struct, frozen=True):
    """What a pruning removed, or would remove."""

    runs: int
    steps: int
    blobs: int


def cancel(at: Connection, run: str) -> bool:
    """Stop `run` before its next step, wherever it runs; False when it was over already.

    :raises RunNotFound: there is none of that id.
    """
    outcome(at, run)
    now = int(clock.now() * 1000)
    # A stopped run is the engine's CANCELLED already: from now on it is one that nobody mends.
    given_up = at.run(
        "UPDATE {s}tidyllm_runs SET stopped = NULL WHERE id = ? AND stopped IS NOT NULL", (run,)
    )
    return at.run(_CANCEL, (now, now, run)) + given_up > 0


def questions(at: Connection, run: str) -> list[tuple[str, str]]:
    """`(path, question)` of what the run asks."""
    rows = at.rows(
        "SELECT path, output FROM {s}tidyllm_steps WHERE run = ? AND state = ? ORDER BY seq", (run, ASKED)
    )
    return [(str(path), str(text)) for path, text in rows]


def approve(at: Connection, run: str, question: str | None, answer: str) -> str:
    """Answer a question, by default the only one; returns its path.

    :raises RunNotFound: there is no such run.
    :raises RunError: that question is not open, or it is not clear which is meant.
    """
    outcome(at, run)
    asked = questions(at, run)
    open_ones = [path for path, _ in asked]
    if question is None and len(open_ones) != 1:
        said = (
            f"{len(open_ones)} questions are open: {', '.join(open_ones)}" if open_ones else "it asks nothing"
        )
        raise RunError(
            f"run {run!r}: {said}.", run_id=run, hint="Name a question by its path." if open_ones else ""
        )
    path = question or open_ones[0]
    if path not in open_ones:
        raise RunError(
            f"run {run!r} asks nothing at {path!r}; open: {', '.join(open_ones) or 'none'}.", run_id=run
        )
    _send(at, run, "answer", path, msgspec.json.encode(answer).decode())
    return path


def signal(at: Connection, run: str, name: str, value: Any) -> None:
    """Send a value to a run. :raises RunNotFound: there is no such run."""
    outcome(at, run)
    _send(at, run, "signal", name, encode_plain(value))


def _send(at: Connection, run: str, kind: str, name: str, text: str) -> None:
    sql = "INSERT INTO {s}tidyllm_messages (run, kind, name, value, at) VALUES (?, ?, ?, ?, ?)"
    at.run(sql, (run, kind, name, text, clock.now()))


def fork(at: Connection, run: str, from_step: str | None, new: str | None = None) -> str:
    """A new run with what `run` recorded before `from_step`; it waits for a worker of its flow. Returns its id.

    :raises RunNotFound: there is no such run or step.
    """
    found = outcome(at, run)
    made = new or token_hex(16)
    copy_records(at, run, made, from_step)
    from tidyllm.durable.engine import enqueue, queue_of

    enqueue(at.location, made, queue_of(found.flow))
    return made


def prune(
    at: Connection, older_than: float, statuses: Sequence[str] = ("done",), *, dry_run: bool = False
) -> Pruned:
    """Remove runs that ended more than `older_than` seconds ago, and large values that nobody refers to any more.

    Runs that were stopped (their program has changed) can go on once that is mended: they stay, unless cancelled.
    """
    words = {"done": "SUCCESS", "failed": "ERROR", "cancelled": "CANCELLED"}
    chosen = [words[one] for one in statuses]
    marks = ", ".join("?" for _ in chosen)
    rows = at.rows(
        "SELECT workflow_uuid FROM {e}workflow_status"  # noqa: S608 - marks only
        f" WHERE status IN ({marks}) AND COALESCE(completed_at, updated_at) < ? AND NOT EXISTS"
        " (SELECT 1 FROM {s}tidyllm_runs r WHERE r.id = workflow_uuid AND r.stopped IS NOT NULL)",
        (*chosen, int((clock.now() - older_than) * 1000)),
    )
    runs = [str(row[0]) for row in rows]
    steps = 0
    for start in range(0, len(runs), _AT_ONCE):
        some = runs[start : start + _AT_ONCE]
        marks = ", ".join("?" for _ in some)
        steps += at.rows(f"SELECT count(*) FROM {{s}}tidyllm_steps WHERE run IN ({marks})", some)[0][0]  # noqa: S608
        if dry_run:
            continue
        with at.transaction():
            for table in ("tidyllm_steps", "tidyllm_messages"):
                at.run(f"DELETE FROM {{s}}{table} WHERE run IN ({marks})", some)  # noqa: S608
            at.run(f"DELETE FROM {{s}}tidyllm_runs WHERE id IN ({marks})", some)  # noqa: S608
            for table, column in _ENGINE_TABLES.items():
                at.run(f"DELETE FROM {{e}}{table} WHERE {column} IN ({marks})", some)  # noqa: S608
    return Pruned(len(runs), steps, 0 if dry_run else _drop_blobs(at, bool(runs)))


def _drop_blobs(at: Connection, anything: bool) -> int:
    if not anything:
        return 0
    prepare(at)  # an older program has made the table, maybe
    return blobs.drop_unused(at)
