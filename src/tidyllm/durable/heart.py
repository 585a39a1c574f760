"""Signs of life of this process, and what it looks after twice a second: runs taken away, and runs of the dead.

It knows who runs what, not what a run does.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from tidyllm.durable import leases
from tidyllm.durable.database import Connection, DatabaseError
from tidyllm.durable.session import Session
from tidyllm.errors import LeaseLost, RunCancelled, StoreDown, TidyllmError

if TYPE_CHECKING:
    from tidyllm.durable.hub import Hub

__all__ = ["Heart"]

_SCANS = 4


class Heart:
    """A thread with a connection of its own, so that nothing that is slow elsewhere stops it."""

    def __init__(self, hub: Hub, connection: Connection) -> None:
        self._hub = hub
        self._at = connection
        self._engine = hub.engine
        self._lost: dict[str, int] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="tidyllm-heart", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Beat no more."""
        self._ended.set()
        self._thread.join(5.0)
        self._at.close()

    def _beat(self) -> None:
        while not self._ended.wait(leases.BEAT_SECONDS / 2):
            try:
                leases.beat(self._at, self._engine.executor, self._hub.kind)
                self._look_at_active()
                if self._hub.serving:
                    self._take_over()
            except (DatabaseError, StoreDown):
                with contextlib.suppress(StoreDown, DatabaseError):
                    self._at.again()

    def _look_at_active(self) -> None:
        """Stop runs here that were cancelled from outside, or have another owner."""
        active = dict(self._hub.active)
        if not active:
            return
        marks = ", ".join("?" for _ in active)
        sql = f"SELECT workflow_uuid, status, owner_xid FROM {{e}}workflow_status WHERE workflow_uuid IN ({marks})"  # noqa: S608
        found = {row[0]: row[1:] for row in self._at.rows(sql, tuple(active))}
        for run, session in active.items():
            status, owner = found.get(run, ("CANCELLED", None))
            if status == "PENDING" and owner == session.owner:
                continue
            # SUCCESS and ERROR were written by this very execution, which is about to leave.
            if status == "CANCELLED":
                _stop(session, RunCancelled(f"run {run!r} was cancelled.", run_id=run))
            elif status in ("PENDING", "ENQUEUED"):
                _stop(session, LeaseLost(f"run {run!r} has another owner by now.", run_id=run))

    def _take_over(self) -> None:
        """Give runs of dead processes back to the queues of their flows."""
        from tidyllm.durable.engine import queue_of

        mine = self._engine.executor
        lost: dict[str, int] = {}
        for run, executor, flow in leases.left_behind(self._at, mine, set(self._hub.present)):
            if flow not in self._hub.serving:
                continue
            if executor == mine:
                # One of our own that nobody runs any more, because the database was away: unless it only just began.
                lost[run] = self._lost.get(run, 0) + 1
                if lost[run] < _SCANS:
                    continue
            self._engine.requeue(run, executor, queue_of(flow))
        self._lost = lost


def _stop(session: Session, error: TidyllmError) -> None:
    task = session.task
    if task is not None:
        with contextlib.suppress(RuntimeError):  # its loop is closed
            task.get_loop().call_soon_threadsafe(session.stop, error)
