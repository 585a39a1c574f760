"""A bridge from plain code to the event loop. It knows nothing of steps: it runs what a function returns.

One background loop serves all synchronous calls of the process, so that connections are kept between them.
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["run_sync"]

T = TypeVar("T")


class _Background:
    """An event loop in a daemon thread, made when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="tidyllm-loop", daemon=True
                )
                self._thread.start()
            return self._loop

    def is_this_thread(self) -> bool:
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """At the end of the process: what still runs is stopped where it is, and the loop closed."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        thread.join(1.0)  # seconds: a step that blocks the loop must not hold up the end
        if not thread.is_alive():
            loop.close()


_background = _Background()
_left_behind: list[_Background] = []


def _after_fork() -> None:
    # A fork has no threads of its parent, and perhaps a lock that nobody will open. The parent's loop is kept, for it
    # would close what belongs to the parent when it goes.
    global _background  # noqa: PLW0603 - one for the process
    _left_behind.append(_background)
    _background = _Background()


def _at_exit() -> None:
    _background.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)


PATIENCE = 0.5
"""Seconds that a call waits for the background loop to take it. A loop that is blocked for longer may be blocked by
something that waits for this very call; then the call gets a loop of its own."""

_on_own_loop: contextvars.ContextVar[bool] = contextvars.ContextVar("tidyllm_on_own_loop", default=False)


def run_sync(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run the coroutine that `make` returns to its end and give its result.

    It runs on the background loop, in a copy of the caller's context variables, whether or not the calling thread has
    a running loop (that loop stands still meanwhile). Ctrl-C cancels the coroutine and waits for its clean-up; a second
    one does not wait. A call from the background loop itself (a plain function used as a step that calls `run_sync`),
    or while that loop is blocked, gets a thread and a loop of its own.
    """
    job = _Job(make)
    try:
        if _on_own_loop.get() or _background.is_this_thread():
            job.run_on_own_loop()
        else:
            job.start_on(_background.loop())
            if not job.started.wait(PATIENCE):
                job.run_on_own_loop()
        job.finished.wait()
    except KeyboardInterrupt:
        job.cancel()
        raise
    return job.result()


class _Job:
    """One coroutine, run by whoever claims it first."""

    def __init__(self, make: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self._make = make
        self._context = contextvars.copy_context()
        self._claim = threading.Lock()
        self._task: asyncio.Task[None] | None = None
        self._outcome: list[tuple[Any, BaseException | None]] = []
        self.started = threading.Event()
        self.finished = threading.Event()

    def start_on(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_soon_threadsafe(self._start)

    def _start(self) -> None:
        if self._claim.acquire(blocking=False):
            self._task = asyncio.get_running_loop().create_task(self._work(), context=self._context)
            self.started.set()

    def run_on_own_loop(self) -> None:
        if self._claim.acquire(blocking=False):
            self._context.run(_on_own_loop.set, True)
            run = (asyncio.run, self._work())
            threading.Thread(target=self._context.run, args=run, name="tidyllm-nested", daemon=True).start()

    async def _work(self) -> None:
        self._task = asyncio.current_task()
        try:
            self._outcome.append((await self._make(), None))
        except BaseException as error:  # noqa: BLE001 - belongs to the caller
            self._outcome.append((None, error))
        self.finished.set()

    def cancel(self) -> None:
        """Cancel it and wait until it has cleaned up; if nobody has begun it, nobody will."""
        if self._claim.acquire(blocking=False) or self._task is None:
            return
        task = self._task
        task.get_loop().call_soon_threadsafe(task.cancel, "Ctrl-C")
        self.finished.wait()

    def result(self) -> Any:
        value, error = self._outcome.pop()
        if error is None:
            return value
        try:
            raise error
        finally:
            del error  # its traceback holds this frame
