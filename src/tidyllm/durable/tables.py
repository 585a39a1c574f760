"""Our tables beside those of the engine, in the same database. It knows columns, not what runs.

`tidyllm_steps` grows by one row a recorded call; a large value is kept once, in `tidyllm_blobs`, under its hash;
`created` is when it was last asked to be kept.
"""

from __future__ import annotations

__all__ = ["ASKED", "DONE", "FAILED", "LEFT", "RUNNING", "SCHEMA", "STATUS", "ddl"]

SCHEMA = 1
"""Of the tables below; a higher one in a database was written by a newer program than this."""

RUNNING, DONE, FAILED, ASKED, LEFT = range(5)
"""States of a record: begun and not ended; ended; failed; waits for a person; its reader left the stream early."""

STATUS: dict[str | None, str] = {
    None: "new",
    "PENDING": "running",
    "ENQUEUED": "queued",
    "DELAYED": "queued",
    "SUCCESS": "done",
    "ERROR": "failed",
    "CANCELLED": "cancelled",
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": "failed",
}
"""The engine's words for a run's status, and ours."""

_TABLES = (
    "CREATE TABLE IF NOT EXISTS {s}tidyllm_schema (version INTEGER PRIMARY KEY)",
    """CREATE TABLE IF NOT EXISTS {s}tidyllm_runs (
        id TEXT PRIMARY KEY, flow TEXT NOT NULL, version TEXT NOT NULL, input TEXT NOT NULL, tags TEXT NOT NULL,
        created DOUBLE PRECISION NOT NULL, deadline DOUBLE PRECISION, queue TEXT, forked_from TEXT, stopped TEXT)""",
    "CREATE INDEX IF NOT EXISTS tidyllm_runs_created ON {s}tidyllm_runs (created)",
    """CREATE TABLE IF NOT EXISTS {s}tidyllm_steps (
        run TEXT NOT NULL, path TEXT NOT NULL, seq INTEGER NOT NULL, step TEXT NOT NULL, digest TEXT,
        state SMALLINT NOT NULL, tries SMALLINT NOT NULL DEFAULT 1, policy TEXT NOT NULL,
        started DOUBLE PRECISION NOT NULL, ended DOUBLE PRECISION, output TEXT, blob TEXT,
        PRIMARY KEY (run, path)){w}""",
    """CREATE TABLE IF NOT EXISTS {s}tidyllm_blobs (
        hash TEXT PRIMARY KEY, data TEXT NOT NULL, created DOUBLE PRECISION NOT NULL DEFAULT 0)""",
    """CREATE TABLE IF NOT EXISTS {s}tidyllm_messages (
        id {serial}, run TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
        at DOUBLE PRECISION NOT NULL, taken TEXT)""",
    "CREATE INDEX IF NOT EXISTS tidyllm_messages_run ON {s}tidyllm_messages (run, kind, name)",
    """CREATE TABLE IF NOT EXISTS {s}tidyllm_workers (
        id TEXT PRIMARY KEY, machine TEXT NOT NULL, pid INTEGER NOT NULL, born TEXT NOT NULL, kind TEXT NOT NULL,
        started DOUBLE PRECISION NOT NULL, beat DOUBLE PRECISION NOT NULL, ended DOUBLE PRECISION)""",
)


def ddl(dialect: str) -> tuple[str, ...]:
    """The statements that make what is missing."""
    if dialect == "sqlite":
        return tuple(
            one.format(s="", w=" WITHOUT ROWID", serial="INTEGER PRIMARY KEY AUTOINCREMENT")
            for one in _TABLES
        )
    made = tuple(
        one.format(s="tidyllm_runs.", w="", serial="BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY")
        for one in _TABLES
    )
    return ("CREATE SCHEMA IF NOT EXISTS tidyllm_runs", *made)
