"""One batch as a work of the store: taken as late as can be, run as often as must be, told once it is on disk."""

from __future__ import annotations

from concurrent.futures import Future as ThreadFuture
from decimal import Decimal
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from tidyllm.money.entry import LedgerEntry
from tidyllm.money.posting import Batch, Posted, post_batch
from tidyllm.store import Store

if TYPE_CHECKING:
    from tidyllm.money.ledger import Ledger

__all__ = ["Work", "answer"]


def answer(answers: list[tuple[LedgerEntry, BaseException | None]]) -> None:
    """Tell those who asked, on their own event loop."""
    for entry, error in answers:
        if entry.answer.done():  # he was cancelled meanwhile
            if error is None:
                entry.close(Decimal(0))
        elif error is None:
            entry.answer.set_result(entry)
        else:
            entry.answer.set_exception(error)


class Work:
    """One batch, taken when it is written: so late, the batch is as large as can be. Run again, it stays the same."""

    direct = True
    """All its statements go by `Sql`."""

    def __init__(
        self, ledger: Ledger, *, everything: bool, yields: bool = False, batch: Batch | None = None
    ) -> None:
        self._ledger = ledger
        self._everything = everything
        self._yields = yields
        self._batch = batch
        self._given_up = False

    def pull(self) -> Batch:
        """What it writes."""
        if self._batch is None:
            self._batch = self._ledger.pull(everything=self._everything, yields=self._yields)
        return self._batch

    def __call__(self, connection: Connection) -> Posted | None:
        batch = self.pull()
        if not batch:
            return None
        return post_batch(connection, batch, self._ledger.writer, self._ledger.name)

    def written(self, posted: Posted | None) -> None:
        """It is on disk."""
        if posted is not None:
            self._ledger.committed(self.pull(), posted)

    def lost(self, error: BaseException) -> None:
        """Nobody waited for it, and it could not be written."""
        self._ledger.lost(self._batch or Batch(), error)

    def submit(self, store: Store) -> ThreadFuture[Posted | None]:
        """Let somebody wait for it.

        :raises StoreDown: the database is away, or the store was closed.
        """
        future = store.submit(self, given_up=self.given_up, lost=self.lost, written=self.written)
        future.add_done_callback(self.done)
        return future

    def given_up(self, error: BaseException) -> None:
        """The database is away for too long: who asks is refused. What is to be settled stays in this very work: it
        may be on disk already, and nobody knows."""
        self._given_up = True
        self._ledger.give_up(self.pull(), error)

    def done(self, future: ThreadFuture[Posted | None]) -> None:
        """It is on disk, or cannot be."""
        if self._given_up:
            return
        error = future.exception()
        if error is not None:
            self._ledger.failed(self.pull(), error)
        else:
            self.written(future.result())
