# ruff: noqa: E501 - programs inside of texts
"""A hostile program behind the wall: it tries to get out in every way we know, and tells how far it came."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import tempfile
from pathlib import Path

import pytest

from tests.sandbox.places import fill, workspace
from tidyllm.sandbox import Limits, isolation
from tidyllm.sandbox.commands import Commands
from tidyllm.sandbox.paths import Tree
from tidyllm.sandbox.runner import environment, order_for, run

pytestmark = pytest.mark.skipif(isolation() is None, reason="this machine has no sandbox for commands")

# Each attack succeeds if it raises nothing.
HOSTILE = r"""
import ctypes, json, mmap, os, pathlib, signal, socket, subprocess, sys
outside, state, parent, port, unix = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    if getattr(libc, name)(*args) < 0:
        raise OSError(ctypes.get_errno(), name)
def raw(number, *args):
    libc.syscall.restype = ctypes.c_long
    if libc.syscall(ctypes.c_long(number), *args) < 0:
        raise OSError(ctypes.get_errno(), str(number))
def connect(family, kind, address):
    s = socket.socket(family, kind); s.settimeout(2); s.connect(address); s.send(b"x")
def environ_of(pid):
    if not open(f"/proc/{pid}/environ", "rb").read(): raise OSError("empty")
def link_and_read():
    os.symlink(f"{outside}/secret.txt", "way-out"); open("way-out").read()
def hard_link():
    os.link(f"{outside}/secret.txt", "hard")
def move_out():
    open("moved", "w").close(); os.rename("moved", f"{outside}/moved")
def secrets():
    if not [n for n in os.environ if "SECRET" in n or n.endswith("_KEY")]: raise OSError("none")
ATTACKS = {
    "read a file outside": lambda: open(f"{outside}/secret.txt").read(),
    "read by ..": lambda: open("../secret.txt").read(),
    "list the folder above": lambda: os.listdir(".."),
    "list the home": lambda: os.listdir(os.path.expanduser("~root") if os.geteuid() == 0 else f"/home"),
    "read ssh keys": lambda: os.listdir(os.path.join(__import__("pwd").getpwuid(os.getuid()).pw_dir, ".ssh")),
    "read shell history": lambda: open(os.path.join(__import__("pwd").getpwuid(os.getuid()).pw_dir, ".bashrc")).read(),
    "read the shadow file": lambda: open("/etc/shadow").read(),
    "write outside": lambda: open(f"{outside}/new.txt", "w"),
    "append outside": lambda: open(f"{outside}/secret.txt", "a"),
    "truncate outside": lambda: os.truncate(f"{outside}/secret.txt", 0),
    "delete outside": lambda: os.remove(f"{outside}/secret.txt"),
    "rename outside": lambda: os.rename(f"{outside}/secret.txt", f"{outside}/b"),
    "make a folder outside": lambda: os.mkdir(f"{outside}/folder"),
    "change a mode outside": lambda: os.chmod(f"{outside}/secret.txt", 0o777),
    "change an owner outside": lambda: os.chown(f"{outside}/secret.txt", os.getuid(), os.getgid()),
    "change times outside": lambda: os.utime(f"{outside}/secret.txt", (1, 1)),
    "set an attribute outside": lambda: os.setxattr(f"{outside}/secret.txt", "user.x", b"x"),
    "write to /tmp": lambda: open("/tmp/tidyllm-escaped", "w"),
    "write to /dev/shm of all": lambda: open("/dev/shm/tidyllm-escaped", "w") if os.path.exists("/dev/shm/probe") else 1 / 0,
    "write to the journal": lambda: open(f"{state}/journal.jsonl", "a"),
    "read the journal": lambda: open(f"{state}/journal.jsonl").read(),
    "write to the interpreter": lambda: open(os.path.join(sys.prefix, "lib", "evil.pth"), "w"),
    "a link out, then read": link_and_read,
    "a hard link to outside": hard_link,
    "move a file out": move_out,
    "the root by /proc": lambda: open(f"/proc/self/root{outside}/secret.txt").read(),
    "the parent's folder by /proc": lambda: os.listdir(f"/proc/{parent}/cwd/"),
    "the parent's environment": lambda: environ_of(parent),
    "the guard's environment": lambda: environ_of(os.getppid()),
    "the parent's memory": lambda: open(f"/proc/{parent}/mem", "rb").read(1),
    "secrets of the environment": secrets,
    "kill the parent": lambda: os.kill(parent, 0),
    "stop the parent": lambda: os.kill(parent, signal.SIGCONT),
    "trace the parent": lambda: call("ptrace", 16, parent, None, None),
    "write to the parent's memory": lambda: call("process_vm_readv", parent, None, 0, None, 0, 0),
    "TCP to this machine": lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port)),
    "TCP to the world": lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ("1.1.1.1", 53)),
    "UDP to the world": lambda: connect(socket.AF_INET, socket.SOCK_DGRAM, ("1.1.1.1", 53)),
    "IPv6": lambda: connect(socket.AF_INET6, socket.SOCK_DGRAM, ("2606:4700:4700::1111", 53)),
    "a UNIX socket": lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, unix),
    "an abstract UNIX socket": lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + unix),
    "a raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1) if os.geteuid() == 0 and 0 else socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "a user namespace": lambda: call("unshare", 0x10000000),
    "a mount namespace": lambda: call("unshare", 0x00020000),
    "mount": lambda: call("mount", b"none", b"/mnt", b"tmpfs", 0, None),
    "unmount": lambda: call("umount2", b"/proc", 2),
    "chroot": lambda: os.chroot("."),
    "a device": lambda: os.mknod("disk", 0o60600, os.makedev(254, 0)),
    "io_uring": lambda: raw(425, 8, ctypes.create_string_buffer(256)),
    "bpf": lambda: raw(321 if os.uname().machine == "x86_64" else 280, 0, None, 0),
    "userfaultfd": lambda: raw(323 if os.uname().machine == "x86_64" else 282, 0),
    "the kernel's keys": lambda: raw(250 if os.uname().machine == "x86_64" else 219, 0, -3, 1),
    "open by handle": lambda: raw(303 if os.uname().machine == "x86_64" else 264, -100, b".", ctypes.create_string_buffer(64), ctypes.create_string_buffer(8), 0),
    "type into the terminal": lambda: __import__("fcntl").ioctl(0, 0x5412, b"x"),
    "raise a limit": lambda: __import__("resource").setrlimit(__import__("resource").RLIMIT_AS, (-1, -1)),
    "become another user": lambda: os.setuid(12345),
    "another program of the home": lambda: subprocess.run([f"{outside}/program"], check=True),
    "a core file": lambda: 1 / 0 if __import__("resource").getrlimit(4) == (0, 0) else None,
    "an inherited descriptor": lambda: [os.fstat(n) for n in range(3, 64)][0],
}
came = {}
for name, attack in ATTACKS.items():
    try:
        attack()
        came[name] = "escaped"
    except BaseException as error:
        came[name] = type(error).__name__
