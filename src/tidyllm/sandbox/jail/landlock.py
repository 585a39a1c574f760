"""Landlock: which paths a process and its children may read or write, by the kernel's own rules.

It knows rule sets and nothing of workspaces. What a kernel is too old for is left out of the rule set; `seccomp.py`
closes what it can of that.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from collections.abc import Iterable

from tidyllm.sandbox.jail import kernel

_CREATE, _ADD, _RESTRICT = 444, 445, 446

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15
READ = EXECUTE | READ_FILE | READ_DIR
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
_ALL_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_BIND_AND_CONNECT = 0b11
_SCOPED = 0b11  # abstract UNIX sockets and signals to processes outside


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def abi() -> int:
    """The version of Landlock in this kernel; 0 where there is none or it is switched off."""
    if sys.platform != "linux":
        return 0
    try:
        return kernel.syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    except OSError:
        return 0


def restrict(*, read: Iterable[str], write: Iterable[str], devices: Iterable[str], tcp: bool) -> int:
    """From here on this process and its children reach only these paths; TCP only if `tcp`.

    Paths that do not exist are left out. Raises `OSError` where the kernel refuses: nothing may run then. Gives the
    version used. `no_new_privs` must be set already.
    """
    version = abi()
    if version < 1:
        raise OSError("this kernel has no Landlock")
    every = _ALL_BY_ABI[min(version, 5)]
    ruleset = _Ruleset(every, 0 if tcp or version < 4 else _BIND_AND_CONNECT, _SCOPED if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    handle = kernel.syscall(_CREATE, ctypes.byref(ruleset), ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        for path in read:
            _allow(handle, path, READ)
        for path in devices:
            _allow(handle, path, (READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEV) & every)
        for path in write:
            _allow(handle, path, every & ~IOCTL_DEV)
        kernel.syscall(_RESTRICT, ctypes.c_int(handle), ctypes.c_uint32(0), what="landlock_restrict_self")
    finally:
        os.close(handle)
    return version


def _allow(handle: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= _OF_FILES
        rule = _PathBeneath(rights, place)
        kernel.syscall(
            _ADD,
            ctypes.c_int(handle),
            ctypes.c_int(1),
            ctypes.byref(rule),
            ctypes.c_uint32(0),
            what=f"rule for {path}",
        )
    finally:
        os.close(place)
