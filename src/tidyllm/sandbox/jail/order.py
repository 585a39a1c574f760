"""What the guard is told about one command: a plain record that travels as one line of JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Order:
    """One command, all paths absolute and resolved, all sizes in bytes."""

    argv: list[str]
    cwd: str
    env: dict[str, str]
    write: list[str]
    """Folders that the command may change."""
    shut: list[str]
    """Folders inside those that it may only read, where mounts can be made."""
    read: list[str]
    devices: list[str]
    wrap: list[str]
    """The words of bubblewrap up to and without the command; empty for our own namespaces."""
    jail: bool
    """False: limits and the guard only (`unsandboxed=True`)."""
    spaces: bool
    """False: no namespaces are tried, as on a machine that gives none."""
    memory_bytes: int
    file_bytes: int
    disk_bytes: int
    processes: int
    cpu_seconds: int
    open_files: int

    def line(self) -> bytes:
        """The order as it is sent."""
        return json.dumps(asdict(self)).encode() + b"\n"


def read_order(line: bytes) -> Order:
    """The order that `line` holds."""
    return Order(**json.loads(line))
