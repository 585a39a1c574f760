"""`run_sync`: from scripts, threads, notebooks, nested, after a fork, and with Ctrl-C."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tidyllm.core import Context, Sequence, step


def script(code: str, *, dev: bool = True) -> subprocess.CompletedProcess[str]:
    """A new Python that runs `code`, by default with asyncio's and Python's own checks on."""
    options = ["-X", "dev"] if dev else []
    return subprocess.run(
        [sys.executable, *options, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )


word: contextvars.ContextVar[str] = contextvars.ContextVar("word", default="none")


async def double(x: int) -> int:
    await asyncio.sleep(0)
    return x * 2


async def loop_of(x: int) -> int:
    return id(asyncio.get_running_loop())


def test_a_script_gets_its_answer() -> None:
    assert (step(double) >> double).run_sync(3) == 12


def test_calls_share_one_loop_so_that_connections_are_kept() -> None:
    assert step(loop_of).run_sync(1) == step(loop_of).run_sync(1)


async def test_it_works_while_a_loop_runs_as_in_a_notebook() -> None:
    assert step(double).run_sync(3) == 6


async def test_a_plain_function_may_call_it_inside_a_step() -> None:
    def nested(x: int) -> int:
        return step(double).run_sync(x)

    assert await Sequence(nested, double)(1) == 4


def test_it_may_be_nested_on_its_own_loop_at_any_depth() -> None:
    def nested(x: int) -> int:
        return x if x > 3 else step(nested).run_sync(x + 1)

    assert step(nested).run_sync(0) == 4


def test_a_step_that_blocks_the_loop_with_other_threads_that_wait_for_it_is_no_deadlock() -> None:
    def fan_out(x: int) -> list[int]:
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(step(double).run_sync, range(x)))

    assert step(fan_out).run_sync(2) == [0, 2]


def test_many_threads_may_call_it_at_once() -> None:
    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(step(double).run_sync, range(100))) == [2 * n for n in range(100)]


def test_errors_of_any_kind_come_back() -> None:
    def fails(x: BaseException) -> None:
        raise x

    for error in (ValueError("a"), SystemExit(3), asyncio.CancelledError("c"), GeneratorExit()):
        with pytest.raises(type(error)) as raised:
            step(fails).run_sync(error)
        assert raised.value is error
    assert step(double).run_sync(1) == 2  # and the loop goes on


def test_variables_are_inherited_and_changes_stay_inside() -> None:
    word.set("hello")

    async def look(x: int) -> str:
        seen = word.get()
        word.set("changed inside")
        return seen

    assert step(look).run_sync(1) == "hello"
    assert word.get() == "hello"


def test_the_place_is_inherited_also_where_it_is_nested_on_its_own_loop() -> None:
    def where(x: int, ctx: Context) -> tuple[str, ...]:
        return ctx.path

    def nested(x: int) -> tuple[str, ...]:
        return step(where).run_sync(x)

    assert step(nested).run_sync(1) == ("nested", "where")


def test_a_context_can_be_given_and_cancels_it_from_another_thread() -> None:
    ctx = Context.new(tags={"a": "b"})
    entered = threading.Event()

    async def waits(x: int, ctx: Context) -> None:
        assert ctx.tags == {"a": "b"}
        entered.set()
        await asyncio.Event().wait()

    def stop() -> None:
        entered.wait()
        ctx.cancel("from the other thread")

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(asyncio.CancelledError, match="from the other thread"):
        step(waits).run_sync(1, ctx)
    thread.join()


async def test_cancelling_the_run_around_reaches_a_nested_call_on_another_loop() -> None:
    entered = threading.Event()
    cleaned = threading.Event()

    async def waits(x: int) -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    ctx = Context.new()
    task = asyncio.create_task(step(thread=True)(step(waits).run_sync)(1, ctx))
    while not entered.is_set():
        await asyncio.sleep(0)
    ctx.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned.wait(10)


INTERRUPTED = """
import asyncio, os, signal, sys
from tidyllm.core import step

async def waits(x):
    print("started", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        print("cleaned", flush=True)

try:
    step(waits).run_sync(1)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_ctrl_c_cancels_it_and_waits_for_its_cleanup() -> None:
    with subprocess.Popen(
        [sys.executable, "-X", "dev", "-c", INTERRUPTED], stdout=-1, stderr=-1, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "started\n"
        try:
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=20)
        finally:
            child.kill()
    assert (out, err, child.returncode) == ("cleaned\ninterrupted\n", "", 0)


def test_a_script_ends_cleanly_with_work_left_on_the_loop() -> None:
    code = """
import asyncio
from tidyllm.core import step

async def leaves_a_task(x):
    asyncio.get_running_loop().create_task(asyncio.sleep(3600))
    return x

print(step(leaves_a_task).run_sync(5))
"""
    ran = script(code)
    assert (ran.stdout, ran.returncode) == ("5\n", 0)
    assert "Exception" not in ran.stderr


def test_a_script_may_end_while_a_step_blocks_the_loop() -> None:
    code = """
import threading
from tidyllm.core import step

threading.Thread(target=step(lambda x: threading.Event().wait()).run_sync, args=(1,), daemon=True).start()
print("over")
"""
    ran = script(code, dev=False)
    assert (ran.stdout, ran.returncode) == ("over\n", 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_fork_gets_a_loop_and_threads_of_its_own() -> None:
    code = """
import os, warnings
from tidyllm.core import step

async def double(x):
    return x * 2

def blocking(x):
    return x * 2

both = step(double) >> step(thread=True)(blocking)
print(both.run_sync(1), flush=True)
warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of forks beside threads, and rightly
child = os.fork()
print(both.run_sync(2), flush=True)
if child:
    _, status = os.waitpid(child, 0)
    print("child", status, flush=True)
"""
    ran = script(code)
    assert sorted(ran.stdout.split("\n")) == ["", "4", "8", "8", "child 0"]
    assert ran.stderr == ""
