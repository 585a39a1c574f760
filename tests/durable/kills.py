"""Kills a process in the middle of its runs, again and again, and compares three witnesses: the log that steps write,
the database, and what the runs give. Started as a program of its own: it forks, which a test process should not.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

# Loaded before the fork, so that a round costs no imports.
from tests.durable import programs
from tidyllm.durable import Runtime, engine, hub, runtime
from tidyllm.durable.database import connect
from tidyllm.durable.place import runs_location
from tidyllm.durable.tables import DONE, FAILED, RUNNING

LOADED = engine, hub, runtime


def fork(body: Callable[[], None]) -> int:
    """A child that does `body` and nothing else."""
    while True:
        try:
            pid = os.fork()
            break
        except BlockingIOError:  # too many processes on this machine for the moment
            time.sleep(0.5)
    if pid == 0:
        code = 1
        try:
            body()
            code = 0
        except BaseException as error:  # noqa: BLE001 - the parent reads the exit code, people read this
            sys.stderr.write(f"child: {type(error).__name__}: {error}\n")
            sys.stderr.flush()
        os._exit(code)
    return pid


def child(url: str, log: str, run: str, started: int) -> None:
    """Run `run` from where it is to its end, unless killed before."""

    async def main() -> None:
        async with Runtime(url) as here:
            os.write(started, b".")
            handle = await here.start(programs.mixed, "go", id=run, tags={"run": run})
            answer = await handle.result()
            assert answer == programs.EXPECTED, answer
            os._exit(0)  # like a kill: nobody tidies up

    programs.log_to(log)
    asyncio.run(main())


def rounds(url: str, folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """`kills` kills at random moments; what was found out."""
    chance = random.Random(seed)
    report: dict[str, Any] = {"kills": 0, "runs": 0, "steps": 0, "in_doubt": 0, "wrong": []}
    log = folder / "log"
    log.touch()
    number = 0
    while report["kills"] < kills:
        run = f"run-{number}"
        over = False
        while not over and len(report["wrong"]) < 5:
            offset = log.stat().st_size
            before = states(url, run)
            read, write = os.pipe()
            pid = fork(lambda write=write, run=run: child(url, str(log), run, write))
            os.close(write)
            os.read(read, 1)  # it is open now, or dead
            os.close(read)
            # Sometimes it is let go to its end, else a round of bad luck would never see one.
            wait = chance.random() * 0.2 if report["kills"] < kills else 60.0
            over = ended(pid, wait, report)
            check(url, run, log, offset, before=before, report=report)
            report["runs"] += over
        number += 1
        if len(report["wrong"]) >= 5:
            break
    final(log, report)
    return report


def ended(pid: int, seconds: float, report: dict[str, Any]) -> bool:
    """Whether the child came to its end by itself; else it is killed."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            if os.waitstatus_to_exitcode(status) != 0:
                report["wrong"].append(f"a child ended with {os.waitstatus_to_exitcode(status)}")
            return True
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    report["kills"] += 1
    return False


def states(url: str, run: str) -> dict[str, int]:
    """What the database says of each step of `run`."""
    location = runs_location(url)
    if location.path is not None and not location.path.exists():
        return {}
    with closing(connect(location)) as at:
        try:
            return dict(at.rows("SELECT path, state FROM {s}tidyllm_steps WHERE run = ?", (run,)))
        except Exception:  # noqa: BLE001 - killed before the tables were made
            return {}


def check(
    url: str, run: str, log: Path, offset: int, *, before: dict[str, int], report: dict[str, Any]
) -> None:
    """One life of a process: it ran nothing that was recorded, and what it began is known."""
    after = states(url, run)
    lines = [line.split(" ") for line in log.read_bytes()[offset:].decode().splitlines()]
    begun = {line[2] for line in lines if line[0] == run and line[1] == "begin"}
    wrong: list[str] = report["wrong"]
    wrong += [
        f"{run}: {path} was recorded, and ran again" for path in begun if before.get(path) in (DONE, FAILED)
    ]
    # A retry's attempts happen inside of one recorded call.
    wrong += [f"{run}: {path} was begun without a record" for path in begun if path not in after]
    wrong += [
        f"{run}: {path} was seen and is not recorded as done"
        for path in {line[2] for line in lines if line[0] == run and line[1] == "seen"}
        if after.get(path) != DONE
    ]
    report["in_doubt"] += sum(after.get(path) == RUNNING for path in begun)


def final(log: Path, report: dict[str, Any]) -> None:
    """All lives together: an answer that was seen is always the same, was made at its own place, and never again."""
    made: dict[tuple[str, str], set[str]] = {}
    shown: dict[tuple[str, str], set[str]] = {}
    for line in log.read_text().splitlines():
        run, what, path, token = line.split(" ")
        key = run, path
        if what == "begin" and key in shown:
            report["wrong"].append(f"{run}: {path} began again after its answer had been seen")
        elif what == "end":
            made.setdefault(key, set()).add(token)
        elif what == "seen":
            shown.setdefault(key, set()).add(token)
    for key, tokens in shown.items():
        if len(tokens) != 1 or not tokens <= made.get(key, set()):
            report["wrong"].append(f"{key}: seen {tokens}, made {made.get(key)}")
    report["steps"] = len(made)


if __name__ == "__main__":
    found = rounds(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    sys.stdout.write(json.dumps(found) + "\n")
