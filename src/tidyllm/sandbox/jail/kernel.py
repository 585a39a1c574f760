"""The few system calls that Python does not offer, by their numbers. It knows nothing of what they are used for."""

from __future__ import annotations

import ctypes
import os
import platform

NATIVE = platform.machine()
"""The machine's name as the kernel gives it; our tables of numbers hold `x86_64` and `aarch64`."""

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWTIME = 0x00000080

MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x2, 0x4, 0x8

ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV = 0x1, 0x2, 0x4
AT_FDCWD = -100
AT_RECURSIVE = 0x8000

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_SET_CHILD_SUBREAPER = 36
PR_SET_SECCOMP = 22

_MOUNT_SETATTR = 442

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def syscall(number: int, *arguments: object, what: str = "") -> int:
    """One raw system call; a negative answer is an `OSError`."""
    _libc.syscall.restype = ctypes.c_long
    return _checked(int(_libc.syscall(ctypes.c_long(number), *arguments)), what or f"system call {number}")


def prctl(option: int, first: int = 0, second: object = 0) -> None:
    """`prctl(2)` with two arguments."""
    pair = ctypes.c_ulong(second) if isinstance(second, int) else second
    zero = ctypes.c_ulong(0)
    _checked(int(_libc.prctl(option, ctypes.c_ulong(first), pair, zero, zero)), f"prctl {option}")


def unshare(flags: int) -> None:
    """`unshare(2)`, which Python itself offers only from 3.12 on."""
    _checked(int(_libc.unshare(flags)), "unshare")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """`mount(2)`."""
    parts = [part.encode() or None for part in (source, target, kind)]
    result = _libc.mount(parts[0], parts[1], parts[2], ctypes.c_ulong(flags), data.encode() or None)
    _checked(int(result), f"mount {target}")


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def mount_attributes(path: str, *, on: int = 0, off: int = 0, recursive: bool = True) -> None:
    """`mount_setattr(2)`: set and clear attributes of the mount at `path`, and of those below it."""
    attributes = _MountAttr(on, off, 0, 0)
    syscall(
        _MOUNT_SETATTR,
        ctypes.c_int(AT_FDCWD),
        ctypes.c_char_p(os.fsencode(path)),
        ctypes.c_uint(AT_RECURSIVE if recursive else 0),
        ctypes.byref(attributes),
        ctypes.c_size_t(ctypes.sizeof(attributes)),
        what=f"mount_setattr {path}",
    )


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapData(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


_FILE_CAPABILITIES = (
    0b11111  # chown, dac_override, dac_read_search, fowner, fsetid: root's rights on files only
)


def drop_capabilities() -> None:
    """Leave root nothing but its rights on files, which Landlock and the mounts then narrow to the workspace."""
    for number in range(64):
        if not _FILE_CAPABILITIES >> number & 1:
            try:
                prctl(PR_CAPBSET_DROP, number)
            except OSError:
                break  # past the last one that this kernel knows, or not ours to drop
    data = (_CapData * 2)()
    header = _CapHeader(0x20080522, 0)
    _checked(int(_libc.capget(ctypes.byref(header), data)), "capget")
    for half, keep in zip(data, (_FILE_CAPABILITIES, 0), strict=True):
        half.effective &= keep
        half.permitted &= keep
        half.inheritable = 0
    _checked(int(_libc.capset(ctypes.byref(header), data)), "capset")
