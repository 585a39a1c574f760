"""One thing to be written, and who waits for it. It knows event loops and threads, not databases."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Future as ThreadFuture
from typing import Any

from sqlalchemy import Connection, Table

from tidyllm.errors import StoreError
from tidyllm.store.inserts import Row

__all__ = ["Item", "deliver"]


class Item:
    """A work, or a row for a table; with the future of whoever waits.

    Where nobody waits, `written` is called with what the work returned once that is on disk, in the writer's thread
    and before the next transaction; `lost` when it could not be written. `given_up` is called when whoever waited is
    told that the database is away: then nobody waits for the item any more, which is written all the same.
    """

    __slots__ = ("error", "future", "given_up", "lost", "result", "row", "table", "work", "written")

    def __init__(
        self,
        work: Callable[[Connection], Any] | None,
        table: Table | None,
        row: Row | None,
        future: asyncio.Future[Any] | ThreadFuture[Any] | None,
        *,
        lost: Callable[[BaseException], None] | None = None,
        written: Callable[[Any], None] | None = None,
        given_up: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.work = work
        self.table = table
        self.row = row
        self.future = future
        self.lost = lost
        self.written = written
        self.given_up = given_up
        self.result: Any = None
        self.error: BaseException | None = None

    def release(self, error: BaseException) -> Item:
        """Whoever waits will wait no more; the item stays to be written. What this returns tells him, by `deliver`."""
        assert self.given_up is not None
        told = Item(self.work, self.table, self.row, self.future)
        told.error = error
        self.future = None
        try:
            self.given_up(error)
        except Exception:
            logging.getLogger("tidyllm.store").exception("the function that hears of a work given up failed")
        return told

    def fail(self, error: BaseException) -> None:
        """Remember that it was not written. A future takes no StopIteration: that would end the one who awaits."""
        if isinstance(error, StopIteration):
            wrapped = StoreError("a work raised StopIteration.", hint="Return from it instead.")
            wrapped.__cause__ = error
            error = wrapped
        self.error = error


def deliver(items: Iterable[Item]) -> None:
    """Tell all who wait how it ended: one call into each event loop, however many wait there."""
    loops: dict[asyncio.AbstractEventLoop, list[Item]] = {}
    for item in items:
        future = item.future
        if isinstance(future, asyncio.Future):
            loops.setdefault(future.get_loop(), []).append(item)
        elif future is not None:
            _settle([item])
        elif item.written is not None and item.error is None:
            try:
                item.written(item.result)
            except Exception:
                logging.getLogger("tidyllm.store").exception("the function that hears of a write failed")
    for loop, waiting in loops.items():
        try:
            loop.call_soon_threadsafe(_settle, waiting)
        except RuntimeError:
            pass  # the loop was closed: nobody waits any more


def _settle(items: list[Item]) -> None:
    for item in items:
        future = item.future
        if future is None or future.done():
            continue
        if item.error is None:
            future.set_result(item.result)
        else:
            future.set_exception(item.error)
