"""How much one workspace and one command may use. It knows numbers only; who enforces them says so beside each."""

from __future__ import annotations

from dataclasses import dataclass

_MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Sizes are bytes, times are seconds. The defaults fit a test suite on a laptop and stop a runaway program."""

    read_bytes: int = 2 * _MIB
    """The largest file that is read or searched: more would not fit into any model's window."""
    write_bytes: int = 2 * _MIB
    """The largest file that an edit may write: source files are far smaller."""
    files: int = 50_000
    """The most files in the tree (without ignored folders): every command takes a snapshot of them."""
    snapshot_bytes: int = 1024 * _MIB
    """The most bytes that one snapshot keeps: they are copied once, so that undo has them."""
    results: int = 1_000
    """The most names a listing, and the most matches a search gives."""
    seconds: float = 120.0
    """The time for one command: a suite that takes longer is run in parts, or with `timeout=`."""
    cpu_seconds: int = 600
    """CPU time of one process (RLIMIT_CPU): catches a spinning process that left its parent behind."""
    memory_bytes: int = 4096 * _MIB
    """Address space of one process (RLIMIT_AS), and resident memory of all of them together (the guard)."""
    file_bytes: int = 512 * _MIB
    """The largest file that a command may write (RLIMIT_FSIZE)."""
    disk_bytes: int = 1024 * _MIB
    """By how much a command may make the tree and its temporary folder grow (the guard looks every 0.3 s)."""
    processes: int = 256
    """Processes of one command at a time (the guard; RLIMIT_NPROC where it has a user namespace)."""
    open_files: int = 1024
    """Open files of one process (RLIMIT_NOFILE)."""
    output_bytes: int = 256 * 1024
    """What is kept of each of the two outputs: its first and its last half; the rest is read and dropped."""
