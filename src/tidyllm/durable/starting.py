"""How a run enters our table, and what is found there of it. Plain questions to the database; it runs nothing."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tidyllm import clock
from tidyllm.durable.codec import decode_error
from tidyllm.durable.database import Connection
from tidyllm.durable.tables import STATUS
from tidyllm.errors import RunCancelled, RunError, RunFailed, RunNotFound, StepFailed, TidyllmError

__all__ = ["Outcome", "enter", "outcome", "same_run"]

_ENTER = """INSERT INTO {s}tidyllm_runs (id, flow, version, input, tags, created, deadline, queue, forked_from)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"""
_OUTCOME = """SELECT w.status, COALESCE(o.output, w.output), COALESCE(o.error, w.error), w.executor_id, r.flow, r.input,
 r.stopped FROM {s}tidyllm_runs r LEFT JOIN {e}workflow_status w ON w.workflow_uuid = r.id
 LEFT JOIN {e}workflow_output o ON o.workflow_uuid = r.id WHERE r.id = ?"""


class Outcome(msgspec.Struct, frozen=True):
    """What the database says of one run."""

    status: str
    """`new`, `queued`, `running`, `done`, `failed`, `cancelled` or `stopped`."""
    raw: str | None
    """The engine's own word."""
    output: str | None
    error: str | None
    executor: str | None
    flow: str
    input: str
    stopped: str | None

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.status in ("done", "failed", "cancelled", "stopped")

    def failure(self, run: str) -> Exception:
        """Why there is no answer."""
        if self.status == "stopped" and self.stopped is not None:
            return decode_error(self.stopped, step="", run_id=run)
        if self.status == "cancelled":
            return RunCancelled(f"run {run!r} was cancelled.", run_id=run)
        error = decode_error(
            self.error or '{"class": "?", "message": "?", "of": "other"}', step="", run_id=run
        )
        if isinstance(error, TidyllmError) and not (isinstance(error, StepFailed) and not error.step):
            return error
        note: dict[str, str] = msgspec.json.decode(self.error or "{}")
        words = f"{note.get('class')}: {note.get('message')}"
        return RunFailed(f"run {run!r} failed: {words}", run_id=run)


def enter(
    at: Connection,
    run: str,
    flow: str,
    version: str,
    text: str,
    *,
    tags: Mapping[str, str] | None = None,
    deadline: float | None = None,
    queue: str | None = None,
    forked_from: str | None = None,
) -> None:
    """Enter a new run; nothing happens if it is there already."""
    kept = msgspec.json.encode(dict(tags or {})).decode()
    at.run(_ENTER, (run, flow, version, text, kept, clock.now(), deadline, queue, forked_from))


def outcome(at: Connection, run: str) -> Outcome:
    """:raises RunNotFound: there is no such run."""
    rows = at.rows(_OUTCOME, (run,))
    if not rows:
        raise RunNotFound(f"no run {run!r} is in {at.location.name}.", run_id=run)
    raw, output, error, executor, flow, text, stopped = rows[0]
    status = STATUS.get(raw, "failed")
    if status == "cancelled" and stopped is not None:
        status = "stopped"
    return Outcome(status, raw, output, error, executor, flow, text, stopped)


def same_run(found: Outcome, run: str, flow: str, text: str) -> None:
    """:raises RunError: that id is taken by another flow or another input."""
    if found.flow != flow:
        raise RunError(f"id {run!r} is that of a run of {found.flow!r}, not of {flow!r}.", run_id=run)
    if found.input != text:
        raise RunError(
            f"id {run!r} is that of a run of {flow!r} with another input.",
            run_id=run,
            hint="Choose another id.",
        )
