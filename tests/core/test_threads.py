"""Plain functions that block, in threads: nothing waits for them that need not."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue

import pytest

from tidyllm.core import Context, Parallel, step
from tidyllm.core.threads import Inbox, in_thread, serve


def script(code: str, *, dev: bool = True) -> subprocess.CompletedProcess[str]:
    """A new Python that runs `code`, by default with asyncio's and Python's own checks on."""
    options = ["-X", "dev"] if dev else []
    return subprocess.run(
        [sys.executable, *options, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )


word: contextvars.ContextVar[str] = contextvars.ContextVar("word", default="none")


async def test_the_loop_goes_on_while_a_thread_blocks() -> None:
    entered, leave = threading.Event(), threading.Event()

    def blocks(x: int) -> int:
        entered.set()
        leave.wait()
        return x

    task = asyncio.create_task(step(thread=True)(blocks)(1))
    while not entered.is_set():
        await asyncio.sleep(0)
    leave.set()
    assert await task == 1


async def test_a_thread_sees_the_variables_of_its_task() -> None:
    word.set("hello")

    def look(x: int) -> tuple[str, Context | None]:
        seen = word.get()
        word.set("changed in the thread")
        return seen, Context.current()

    async def outer(x: int, ctx: Context) -> bool:
        seen, current = await step(thread=True)(look)(x)
        return seen == "hello" and current is not None and current.parent is ctx

    assert await step(outer)(1)
    assert word.get() == "hello"


async def test_errors_come_back_from_a_thread() -> None:
    def fails(x: int) -> int:
        raise KeyError("from the thread")

    with pytest.raises(KeyError, match="from the thread"):
        await step(thread=True)(fails)(1)


async def test_a_stop_iteration_becomes_an_error_instead_of_a_hang() -> None:
    def ends(x: int) -> int:
        empty: Iterator[int] = iter(())
        return next(empty)

    with pytest.raises(RuntimeError, match="StopIteration"):
        await step(thread=True)(ends)(1)


async def test_a_cancelled_step_leaves_its_thread_behind() -> None:
    entered, leave, left = threading.Event(), threading.Event(), threading.Event()

    def blocks(x: int) -> None:
        entered.set()
        leave.wait()
        left.set()

    task = asyncio.create_task(step(thread=True)(blocks)(1))
    while not entered.is_set():
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not left.is_set()
    leave.set()
    assert left.wait(10)
    await asyncio.sleep(0)  # its result comes now, and nobody takes offence


def test_a_thread_may_end_after_its_loop() -> None:
    leave, left = threading.Event(), threading.Event()

    def blocks() -> None:
        leave.wait()
        left.set()

    async def main() -> None:
        entered = asyncio.ensure_future(in_thread(blocks))
        await asyncio.sleep(0)
        entered.cancel()

    asyncio.run(main())  # does not wait for the thread
    leave.set()
    assert left.wait(10)


async def test_threads_that_wait_for_threads_never_run_out() -> None:
    """A pool with a limit would be full of callers that wait for a place in it."""
    together = threading.Barrier(40)

    def inner(x: int) -> int:
        together.wait(30)
        return x

    def outer(x: int) -> int:
        return step(thread=True)(inner).run_sync(x)

    assert await Parallel(*[step(thread=True)(outer)] * 40)(1) == (1,) * 40


async def test_a_thread_is_kept_for_the_next_call() -> None:
    def who(x: int) -> int:
        return threading.get_ident()

    first = await step(thread=True)(who)(1)
    assert [await step(thread=True)(who)(1) for _ in range(5)] == [first] * 5


def test_the_process_ends_without_waiting_for_a_thread_left_behind() -> None:
    code = """
import asyncio, threading
from tidyllm.core import Context, step
from tidyllm.errors import TimeoutExceeded

def blocks(x):
    threading.Event().wait()

try:
    asyncio.run(step(thread=True)(blocks)(1, Context.new(deadline=0.01)))
except TimeoutExceeded:
    print("left", flush=True)
"""
    ran = script(code)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("left\n", "", 0)


def works(done: threading.Event) -> Callable[[], None]:
    """Work as threads get it: what it returns tells that it was done."""
    return done.set


def test_a_thread_without_work_ends() -> None:
    done = threading.Event()
    inbox: Inbox = SimpleQueue()
    inbox.put(lambda: works(done))
    serve(inbox, idle=0.001)
    assert done.is_set()


def test_a_thread_that_somebody_has_just_taken_waits_for_the_work_on_its_way() -> None:
    inbox: Inbox = SimpleQueue()
    done = threading.Event()
    thread = threading.Thread(target=serve, args=(inbox, 0.001))  # its inbox is not in the list of idle ones
    thread.start()
    inbox.put(lambda: works(done))
    assert done.wait(10)
    thread.join(10)
    assert not thread.is_alive()
