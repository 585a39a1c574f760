"""A bridge from plain code to the event loop. It knows nothing of steps: it runs what a function returns.

One background loop serves all synchronous calls of the process, so that connections are kept between them.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

__all__ = ["run_sync"]

T = TypeVar("T")
_lock = threading.Lock()
_background: tuple[asyncio.AbstractEventLoop, threading.Thread] | None = None


def run_sync(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run the coroutine that `make` returns to its end and give its result.

    It runs on the background loop, in a copy of the caller's context variables, whether or not the calling thread has
    a running loop (that loop stands still meanwhile). Ctrl-C cancels the coroutine. A call from the background loop
    itself (a plain function used as a step that calls `run_sync`) gets a thread and a loop of its own.
    """
    loop, thread = _get_background()
    if threading.current_thread() is thread:
        return _in_own_thread(make)
    done: Future[T] = Future()
    started: list[asyncio.Task[None]] = []
    context = contextvars.copy_context()

    async def work() -> None:
        try:
            done.set_result(await make())
        except BaseException as error:
            done.set_exception(error)

    def start() -> None:
        started.append(loop.create_task(work(), context=context))

    loop.call_soon_threadsafe(start)
    try:
        return done.result()
    except KeyboardInterrupt:
        loop.call_soon_threadsafe(lambda: [task.cancel() for task in started])
        raise


def _in_own_thread(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    done: Future[T] = Future()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            done.set_result(context.run(asyncio.run, make()))
        except BaseException as error:
            done.set_exception(error)

    thread = threading.Thread(target=work, name="tidyllm-nested", daemon=True)
    thread.start()
    return done.result()


def _get_background() -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
    global _background
    with _lock:
        if _background is None or not _background[1].is_alive():  # a fork has no threads of its parent
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever, name="tidyllm-loop", daemon=True)
            thread.start()
            _background = loop, thread
        return _background
