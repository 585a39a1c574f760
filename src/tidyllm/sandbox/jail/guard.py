"""The guard of one command: starts it, watches what limits of one process cannot see, and leaves nothing behind.

The program that ordered the command holds the other end of standard input: when that closes, because time is up or
because the program died, everything that the command started is killed, also what went into a session of its own.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from typing import NoReturn

from tidyllm.sandbox.jail import inside, kernel, spaces
from tidyllm.sandbox.jail.order import Order, read_order

_LOOK = (
    0.05  # seconds between two looks at processes and memory: a fork bomb makes some hundreds in that time
)
_PAGE = os.sysconf("SC_PAGE_SIZE")


def main() -> NoReturn:
    """Read the order from standard input; the outcome goes as JSON to the descriptor named by the only argument."""
    outcome = int(sys.argv[1])
    os.set_inheritable(outcome, False)
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(0, 65536)
        if not piece:
            os._exit(0)  # who wanted the command is gone
        line += piece
    result = _run(read_order(line))
    os.write(outcome, json.dumps(result).encode())
    os._exit(0)


def _run(order: Order) -> dict[str, object]:
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    report, report_end = os.pipe()
    status, status_end = os.pipe()
    layers = spaces.own_processes() if order.jail and order.spaces and not order.wrap else []
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    child = os.fork()
    if child == 0:
        _child(order, layers, report_end, status_end)
    os.close(report_end)
    os.close(status_end)
    for output in (1, 2):  # only the command's own ends may keep the pipes open
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    found: dict[str, object] = {"killed": _watch(order, child)}
    _end_all(child)
    said = _drain(report).splitlines()
    for words in said:
        found.update(json.loads(words))
    told = _drain(status)
    if told:
        code = int(told)
        ended = os.waitstatus_to_exitcode(code)
        # Bubblewrap tells a signal as a shell does.
        found["exit"] = 128 - ended if order.wrap and 128 < ended <= 192 else ended
    else:
        found["exit"] = -int(signal.SIGKILL)
    return found


def _child(order: Order, layers: list[str], report: int, status: int) -> NoReturn:
    """Where the kernel numbers us apart this is process 1: it waits for the command, and its end ends all the rest."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    os.nice(5)  # the guard must get its turn also while hundreds of processes want theirs
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    try:
        if "processes" in layers:
            layers = layers + spaces.own_places(order)
        command = os.fork()
    except OSError as error:
        os.write(report, json.dumps({"error": str(error)}).encode() + b"\n")
        os._exit(126)
    if command == 0:
        os.close(status)
        if order.wrap:
            os.set_inheritable(report, True)
            boot = [*order.wrap, sys.executable, "-I", "-S", "-c", WITHIN, _home(), str(report)]
            os.execve(boot[0], [*boot, order.line().decode()], order.env)  # noqa: S606 - no shell is the point
        inside.become(order, layers, report)
    os.close(report)
    for output in (1, 2):
        os.dup2(null, output)
    while True:
        pid, code = os.waitpid(-1, 0)
        if pid == command:
            os.write(status, str(code).encode())
            os._exit(0)


WITHIN = (
    "import sys; sys.path.insert(0, sys.argv[1]); from tidyllm.sandbox.jail.guard import within; within()"
)


def within() -> NoReturn:
    """The last step behind bubblewrap, which has made the mounts and namespaces."""
    report = int(sys.argv[2])
    os.set_inheritable(report, False)
    layers = ["bubblewrap", "processes", "mounts", "network"]
    inside.become(read_order(sys.argv[3].encode()), layers, report)


def _home() -> str:
    return __file__.rsplit("/", 4)[0]


def _watch(order: Order, child: int) -> str:
    """Wait for the child; the reason why it must end before its time, or nothing."""
    begin = _used(order)
    handle = os.pidfd_open(child)
    events = select.poll()
    events.register(handle, select.POLLIN)
    events.register(0, select.POLLIN | select.POLLHUP)
    next_tree = time.monotonic() + 0.3  # noqa: TID251 - a process of its own, where no test's clock reaches
    while True:
        ready = dict(events.poll(_LOOK * 1000))
        if handle in ready:
            return ""
        if 0 in ready:
            return "stopped"
        count = memory = 0
        for pid in descendants(os.getpid()):
            count += 1
            memory += _memory(pid)
            if count > order.processes + 2:
                break
        if count > order.processes + 2:
            return f"more than {order.processes} processes"
        if memory > order.memory_bytes:
            return f"more than {order.memory_bytes} bytes of memory"
        now = time.monotonic()  # noqa: TID251 - as above
        if now >= next_tree:
            if _used(order) - begin > order.disk_bytes:
                return f"more than {order.disk_bytes} bytes written"
            spent = time.monotonic() - now  # noqa: TID251 - as above
            next_tree = now + max(0.3, 20 * spent)


def _memory(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm") as file:  # noqa: PTH123 - hot, and pathlib is not loaded here for nothing
            numbers = file.read().split()
        return (int(numbers[1]) - int(numbers[2])) * _PAGE  # without what is shared with files
    except (OSError, IndexError, ValueError):
        return 0


def _used(order: Order) -> int:
    """Bytes that the writable folders take on the disk, without the shut ones."""
    total = 0
    shut = set(order.shut)
    stack = list(order.write)
    while stack:
        try:
            with os.scandir(stack.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if entry.path not in shut:
                            stack.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:
            continue
    return total


def descendants(pid: int) -> Iterator[int]:
    """All processes below `pid`, by what the kernel says of each thread's children."""
    stack = [pid]
    while stack:
        one = stack.pop()
        try:
            for thread in os.listdir(f"/proc/{one}/task"):  # noqa: PTH208 - as above
                with open(f"/proc/{one}/task/{thread}/children") as file:  # noqa: PTH123 - as above
                    below = [int(word) for word in file.read().split()]
                stack.extend(below)
                yield from below
        except OSError:
            continue


def _end_all(child: int) -> None:
    """Kill until nothing is left: first stopped, so that nothing forks away, then killed, then buried."""
    os.kill(
        child, signal.SIGKILL
    )  # not buried yet; where it is process 1 the kernel ends all the others with it
    while True:
        pids = list(descendants(os.getpid()))
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    continue
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.002)  # noqa: TID251 - as above


def _drain(pipe: int) -> bytes:
    os.set_blocking(pipe, False)
    try:
        return os.read(pipe, 65536)
    except BlockingIOError:
        return b""
