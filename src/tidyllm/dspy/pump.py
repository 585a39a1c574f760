"""The pieces of a stream for a reader that cannot await. It knows threads and loops, not what pieces are."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from queue import SimpleQueue
from typing import TypeVar

from tidyllm.core.sync import run_sync

__all__ = ["pumped"]

T = TypeVar("T")
AHEAD = 64
"""Pieces that may wait for the reader: enough that the loop need not be woken for each, far from a whole answer."""


def pumped(make: Callable[[], AsyncGenerator[T, None]]) -> Generator[T, None, None]:
    """What `make()` yields, read on the loop that `run_sync` uses. Closing it early ends the stream at once."""
    out: SimpleQueue[tuple[T] | BaseException | None] = SimpleQueue()
    work = _Pump(make, out)
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(work.run,), name="tidyllm-stream", daemon=True)
    thread.start()
    try:
        while True:
            got = out.get()
            if got is None:
                return
            if isinstance(got, BaseException):
                raise got
            work.taken()
            yield got[0]
    finally:
        work.stop()
        thread.join()


class _Pump:
    def __init__(
        self, make: Callable[[], AsyncGenerator[T, None]], out: SimpleQueue[tuple[T] | BaseException | None]
    ) -> None:
        self._make = make
        self._out = out
        self._lock = threading.Lock()
        self._stopped = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._room: asyncio.Semaphore | None = None

    def run(self) -> None:
        try:
            run_sync(self._pour)
        except asyncio.CancelledError as error:
            self._out.put(None if self._stopped else error)
        except BaseException as error:  # noqa: BLE001 - belongs to the reader
            self._out.put(error)
        else:
            self._out.put(None)

    async def _pour(self) -> None:
        with self._lock:
            if self._stopped:
                return
            self._loop, self._room = asyncio.get_running_loop(), asyncio.Semaphore(AHEAD)
            # A task of its own, which `stop` can cancel; it shares the variables of the reader.
            self._task = asyncio.ensure_future(self._read(self._room))
        await self._task

    async def _read(self, room: asyncio.Semaphore) -> None:
        async with aclosing(self._make()) as pieces:
            async for piece in pieces:
                await room.acquire()
                self._out.put((piece,))

    def taken(self) -> None:
        self._tell(None if self._room is None else self._room.release)

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            task = self._task
        self._tell(None if task is None or task.done() else task.cancel)

    def _tell(self, act: Callable[[], object] | None) -> None:
        if act is None or self._loop is None:
            return
        try:
            self._loop.call_soon_threadsafe(act)
        except RuntimeError:
            pass  # that loop has ended, and the stream with it