print(json.dumps(came))
"""


def stage(tmp_path: Path) -> Path:
    """Things outside that are worth stealing."""
    outside = tmp_path
    (outside / "secret.txt").write_text("secret")
    (outside / "program").write_text("#!/bin/sh\nexit 0\n")
    (outside / "program").chmod(0o755)
    return outside


def hostile_words(tmp_path: Path, port: int, unix: str) -> list[str]:
    """The hostile program's command line; the rules would refuse its paths, so they go through a file."""
    words = [str(tmp_path), str(tmp_path / "state"), str(os.getpid()), str(port), unix]
    (tmp_path / "tree" / "words.json").write_text(json.dumps(words))
    text = HOSTILE.replace(
        "outside, state", "sys.argv[1:] = json.load(open('words.json'))\noutside, state", 1
    )
    (tmp_path / "tree" / "hostile.py").write_text(text)
    return ["python", "hostile.py"]


@pytest.mark.parametrize("spaces", [True, False], ids=["with namespaces", "Landlock alone"])
async def test_nothing_gets_out(tmp_path: Path, spaces: bool) -> None:
    outside = stage(tmp_path)
    (tmp_path / "tree").mkdir()
    state = tmp_path / "state"
    fill(state, {"journal.jsonl": ""})
    (state / "tmp").mkdir()
    os.environ["MY_SECRET"], os.environ["SOME_API_KEY"] = "s", "k"
    unix = (
        f"{tempfile.gettempdir()}/door-{os.getpid()}-{spaces}"  # short, as the kernel wants names of sockets
    )
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as door:
        door.bind(unix)
        door.listen()
        tree = Tree(tmp_path / "tree")
        rules = Commands(tree, ("python",))
        allowed = rules.check(hostile_words(tmp_path, tcp.getsockname()[1], unix))
        env = environment(tree.root, rules.folders, state / "tmp", {})
        order = order_for(allowed, tree.root, state / "tmp", env, Limits(), jail=True)
        ran = await run(dataclasses.replace(order, spaces=spaces), timeout=50, output_bytes=100_000)
        tree.close()
        Path(unix).unlink()
    del os.environ["MY_SECRET"], os.environ["SOME_API_KEY"]
    came = json.loads(ran.stdout)
    assert len(came) >= 55
    assert [name for name, how in came.items() if how == "escaped"] == []
    assert ("mounts" in ran.outcome.layers) is spaces or not spaces
    assert (outside / "secret.txt").read_text() == "secret"
    assert (outside / "secret.txt").stat().st_mode & 0o777 == 0o644
    assert sorted(one.name for one in outside.iterdir()) == ["program", "secret.txt", "state", "tree"]


async def test_a_hostile_test_run_by_pytest_stays_inside(tmp_path: Path) -> None:
    code = (
        "import pathlib, socket\n\n\ndef test_evil():\n"
        "    for act in (lambda: pathlib.Path('../x').write_text('x'), lambda: pathlib.Path.home().joinpath('x').read_text(),\n"
        "                lambda: socket.create_connection(('1.1.1.1', 53), 2)):\n"
        "        try:\n            act()\n        except OSError:\n            continue\n        raise AssertionError('escaped')\n"
    )
    with workspace(tmp_path, {"test_evil.py": code}) as ws:
        result = await ws.run(["python", "-m", "unittest", "-q", "test_evil"])
        assert "escaped" not in result.stderr
        assert not (tmp_path / "x").exists()
