"""Who this process is among those of all machines, and whether another one still lives. It knows no runs."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

__all__ = ["born", "is_gone", "machine"]


@cache
def machine() -> str:
    """This machine since it was booted, and its name space of processes: within it a number means one process."""
    parts = [platform.node()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            parts.append(str(Path(path).readlink()) if "ns" in path else Path(path).read_text().strip())
        except OSError:
            continue
    return ":".join(parts)


def born(pid: int) -> str:
    """When the process began, in the kernel's ticks; empty when there is none, or nobody can tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in {"Z", "X"} else fields[19]


def is_gone(where: str, pid: int, began: str) -> bool:
    """Whether that process is known to have ended; False also when it cannot be seen from here."""
    if where != machine() or not Path("/proc/self/stat").exists():
        return False
    return born(pid) != began
