"""Files on a disk: written whole and synced, told apart by hashes, locked. It knows no runs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from pathlib import Path

from tidyllm.migrate.errors import MigrateError

__all__ = ["check_writable", "hash_of", "hash_of_file", "lock", "sync", "write"]


def check_writable(target: Path) -> None:
    """:raises MigrateError: it is no plain file, or may not be replaced."""
    mode = target.stat().st_mode
    if target.is_symlink() or not stat.S_ISREG(mode):
        raise MigrateError(f"{target} is no plain file.", "Name the file that it stands for.")
    if not mode & 0o222 or not os.access(target, os.W_OK) or not os.access(target.parent, os.W_OK):
        raise MigrateError(
            f"nothing was changed: {target} is not writable.", "Make it writable, or leave it out."
        )


def write(path: Path, data: bytes, mode: int) -> None:
    """Write and sync a file; what is there of it is removed when that fails."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(handle, view) :]
            os.fchmod(handle, mode)
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from error


def sync(folder: Path) -> None:
    """See that the names in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def hash_of(data: bytes) -> str:
    """What tells contents apart."""
    return hashlib.sha256(data).hexdigest()


def hash_of_file(path: Path) -> str:
    """The same of a file; empty where there is none."""
    try:
        return hash_of(path.read_bytes())
    except OSError:
        return ""


def lock(handle: int, root: Path) -> None:
    """:raises MigrateError: another process has it."""
    try:
        import fcntl
    except ImportError:  # a system without it: two runs at once are then not noticed
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise MigrateError(
            f"another `tidyllm migrate` is at work in {root}.", "Wait until it has ended."
        ) from error
