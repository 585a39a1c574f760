"""The one thread that writes records: what is asked for at the same time goes into one transaction.

Each write is fenced: it counts only while the engine's row says that this execution still owns the run. It knows rows,
not what they mean.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tidyllm import clock
from tidyllm.durable.blobs import INSERT
from tidyllm.durable.database import Connection, DatabaseError
from tidyllm.errors import LeaseLost, RunCancelled, RunError, StoreDown

__all__ = ["PATIENCE", "Journal", "Write"]

PATIENCE = 30.0
"""Seconds that a write waits for a database that is away, before the run stops."""

_COLUMNS = "run, path, seq, step, digest, state, policy, started"
_BEGUN = """INSERT INTO {s}tidyllm_steps (%s) %s
 ON CONFLICT (run, path) DO UPDATE SET state = excluded.state, started = excluded.started, seq = excluded.seq,
 tries = tidyllm_steps.tries + 1"""
_ENDED = """INSERT INTO {s}tidyllm_steps (%s, ended, output, blob) %s
 ON CONFLICT (run, path) DO UPDATE SET state = excluded.state, ended = excluded.ended, seq = excluded.seq,
 output = excluded.output, blob = excluded.blob"""
_TYPES = ("TEXT", "TEXT", "INTEGER", "TEXT", "TEXT", "SMALLINT", "TEXT", "DOUBLE PRECISION")
_TYPES_ENDED = (*_TYPES, "DOUBLE PRECISION", "TEXT", "TEXT")
# Of Postgres, a write and its fence in one statement are one round trip in place of four.
_FENCE = (
    "WITH fence AS (SELECT 1 FROM {e}workflow_status"
    " WHERE workflow_uuid = ? AND status = 'PENDING' AND owner_xid = ? FOR SHARE) "
)


def _fenced(sql: str, types: tuple[str, ...]) -> str:
    values = ", ".join(f"CAST(? AS {one})" for one in types)
    return _FENCE + sql % (_COLUMNS, f"SELECT {values} WHERE EXISTS (SELECT 1 FROM fence)")  # noqa: S608


def _plain(sql: str, types: tuple[str, ...]) -> str:
    return sql % (_COLUMNS, f"VALUES ({', '.join('?' for _ in types)})")


_BEGIN, _END = _plain(_BEGUN, _TYPES), _plain(_ENDED, _TYPES_ENDED)
_FENCED_BEGIN, _FENCED_END = _fenced(_BEGUN, _TYPES), _fenced(_ENDED, _TYPES_ENDED)
_OWNER = "SELECT status, owner_xid FROM {e}workflow_status WHERE workflow_uuid = ?"


@dataclass(eq=False, slots=True)
class Write:
    """What is to be written of one call. `ended` is None for an intent."""

    run: str
    owner: str
    row: tuple[Any, ...]
    ended: bool = False
    blob: tuple[str, str] | None = None
    hard: bool = False
    """It must be on the disk of the database before we go on."""
    taken: int | None = None
    """The message that this answer consumes."""
    done: Callable[[RunError | StoreDown | None], None] = field(default=lambda _: None)


class Journal:
    """Writes for all runs of this process."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._quick = None if connection.is_sqlite else Connection(connection.location)
        """For what need not be on the disk at once."""
        if self._quick is not None:
            self._quick.set_soft()
        self._fence = _OWNER if connection.is_sqlite else f"{_OWNER} FOR SHARE"
        self._waiting: list[Write] = []
        self._woken = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="tidyllm-journal", daemon=True)
        self._thread.start()

    async def write(self, one: Write) -> None:
        """Return when it is written.

        :raises LeaseLost: another worker owns the run now; nothing was written.
        :raises RunCancelled: the run was cancelled; nothing was written.
        :raises StoreDown: the database cannot be reached.
        """
        loop = asyncio.get_running_loop()
        written: asyncio.Future[None] = loop.create_future()

        def done(error: Exception | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_tell, written, error)

        one.done = done
        self.post(one)
        await written

    async def flush(self) -> None:
        """Return when all that was posted before is written, or refused."""
        await self.write(Write("", "", ()))

    def post(self, one: Write) -> None:
        """Write it soon, in order, and before whatever is written later."""
        with self._woken:
            if self._closed:
                raise RunError("the runtime is closed.", run_id=one.run)
            self._waiting.append(one)
            self._woken.notify()

    def close(self) -> None:
        """Write what is waiting, and end."""
        with self._woken:
            self._closed = True
            self._woken.notify()
        self._thread.join(PATIENCE)
        self._connection.close()
        if self._quick is not None:
            self._quick.close()

    def _work(self) -> None:
        while True:
            with self._woken:
                while not self._waiting and not self._closed:
                    self._woken.wait()
                batch, self._waiting = self._waiting, []
                if not batch:
                    return
            lost: dict[tuple[str, str], RunError] = {}
            failure: Exception | None = None
            try:
                lost = self._patiently(batch)
            except DatabaseError as error:
                failure = StoreDown(f"the database of runs: {error}.")
            except StoreDown as error:
                failure = error
            except Exception as error:  # noqa: BLE001 - the thread must not end: all runs would wait for ever
                failure = StoreDown(f"a record could not be written: {type(error).__name__}: {error}.")
            for one in batch:
                one.done(failure or lost.get((one.run, one.owner)))

    def _patiently(self, batch: list[Write]) -> dict[tuple[str, str], RunError]:
        until = clock.monotonic() + PATIENCE
        pause = 0.01
        while True:
            try:
                return self._transact(batch)
            except DatabaseError as error:
                if not error.away or clock.monotonic() > until:
                    raise
            threading.Event().wait(pause)
            pause = min(pause * 2, 1.0)
            with contextlib.suppress(StoreDown):
                self._connection.again()
                if self._quick is not None:
                    self._quick.again()
                    self._quick.set_soft()

    def _transact(self, batch: list[Write]) -> dict[tuple[str, str], RunError]:
        lost: dict[tuple[str, str], RunError] = {}
        batch = [one for one in batch if one.row]
        if not batch:
            return lost
        at = self._connection
        if self._quick is not None:
            if not any(one.hard for one in batch):
                at = self._quick
            if len(batch) == 1 and batch[0].blob is None and batch[0].taken is None:
                return self._put_one(at, batch[0])
        with at.transaction():
            for run, owner in {(one.run, one.owner): None for one in batch}:
                found = at.rows(self._fence, (run,))
                error = _refused(run, owner, found[0] if found else None)
                if error is not None:
                    lost[run, owner] = error
            good = [one for one in batch if (one.run, one.owner) not in lost] if lost else batch
            with at.pipeline():
                self._put(at, good)
        return lost

    @staticmethod
    def _put_one(at: Connection, one: Write) -> dict[tuple[str, str], RunError]:
        sql = _FENCED_END if one.ended else _FENCED_BEGIN
        if at.run(sql, (one.run, one.owner, *one.row)):
            return {}
        found = at.rows(_OWNER, (one.run,))
        # Seen as ours again only if it was another's for a moment: then it is not ours any more, either.
        error = _refused(one.run, one.owner, found[0] if found else None)
        return {(one.run, one.owner): error or LeaseLost(f"run {one.run!r} changed hands.", run_id=one.run)}

    @staticmethod
    def _put(at: Connection, batch: list[Write]) -> None:
        blobs = [one.blob for one in batch if one.blob is not None]
        if blobs:
            now = clock.now()
            at.many(INSERT, [(*one, now) for one in sorted(set(blobs))])
        # The order within one batch matters only for one path, and a path ends after it began.
        for sql, rows in (
            (_BEGIN, [one.row for one in batch if not one.ended]),
            (_END, [one.row for one in batch if one.ended]),
        ):
            if len(rows) == 1:
                at.run(sql, rows[0])
            elif rows:
                at.many(sql, rows)
        for one in batch:
            if one.taken is not None:
                at.run("UPDATE {s}tidyllm_messages SET taken = ? WHERE id = ?", (one.row[1], one.taken))


def _refused(run: str, owner: str, row: tuple[Any, ...] | None) -> RunError | None:
    status, now = row if row is not None else (None, None)
    if status == "PENDING" and now == owner:
        return None
    if status == "CANCELLED":
        return RunCancelled(f"run {run!r} was cancelled.", run_id=run)
    if status is None:
        return RunCancelled(f"run {run!r} was removed.", run_id=run)
    return LeaseLost(
        f"run {run!r} has another owner by now, so this worker stopped before its next step.", run_id=run
    )


def _tell(written: asyncio.Future[None], error: Exception | None) -> None:
    if written.done():
        return
    if error is None:
        written.set_result(None)
    else:
        written.set_exception(error)
