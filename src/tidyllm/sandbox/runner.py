"""One command as a process: the order to its guard, its two outputs, its time. It knows no journal and no rules."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tidyllm import clock
from tidyllm.errors import CommandRefused, WorkspaceError
from tidyllm.sandbox.commands import Allowed
from tidyllm.sandbox.isolate import devices, isolation, readable, wrapping
from tidyllm.sandbox.jail.order import Order
from tidyllm.sandbox.limits import Limits
from tidyllm.sandbox.paths import HISTORIES, IGNORED

_HOME = str(Path(__file__).resolve().parents[2])
_BOOT = "import sys; sys.path.insert(0, sys.argv.pop()); from tidyllm.sandbox.jail.guard import main; main()"
_PASSED = ("LANG", "LC_ALL", "LC_CTYPE", "TZ", "COLUMNS")
_AFTER = 5.0  # seconds for the guard to clear up before it is killed itself


class Outcome(msgspec.Struct, frozen=True):
    """What the guard says at the end."""

    exit: int = -9
    killed: str = ""
    layers: list[str] = []
    error: str = ""


@dataclass(frozen=True)
class Ran:
    """A finished process."""

    outcome: Outcome
    stdout: str
    stderr: str
    timed_out: bool
    truncated: bool
    seconds: float


def environment(
    root: Path, folders: tuple[str, ...], private: Path, passed: Mapping[str, str]
) -> dict[str, str]:
    """All variables that a command gets: a short list, so that no key or token of the caller's is among them.

    Caches of tools go to the private folder, and Python writes none, so that a run of tests leaves nothing in the tree.
    """
    own = {name: os.environ[name] for name in _PASSED if name in os.environ}
    temporary = str(private)
    own |= {
        "PATH": os.pathsep.join(folders),
        "HOME": temporary,
        "TMPDIR": temporary,
        "TERM": "dumb",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTEST_ADDOPTS": f"-o cache_dir={shlex.quote(temporary)}/pytest",
        "MYPY_CACHE_DIR": f"{temporary}/mypy",
        "RUFF_CACHE_DIR": f"{temporary}/ruff",
        "COVERAGE_FILE": f"{temporary}/coverage",
        "HYPOTHESIS_STORAGE_DIRECTORY": f"{temporary}/hypothesis",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_PAGER": "cat",
        "GIT_CEILING_DIRECTORIES": str(root.parent),
        "GIT_CONFIG_COUNT": "3",
        "GIT_CONFIG_KEY_0": "core.fsmonitor",
        "GIT_CONFIG_VALUE_0": "false",
        "GIT_CONFIG_KEY_1": "core.hooksPath",
        "GIT_CONFIG_VALUE_1": os.devnull,
        "GIT_CONFIG_KEY_2": "safe.directory",
        "GIT_CONFIG_VALUE_2": "*",
    }
    if (root / ".venv").is_dir():
        own["VIRTUAL_ENV"] = str(root / ".venv")
    own.setdefault("LANG", "C.UTF-8")
    return {**own, **passed}


def order_for(
    allowed: Allowed, root: Path, private: Path, env: dict[str, str], limits: Limits, *, jail: bool
) -> Order:
    """What the guard is to do for this command."""
    argv = [allowed.program, *allowed.argv[1:]]
    if allowed.family == "python":  # also with -I and -E, which look at no variables
        argv[1:1] = ["-B"]
    write = [str(root), str(private)]
    shut = [
        str(root / name)
        for name in sorted(IGNORED | HISTORIES)
        if (root / name).is_dir() and name != "__pycache__"
    ]
    read = readable(allowed.program, tuple(env["PATH"].split(os.pathsep)), root) if jail else []
    return Order(
        argv=argv,
        cwd=str(root),
        env=env,
        write=write,
        shut=shut,
        read=read,
        devices=devices(),
        wrap=wrapping(write, shut, read, str(root)) if jail and isolation() == "bubblewrap" else [],
        jail=jail,
        spaces=True,
        memory_bytes=limits.memory_bytes,
        file_bytes=limits.file_bytes,
        disk_bytes=limits.disk_bytes,
        processes=limits.processes,
        cpu_seconds=limits.cpu_seconds,
        open_files=limits.open_files,
    )


async def run(order: Order, *, timeout: float, output_bytes: int) -> Ran:
    """Run one command to its end or its time. Cancelling ends the command as well, before the cancellation goes on."""
    begin = clock.monotonic()
    outcome, outcome_end = os.pipe()
    try:
        guard = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-I",
                "-S",
                "-c",
                _BOOT,
                str(outcome_end),
                _HOME,
            ),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"LANG": "C.UTF-8", "PATH": os.defpath},
            cwd="/",
            start_new_session=True,
            pass_fds=(outcome_end,),
        )
    except BaseException:
        os.close(outcome)
        raise
    finally:
        os.close(outcome_end)
    assert guard.stdin is not None
    assert guard.stdout is not None
    assert guard.stderr is not None
    late: list[bool] = []
    timers: list[clock.Timer] = []

    def stop() -> None:
        assert guard.stdin is not None
        guard.stdin.close()
        timers.append(clock.call_later(_AFTER, lambda: guard.returncode is None and guard.kill()))

    def time_is_up() -> None:
        late.append(True)
        stop()

    timers.append(clock.call_later(timeout, time_is_up))
    outputs = [asyncio.ensure_future(_keep(pipe, output_bytes)) for pipe in (guard.stdout, guard.stderr)]
    try:
        guard.stdin.write(order.line())
        try:
            await asyncio.gather(*outputs)
            await guard.wait()
        except asyncio.CancelledError:
            stop()
            await asyncio.shield(guard.wait())
            raise
        with os.fdopen(os.dup(outcome), "rb") as pipe:
            told = pipe.read()
    finally:
        for timer in timers:
            timer.cancel()
        for output in outputs:
            output.cancel()
        guard.stdin.close()
        os.close(outcome)
    seconds = clock.monotonic() - begin
    said = (
        msgspec.json.decode(told, type=Outcome)
        if told
        else Outcome(error="" if late else "its guard was killed")
    )
    if said.error:
        if "FileNotFoundError" in said.error or "PermissionError" in said.error:
            raise CommandRefused(f"{order.argv[0]} could not be started: {said.error}")
        raise WorkspaceError(f"the command did not run, as its sandbox could not be made: {said.error}")
    (out, cut_out), (err, cut_err) = (one.result() for one in outputs)
    if order.jail and not said.layers and not late and not said.killed:
        raise WorkspaceError(
            f"the command did not run, as its sandbox could not be made: {err.strip()[-500:]}"
        )
    killed = "" if said.killed == "stopped" else said.killed
    return Ran(
        msgspec.structs.replace(said, killed=killed), out, err, bool(late), cut_out or cut_err, seconds
    )


async def _keep(pipe: asyncio.StreamReader, most: int) -> tuple[str, bool]:
    """The first and the last half of what comes; the middle is dropped, and the text says so."""
    head, tail = bytearray(), bytearray()
    half = max(most // 2, 1)
    dropped = 0
    while piece := await pipe.read(65536):
        room = half - len(head)
        if room > 0:
            head += piece[:room]
            piece = piece[room:]
        tail += piece
        if len(tail) > 2 * half:
            dropped += len(tail) - half
            del tail[: len(tail) - half]
    if len(tail) > half:
        dropped += len(tail) - half
        del tail[: len(tail) - half]
    middle = f"\n[... {dropped} bytes left out ...]\n".encode() if dropped else b""
    return (bytes(head) + middle + bytes(tail)).decode(errors="replace"), dropped > 0
