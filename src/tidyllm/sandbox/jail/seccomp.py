"""A filter of system calls: what Landlock does not know (sockets, tracing, namespaces, modes) is refused here.

`program` is pure: from a few switches to the filter's instructions. It knows nothing of workspaces.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from dataclasses import dataclass

from tidyllm.sandbox.jail import kernel

_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32 = 0x40000000

# Calls that no test or tool needs, by number (x86_64, aarch64); -1 where a machine has no such call.
_NEVER = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "io_uring_setup": (425, 425),  # its requests would pass by this filter
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "syslog": (103, 116),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "fanotify_init": (300, 262),
    "vhangup": (153, 58),
    "iopl": (172, -1),
    "ioperm": (173, -1),
    "mknod": (133, -1),
    "mknodat": (259, 33),
}
# Landlock does not look at modes, owners, times and attributes: without read-only mounts they are refused here.
_ATTRIBUTES = {
    "chmod": (90, -1),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, -1),
    "fchown": (93, 55),
    "lchown": (94, -1),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "setxattrat": (463, 463),
    "removexattrat": (466, 466),
    "utime": (132, -1),
    "utimes": (235, -1),
    "futimesat": (261, -1),
    "utimensat": (280, 88),
}
_TRUNCATE = (76, 45)
_SOCKET, _CLONE, _CLONE3, _IOCTL = (41, 198), (56, 220), (435, 435), (16, 29)
_NAMESPACES = (
    kernel.CLONE_NEWNS
    | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUSER
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNET
    | kernel.CLONE_NEWCGROUP
)
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_AF_INET, _AF_INET6 = 2, 10

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


@dataclass(frozen=True)
class Switches:
    """What else guards this command, and so need not be refused here."""

    loopback: bool
    """It has a network of its own with nothing but the loopback: IP sockets are harmless."""
    read_only_mounts: bool
    """What lies outside the workspace is mounted read-only: changes of modes and times are harmless."""
    landlock: int
    """Landlock's version, 0 for none: before 3 it does not know `truncate`."""


def supported() -> bool:
    """Whether we know this machine's numbers."""
    return kernel.NATIVE in _ARCH


def program(switches: Switches, machine: str = kernel.NATIVE) -> bytes:
    """The filter as the kernel wants it: instructions of eight bytes each."""
    column = 0 if machine == "x86_64" else 1
    refused = {**_NEVER, **({} if switches.read_only_mounts else _ATTRIBUTES)}
    if switches.landlock < 3 and not switches.read_only_mounts:
        refused["truncate"] = _TRUNCATE
    deny = _ERRNO | errno.EPERM
    code: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, _ARCH[machine]),
        (_RETURN, 0, 0, deny),  # a program of another machine's kind
        (_LOAD, 0, 0, 0),
    ]
    if machine == "x86_64":
        code += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, deny)]
    for numbers in refused.values():
        if numbers[column] >= 0:
            code += [(_EQUAL, 0, 1, numbers[column]), (_RETURN, 0, 0, deny)]
    # The flags of clone3 lie in memory, where no filter can look: C libraries then fall back to clone.
    code += [(_EQUAL, 0, 1, _CLONE3[column]), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    code += [
        (_EQUAL, 0, 3, _CLONE[column]),
        (_LOAD, 0, 0, 16),
        (_ANY_BIT, 0, 1, _NAMESPACES),
        (_RETURN, 0, 0, deny),
        (_LOAD, 0, 0, 0),
    ]
    code += [
        (_EQUAL, 0, 4, _IOCTL[column]),
        (_LOAD, 0, 0, 24),
        (_EQUAL, 1, 0, _TIOCSTI),
        (_EQUAL, 0, 1, _TIOCLINUX),
        (_RETURN, 0, 0, deny),
        (_LOAD, 0, 0, 0),
    ]
    families = [_AF_INET, _AF_INET6] if switches.loopback else []
    code.append((_EQUAL, 0, 2 + 2 * len(families), _SOCKET[column]))
    code.append((_LOAD, 0, 0, 16))
    for family in families:
        code += [(_EQUAL, 0, 1, family), (_RETURN, 0, 0, _ALLOW)]
    code += [(_RETURN, 0, 0, deny), (_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("HBBI", *one) for one in code)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install(switches: Switches) -> None:
    """From here on this process and its children are held to the filter. `no_new_privs` must be set already."""
    code = program(switches)
    kernel.prctl(kernel.PR_SET_SECCOMP, 2, ctypes.byref(_Program(len(code) // 8, code)))
