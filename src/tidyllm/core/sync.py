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


def run_sync(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run the coroutine that `make` returns to its end and give its result.

    It runs on the background loop, in a copy of the caller's context variables, whether or not the calling thread has
    a running loop (that loop stands still meanwhile). Ctrl-C cancels the coroutine and waits for its clean-up; a second
    one does not wait. A call from the background loop itself (a plain function used as a step that calls `run_sync`)
    gets a thread and a loop of its own.
    """
    finished = threading.Event()
    outcome: list[tuple[Any, BaseException | None]] = []
    context = contextvars.copy_context()
    task: list[asyncio.Task[None]] = []

    async def work() -> None:
        try:
            outcome.append((await make(), None))
        except BaseException as error:  # noqa: BLE001 - belongs to the caller
            outcome.append((None, error))
        finished.set()

    if _background.is_this_thread():
        run_own = (asyncio.run, work())
        threading.Thread(target=context.run, args=run_own, name="tidyllm-nested", daemon=True).start()
        finished.wait()
    else:
        loop = _background.loop()
        loop.call_soon_threadsafe(lambda: task.append(loop.create_task(work(), context=context)))
        try:
            finished.wait()
        except KeyboardInterrupt:
            loop.call_soon_threadsafe(lambda: [each.cancel("Ctrl-C") for each in task])
            finished.wait()
            raise
    value, error = outcome.pop()
    if error is None:
        return value
    try:
        raise error
    finally:
        del error  # its traceback holds this frame
