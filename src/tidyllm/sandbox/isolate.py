"""Which wall this machine has for commands, what it holds back, and what a command needs to see to run at all.

It knows paths of the system and of Python; the wall itself is built by `jail/`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from tidyllm.sandbox.jail import landlock, seccomp

Isolation = Literal["bubblewrap", "landlock"]

_SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/proc",
    "/sys/devices/system",
    "/sys/fs/cgroup",
    "/nix/store",
)
_ETC = (
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "passwd",
    "group",
    "nsswitch.conf",
    "localtime",
    "timezone",
    "hosts",
    "services",
    "protocols",
    "host.conf",
    "ssl/certs",
    "ssl/openssl.cnf",
    "pki/tls/certs",
    "ca-certificates.conf",
    "alternatives",
    "mime.types",
    "os-release",
    "locale.alias",
    "locale.conf",
    "terminfo",
    "magic",
    "debian_version",
    "machine-id",
)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


@cache
def isolation() -> Isolation | None:
    """The wall that commands get on this machine: bubblewrap if it is there and works, else Landlock, else none."""
    if sys.platform != "linux":
        return None
    if bubblewrap() is not None:
        return "bubblewrap"
    return "landlock" if landlock.abi() >= 1 and seccomp.supported() else None


@cache
def bubblewrap() -> str | None:
    """Where a working bubblewrap lies; many machines have one that may not make namespaces."""
    place = shutil.which("bwrap")
    if place is None:
        return None
    words = [place, "--unshare-all", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "true"]
    try:
        done = subprocess.run(words, capture_output=True, timeout=10, check=False)  # noqa: S603 - words of ours
    except (OSError, subprocess.TimeoutExpired):
        return None
    return place if done.returncode == 0 else None


def guarantees(kind: Isolation | None = None) -> str:
    """What the wall of that kind (of this machine, if not said) holds back, in words for a help page."""
    kind = kind or isolation()
    limits = "Time, memory, processes, disk and output are limited, and nothing that a command started outlives it."
    if kind is None:
        return (
            "There is no wall on this machine (neither bubblewrap nor Landlock): commands run with your own rights, "
            f"and only if you allow that. {limits} Secrets in environment variables are not passed on."
        )
    what = {
        "bubblewrap": "bubblewrap, with Landlock and a filter of system calls inside where the kernel has them",
        "landlock": f"Landlock (version {landlock.abi()}) and a filter of system calls, "
        "with namespaces of its own where the kernel gives them",
    }[kind]
    return (
        f"Commands run behind {what}. They can change only the workspace and a temporary folder of their own, "
        "read only these, the system's programs and Python's, and reach no network, no UNIX socket and no process "
        f"outside. Your home, other projects and the environment's secrets stay shut. {limits}"
    )


def readable(program: str, folders: Sequence[str], root: Path) -> list[str]:
    """What a command may read besides the workspace: the system, Python, and the program with its libraries."""
    found = [*_SYSTEM, *(f"/etc/{name}" for name in _ETC)]
    for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix):
        found += _prefix(Path(prefix))
    found += [sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    for one in (Path(program), Path(program).resolve()):
        found += [str(one), *(_prefix(one.parent.parent) if one.parent.name == "bin" else [])]
    own = root / ".venv" / "bin" / "python"
    if own.is_symlink():  # an environment of the project points to an interpreter elsewhere
        found += _prefix(own.resolve().parent.parent)
    for folder in folders:
        if Path(folder).name == "bin":
            found.append(folder)
    home = Path.home().resolve()
    shut = {str(home), "/", *map(str, home.parents), str(root)}
    real = [os.path.realpath(one) for one in found]
    return sorted({one for one in [*found, *real] if one not in shut and os.path.exists(one)})  # noqa: PTH110 - a folder may be shut to us


def _prefix(place: Path) -> list[str]:
    """The parts of an installation that hold code; never the whole, as `~/.local` is one as well."""
    names = ["bin", "lib", "lib64", "libexec", "include", "pyvenv.cfg"]
    if place.name != ".local":
        names.append("share")
    return [str(place / name) for name in names]


def devices() -> list[str]:
    """Devices that any program may want and that hold nothing."""
    return list(_DEVICES)


def wrapping(write: Sequence[str], shut: Sequence[str], read: Sequence[str], cwd: str) -> list[str]:
    """Bubblewrap's words up to the command: nothing is there but what is named."""
    place = bubblewrap()
    if place is None:
        return []
    words = [place, "--unshare-all", "--die-with-parent", "--dev", "/dev", "--proc", "/proc"]
    ours = str(Path(__file__).resolve().parents[2])
    plain = [one for one in [*read, ours] if not one.startswith(("/proc", "/dev"))]
    bound: list[str] = []
    for path in sorted(plain):
        if any(path == one or path.startswith(one + "/") for one in bound):
            continue  # there already, and what lies below a bind cannot be made a place for another
        bound.append(path)
        words += ["--ro-bind-try", path, path]
    for path in write:
        words += ["--bind", path, path]
    for path in shut:
        words += ["--ro-bind-try", path, path]
    return [*words, "--chdir", cwd, "--"]
