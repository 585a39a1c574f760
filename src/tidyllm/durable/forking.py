"""Copying what a run has recorded into a new one. It starts nothing."""

from __future__ import annotations

from tidyllm import clock
from tidyllm.durable.database import Connection
from tidyllm.durable.tables import DONE
from tidyllm.errors import RunError, RunNotFound

__all__ = ["copy_records"]

_RUN = """INSERT INTO {s}tidyllm_runs (id, flow, version, input, tags, created, forked_from)
 SELECT ?, flow, '', input, tags, ?, id FROM {s}tidyllm_runs WHERE id = ?"""
_STEPS = """INSERT INTO {s}tidyllm_steps
 (run, path, seq, step, digest, state, tries, policy, started, ended, output, blob)
 SELECT ?, path, seq, step, digest, state, tries, policy, started, ended, output, blob FROM {s}tidyllm_steps
 WHERE run = ? AND state = ? AND (CAST(? AS DOUBLE PRECISION) IS NULL OR ended <= ?) AND path <> ?"""


def copy_records(at: Connection, run: str, new: str, from_step: str | None) -> None:
    """Enter the run `new`, with the records of `run` that ended before `from_step` began; None: all that ended well.

    :raises RunNotFound: there is no such run, or no such step in it.
    :raises RunError: `new` is taken.
    """
    if at.rows("SELECT 1 FROM {s}tidyllm_runs WHERE id = ?", (new,)):
        raise RunError(f"id {new!r} is that of another run.", run_id=new)
    until: float | None = None
    if from_step is not None:
        until = _began(at, run, from_step)
        if until is None:
            raise RunNotFound(
                f"run {run!r} has no step {from_step!r}.",
                run_id=run,
                hint=f"`tidyllm runs show {run}` shows their paths.",
            )
    with at.transaction():
        if not at.run(_RUN, (new, clock.now(), run)):
            raise RunNotFound(f"no run {run!r} is in {at.location.name}.", run_id=run)
        at.run(_STEPS, (new, run, DONE, until, until, from_step or ""))


def _began(at: Connection, run: str, path: str) -> float | None:
    """When a step began; for a flow, a branch and what else has no record of its own: the first step below it."""
    rows = at.rows("SELECT started FROM {s}tidyllm_steps WHERE run = ? AND path = ?", (run, path))
    below = "SELECT min(started) FROM {s}tidyllm_steps WHERE run = ? AND substr(path, 1, ?) = ?"
    rows = rows or at.rows(below, (run, len(path) + 1, f"{path}/"))
    if rows and rows[0][0] is not None:
        return float(rows[0][0])
    # The flow itself, before its first step.
    return 0.0 if at.rows("SELECT 1 FROM {s}tidyllm_runs WHERE id = ? AND flow = ?", (run, path)) else None
