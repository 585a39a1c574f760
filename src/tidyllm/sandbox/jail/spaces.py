"""Namespaces of a command's own: processes, mounts, network. Each is taken where the kernel gives it.

Landlock and the filter hold without them; `layers` says which ones came about.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from pathlib import Path

from tidyllm.sandbox.jail import kernel
from tidyllm.sandbox.jail.order import Order

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1


def own_processes() -> list[str]:
    """Let the children of this process be numbered apart. Root needs no user namespace, others do."""
    user, group = os.geteuid(), os.getegid()
    try:
        kernel.unshare(kernel.CLONE_NEWPID)
        return ["processes"]
    except OSError:
        pass
    try:
        kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWPID)
    except OSError:
        return []
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    except OSError:
        os._exit(125)  # without names for users nothing can be opened any more
    return ["users", "processes"]


def own_places(order: Order) -> list[str]:
    """A network with only the loopback, and mounts of which only the workspace is writable."""
    layers: list[str] = []
    try:
        kernel.unshare(kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC)
        _loopback_up()
        layers.append("network")
    except OSError:
        pass
    try:
        kernel.unshare(kernel.CLONE_NEWNS)
        _mounts(order)
        layers.append("mounts")
    except OSError:
        pass
    return layers


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        asked = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(door, _SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(door, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


def _mounts(order: Order) -> None:
    kernel.mount("", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    for path in order.write:
        kernel.mount(path, path, flags=kernel.MS_BIND | kernel.MS_REC)
    shut = [path for path in order.shut if Path(path).is_dir()]
    for path in shut:
        kernel.mount(path, path, flags=kernel.MS_BIND | kernel.MS_REC)
    shared = "/dev/shm"  # noqa: S108 - a private one, for semaphores of Python's multiprocessing
    kernel.mount(
        "tmpfs", shared, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, f"size={order.memory_bytes // 4}"
    )
    try:
        flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
        kernel.mount("proc", "/proc", "proc", flags)
    except OSError:
        pass  # inside containers it is often forbidden; Landlock keeps others' memory and environment shut
    kernel.mount_attributes("/", on=kernel.ATTR_RDONLY)
    for path in [*order.write, shared]:
        kernel.mount_attributes(
            path, off=kernel.ATTR_RDONLY, on=kernel.ATTR_NOSUID | kernel.ATTR_NODEV, recursive=False
        )
    os.chdir("/")
