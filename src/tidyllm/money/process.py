"""Which process writes, and whether another one still runs. It knows the machine, not the ledger."""

from __future__ import annotations

import os
import socket
import sys
from functools import lru_cache
from pathlib import Path

__all__ = ["alive", "host_name", "process_started"]


@lru_cache(maxsize=1)
def host_name() -> str:
    """This machine since it was started, and this container on it: process numbers mean something only within."""
    boot = _read(Path("/proc/sys/kernel/random/boot_id"))
    try:
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - no file, and Path.readlink says the same less plainly
    except OSError:
        space = ""
    return " ".join(part for part in (socket.gethostname(), boot, space) if part)


def process_started(pid: int) -> str:
    """When that process began, in the kernel's own count; "" when it does not run, or nobody can tell."""
    text = _read(Path(f"/proc/{pid}/stat"))
    fields = text.rpartition(")")[2].split()
    # A zombie is dead: it only waits for its parent to ask how it ended.
    return fields[19] if len(fields) > 19 and fields[0] not in {"Z", "X"} else ""


def alive(host: str, pid: int, started: str) -> bool | None:
    """Whether the process `pid` of `host` that began at `started` runs; None when that cannot be seen from here."""
    if host != host_name():
        return None
    if sys.platform == "linux":
        return process_started(pid) == started
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return None
    return None  # it may be another one with the same number


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
