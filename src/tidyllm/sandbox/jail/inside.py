"""The last steps before the command itself: limits, rights given up, Landlock, the filter, then `execve`.

Whatever cannot be put in place although it was ordered ends the process before the command starts.
"""

from __future__ import annotations

import json
import os
import resource
from typing import NoReturn

from tidyllm.sandbox.jail import kernel, landlock, seccomp
from tidyllm.sandbox.jail.order import Order


def become(order: Order, layers: list[str], report: int) -> NoReturn:
    """Turn this process into the command. What holds, or why nothing runs, goes to the pipe `report` as JSON."""
    try:
        os.chdir(order.cwd)
        _limits(order, own_users="users" in layers)
        if order.jail:
            layers = layers + _lock(order, layers)
        os.write(report, json.dumps({"layers": layers}).encode() + b"\n")
        os.closerange(3, report)
        os.closerange(report + 1, 256)
        os.execve(order.argv[0], order.argv, order.env)  # noqa: S606 - no shell is the point
    except BaseException as error:  # noqa: BLE001 - whatever it was, the command must not run and the reason must arrive
        os.write(report, json.dumps({"error": f"{type(error).__name__}: {error}"}).encode() + b"\n")
    os._exit(126)


def _limits(order: Order, *, own_users: bool) -> None:
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_AS: order.memory_bytes,
        resource.RLIMIT_FSIZE: order.file_bytes,
        resource.RLIMIT_CPU: order.cpu_seconds,
        resource.RLIMIT_NOFILE: order.open_files,
    }
    if own_users:  # else the kernel would count the user's other programs as well; the guard counts anyway
        wanted[resource.RLIMIT_NPROC] = order.processes
    for kind, size in wanted.items():
        hard = resource.getrlimit(kind)[1]
        most = size if hard == resource.RLIM_INFINITY else min(size, hard)
        resource.setrlimit(kind, (most, most))


def _lock(order: Order, layers: list[str]) -> list[str]:
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    if os.geteuid() == 0:
        kernel.drop_capabilities()
    held: list[str] = []
    version = 0
    own_network = "network" in layers
    if landlock.abi() >= 1:
        write = [*order.write, *(["/dev/shm"] if "mounts" in layers else [])]  # noqa: S108 - a private one
        version = landlock.restrict(read=order.read, write=write, devices=order.devices, tcp=own_network)
        held.append(f"landlock-{version}")
    elif not order.wrap:
        raise OSError("Landlock is gone")
    if seccomp.supported():
        seccomp.install(seccomp.Switches(own_network, "mounts" in layers, version))
        held.append("seccomp")
    elif not order.wrap:
        raise OSError(f"no filter of system calls is known for {kernel.NATIVE}")
    return held
