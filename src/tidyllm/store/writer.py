"""The one thread that writes: what came since the last commit is the next transaction. It knows no tables.

A lone write commits at once; while it commits, others gather, and share the next commit. When the database is away
(a server stopped, a disk is full) those who wait are told so after `patience` seconds; what nobody waits for is kept,
up to `capacity`, until the database is back.
"""

from __future__ import annotations

import logging
import threading
from collections import deque

from sqlalchemy import Engine, Table

from tidyllm import clock
from tidyllm.errors import StoreDown
from tidyllm.store.engines import BUSY_SECONDS
from tidyllm.store.failures import kind_of, ours
from tidyllm.store.inserts import Row
from tidyllm.store.item import Item, deliver
from tidyllm.store.session import Session
from tidyllm.store.wake import Wake

__all__ = ["Writer"]

_BATCH = 5_000
"""Items in one transaction at most: other processes wait meanwhile."""
_LINGER = 0.02
"""Seconds that what nobody waits for may gather. Under load somebody waits earlier, and it goes along in his commit."""
_NEWS = 0.5
"""Seconds for which it is believed that the database is still away; then the next write tries again."""
_TRIES = 5
_log = logging.getLogger("tidyllm.store")


class Writer:
    """Writes to one database for all threads and event loops of this process."""

    def __init__(self, engine: Engine, name: str, *, patience: float, capacity: int) -> None:
        self._name = name
        self._patience = patience
        self._capacity = capacity
        self._session = Session(engine)
        self._queue: deque[Item] = deque()
        self._wake = Wake()
        self._asleep = False
        self._lingers = False
        self._worked = False
        self._closing = False
        self._down_since: float | None = None
        self._tried_at = 0.0
        self._began: float | None = None
        self._busy = False
        self._behind: list[list[list[Item]]] = []
        """What follows the part that is being written, where a batch had to be taken apart."""
        self._thread: threading.Thread | None = None
        self._start = threading.Lock()
        self.lost = 0

    # -- any thread --------------------------------------------------------------------------------------------------

    def put(self, item: Item) -> None:
        """Add an item. One that nobody waits for may be dropped at once, when too many are waiting already.

        :raises StoreDown: the store is closed; or somebody waits, and the database has been away for too long.
        """
        if self._closing:
            raise StoreDown(f"store {self._name} is closed.", hint="Open it again.")
        if item.future is not None:
            if self._gone():
                raise StoreDown(f"store {self._name} cannot be reached.")
        elif len(self._queue) >= self._capacity:
            self._lose(item, StoreDown(f"store {self._name} is behind by {len(self._queue)} writes."))
            return
        self._queue.append(item)
        if self._asleep and (item.future is not None or not self._lingers):
            self._wake.set()
        elif self._thread is None:
            self._begin()

    def in_thread(self) -> bool:
        """Whether the caller is a work of this writer."""
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """Write what was put, then end the thread. What cannot be written now is lost, and counted."""
        with self._start:
            self._closing = True
            thread = self._thread
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        late = [self._queue.popleft() for _ in range(len(self._queue))]  # put while the thread was ending
        for item in late:
            item.fail(StoreDown(f"store {self._name} is closed.", hint="Open it again."))
            if item.future is None and item.error is not None:
                self._lose(item, item.error)
        deliver(late)
        self._session.close()

    def _begin(self) -> None:
        with self._start:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="tidyllm-store", daemon=True)
                self._thread = thread
                thread.start()

    def _gone(self) -> bool:
        """Whether the database has been away for long, and somebody has just found it so, or is about to see."""
        since = self._down_since
        if since is None:
            return False
        now = clock.monotonic()
        return now - since >= self._patience and (self._busy or now - self._tried_at < _NEWS)

    def _lose(self, item: Item, error: BaseException) -> None:
        self.lost += 1
        if item.lost is not None:
            try:
                item.lost(error)
            except Exception:  # noqa: BLE001 - it is logged, and the writer must go on
                _log.exception("store %s: the function that hears of a lost write failed", self._name)
        if self.lost & (self.lost - 1) == 0:  # 1, 2, 4, 8...: a flood would only hide what comes with it
            _log.warning("store %s: %d writes lost so far; the last: %s", self._name, self.lost, error)

    # -- the writer's thread -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            batch = self._next()
            if batch:
                self._write(batch)
            elif self._closing and not self._queue:
                return

    def _next(self) -> list[Item]:
        queue = self._queue
        lingered = False
        if self._worked and not queue and not self._closing:
            # Under load more comes at once: what nobody waits for need not wake us, we look by ourselves.
            self._linger()
            lingered = bool(queue)
        if not queue and not self._closing:
            self._sleep(None)
        if not lingered and all(item.future is None for item in tuple(queue)[:64]) and not self._closing:
            self._linger()
        batch = [queue.popleft() for _ in range(min(len(queue), _BATCH))]
        self._worked = bool(batch)
        return batch

    def _linger(self) -> None:
        self._lingers = True
        self._sleep(_LINGER)
        self._lingers = False

    def _sleep(self, seconds: float | None) -> None:
        self._wake.clear()
        self._asleep = True
        # Who appends looks at `_asleep` afterwards: either it is seen here, or it wakes us.
        if self._closing or (self._queue and (seconds is None or self._queue[-1].future is not None)):
            self._asleep = False
            return
        self._wake.wait(seconds)
        self._asleep = False

    def _write(self, batch: list[Item]) -> None:
        tries = 0
        while batch:
            self._busy = True
            last = self._closing
            try:
                self._together(batch)
            except BaseException as error:  # noqa: BLE001 - a work may raise anything; whoever waits for it gets that
                tries += 1
                kind = kind_of(error)
                if kind == "down":
                    batch = self._outlast(batch, error, last=last)
                elif kind == "again" and tries < _TRIES:
                    continue
                else:
                    self._apart(batch, error)
                    return
            else:
                self._down_since = None
                deliver(batch)
                return
            finally:
                self._busy = False

    def _together(self, batch: list[Item]) -> None:
        """All in one transaction, rows of one table in one statement; a work sees the rows put before it."""
        session = self._session
        if session.doubtful is not None and session.committed():
            return
        try:
            self._began = clock.monotonic()
            connection = session.begin(
                alone=any(item.work is not None for item in batch), wait=self._wait(self._began)
            )
            self._began = None
            rows: dict[Table, list[Row]] = {}
            for item in batch:
                if item.work is None:
                    assert item.table is not None
                    assert item.row is not None
                    rows.setdefault(item.table, []).append(item.row)
                    continue
                for table, given in rows.items():
                    session.insert(table, given)
                rows.clear()
                item.result = session.run(item.work, connection)
            for table, given in rows.items():
                session.insert(table, given)
            session.commit()
        except BaseException:
            session.rollback()
            raise

    def _wait(self, now: float) -> float:
        """How long another program's lock is waited for: who waits is told in time, what is kept tries again."""
        if self._closing:
            return BUSY_SECONDS  # what is not written now is lost
        away = self._down_since is not None and now - self._tried_at < self._patience
        return min(self._patience, _NEWS) if away else self._patience

    def _apart(self, batch: list[Item], error: BaseException) -> None:
        """After a failure: works each alone, runs of rows by halves, in order; what fails alone has failed."""
        if len(batch) == 1:
            item = batch[0]
            item.fail(ours(error, self._name))
            if item.future is None:
                assert item.error is not None
                self._lose(item, item.error)
            deliver(batch)
            return
        parts = _parts(batch)
        self._behind.append(parts)
        while parts:
            self._write(parts.pop(0))
        self._behind.pop()

    def _outlast(self, batch: list[Item], error: BaseException, *, last: bool) -> list[Item]:
        """The database is away: wait a little; returns what is still to be written, unless this try was the last."""
        now = self._tried_at = clock.monotonic()
        began, self._began = self._began, None
        if self._down_since is None:
            self._down_since = now if began is None else began  # a wait for a lock was a part of it
            _log.warning("store %s is away: %s", self._name, ours(error, self._name))
        session = self._session
        session.drop()
        kept: list[Item] = []
        gone: list[Item] = []
        late = self._closing or now - self._down_since >= self._patience
        for item in batch:
            if late and item.future is not None:
                told = ours(error, self._name) if session.doubtful is None else self._unknown(error)
                if item.given_up is None or last:
                    item.fail(told)
                    gone.append(item)
                    continue
                gone.append(item.release(told))
            if last:
                self._lose(item, ours(error, self._name))
            else:
                kept.append(item)
        if late:
            gone += self._late(error)
        deliver(gone)
        if not kept:
            session.doubtful = None  # nobody is left who would have to know
        else:
            self._wake.clear()
            self._wake.wait(min(0.5, max(0.02, now - self._down_since)))
        return kept

    def _late(self, error: BaseException) -> list[Item]:
        """Whoever came while the database was away already, and has been waiting behind the batch."""
        gone: list[Item] = []
        for part in [part for parts in self._behind for part in parts]:
            part[:] = self._told(part, error, gone)
        queued = [self._queue.popleft() for _ in range(len(self._queue))]
        # In front of what was put meanwhile.
        self._queue.extendleft(reversed(self._told(queued, error, gone)))
        return gone

    def _told(self, items: list[Item], error: BaseException, gone: list[Item]) -> list[Item]:
        """What of `items` is still to be written; those who wait, and are to be told, are added to `gone`."""
        kept: list[Item] = []
        for item in items:
            if item.future is None:
                kept.append(item)
            elif item.given_up is not None:
                gone.append(item.release(ours(error, self._name)))
                kept.append(item)
            else:
                item.fail(ours(error, self._name))
                gone.append(item)
        return kept

    def _unknown(self, error: BaseException) -> StoreDown:
        unknown = StoreDown(
            f"the connection to {self._name} broke during a commit, so that nobody knows whether it was done.",
            hint="Look before you do it again.",
        )
        unknown.__cause__ = ours(error, self._name)
        return unknown


def _parts(batch: list[Item]) -> list[list[Item]]:
    if all(item.work is None for item in batch):
        middle = len(batch) // 2
        return [batch[:middle], batch[middle:]]
    parts: list[list[Item]] = []
    for item in batch:
        if item.work is None and parts and parts[-1][0].work is None:
            parts[-1].append(item)
        else:
            parts.append([item])
    return parts
