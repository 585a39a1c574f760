"""Functions that block, run in threads of their own. It knows nothing of steps.

The pool of the event loop is not used, for three reasons: it is small, and calls that wait for calls in the same pool
stop each other for good; a loop that closes waits for its pool, and a thread that was left behind would hold it up; and
so would the end of the process. Threads here are daemons, as many as there are calls at once; they are kept for the
next call, and end after `IDLE` seconds without one.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias, TypeVar

__all__ = ["Inbox", "in_thread", "serve"]

T = TypeVar("T")
IDLE = 10.0
"""Seconds. Long enough for a burst of calls to find threads, short enough that they do not stay for ever."""

Inbox: TypeAlias = SimpleQueue[Callable[[], Callable[[], None]]]
_idle: list[Inbox] = []
"""The inboxes of threads that wait for work."""
# A fork has none of its parent's threads.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)


async def in_thread(function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    """Call a function in a thread, with this task's context variables.

    When the waiting task is cancelled the thread is left behind: it cannot be killed, runs on to its end, and its
    result is thrown away.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def work() -> Callable[[], None]:
        error: BaseException | None = None
        result: Any = None
        try:
            result = context.run(function, *args, **kwargs)
        except StopIteration as stop:
            error = RuntimeError(f"{function!r} raised StopIteration")  # a future cannot hold the real one
            error.__cause__ = stop
        except BaseException as failure:  # noqa: BLE001 - belongs to the caller
            error = failure

        def tell() -> None:
            try:
                loop.call_soon_threadsafe(_tell, answer, result, error)
            except RuntimeError:
                pass  # that loop was closed meanwhile: nobody waits

        return tell

    try:
        inbox = _idle.pop()
    except IndexError:
        inbox: Inbox = SimpleQueue()
        threading.Thread(target=serve, args=(inbox,), name="tidyllm-step", daemon=True).start()
    inbox.put(work)
    return await answer


def _tell(answer: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if answer.done():
        return  # cancelled
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)


def serve(inbox: Inbox, idle: float = IDLE) -> None:
    """What a thread does: the work in its inbox, until none came for `idle` seconds."""
    while True:
        try:
            work = inbox.get(timeout=idle)
        except Empty:
            try:
                _idle.remove(inbox)
            except ValueError:
                continue  # somebody has just taken this thread: work is on its way
            return
        tell = work()
        _idle.append(inbox)  # first, so that the next call finds this thread
        tell()
        del work, tell  # they hold the answer
