"""The filter of system calls, played by a small machine of ours: what it refuses and what it lets pass."""

from __future__ import annotations

import struct

import pytest

from tidyllm.sandbox import guarantees
from tidyllm.sandbox.jail.seccomp import Switches, program

ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x00050001, 0x00050026
ARCHES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
BARE = Switches(loopback=False, read_only_mounts=False, landlock=7)
ROOMY = Switches(loopback=True, read_only_mounts=True, landlock=7)


def answer(code: bytes, arch: int, number: int, *arguments: int) -> int:
    """What the filter says to one call."""
    data = struct.pack("<iIQ6Q", number, arch, 0, *arguments, *[0] * (6 - len(arguments)))
    lines = [struct.unpack_from("HBBI", code, at) for at in range(0, len(code), 8)]
    at = value = 0
    while True:
        kind, yes, no, k = lines[at]
        at += 1
        if kind == 0x20:
            value = struct.unpack_from("<I", data, k)[0]
        elif kind == 0x06:
            return k
        else:
            holds = {0x15: value == k, 0x35: value >= k, 0x45: bool(value & k)}[kind]
            at += yes if holds else no


CASES = [
    ("read", (0, 63), (), ALLOW, ALLOW),
    ("openat", (257, 56), (), ALLOW, ALLOW),
    ("socketpair", (53, 199), (1,), ALLOW, ALLOW),
    ("ptrace", (101, 117), (), EPERM, EPERM),
    ("io_uring_setup", (425, 425), (), EPERM, EPERM),
    ("fchmodat", (268, 53), (), EPERM, ALLOW),
    ("utimensat", (280, 88), (), EPERM, ALLOW),
    ("clone for a thread", (56, 220), (0x3D0F00,), ALLOW, ALLOW),
    ("clone with a user namespace", (56, 220), (0x10000011,), EPERM, EPERM),
    ("clone3", (435, 435), (), ENOSYS, ENOSYS),
    ("ioctl TIOCSTI", (16, 29), (0, 0x5412), EPERM, EPERM),
    ("ioctl TCGETS", (16, 29), (0, 0x5401), ALLOW, ALLOW),
    ("socket of IPv4", (41, 198), (2,), EPERM, ALLOW),
    ("socket of IPv6", (41, 198), (10,), EPERM, ALLOW),
    ("socket of UNIX", (41, 198), (1,), EPERM, EPERM),
    ("socket of packets", (41, 198), (17,), EPERM, EPERM),
]


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize(
    ("name", "numbers", "arguments", "bare", "roomy"), CASES, ids=[case[0] for case in CASES]
)
def test_the_filter_answers(  # noqa: PLR0917 - columns of the table above
    machine: str, name: str, numbers: tuple[int, int], arguments: tuple[int, ...], bare: int, roomy: int
) -> None:
    number = numbers[0] if machine == "x86_64" else numbers[1]
    assert answer(program(BARE, machine), ARCHES[machine], number, *arguments) == bare, name
    assert answer(program(ROOMY, machine), ARCHES[machine], number, *arguments) == roomy, name


def test_calls_in_another_machines_way_are_refused() -> None:
    code = program(ROOMY, "x86_64")
    assert answer(code, 0x40000003, 3) == EPERM
    assert answer(code, ARCHES["x86_64"], 0x40000000 + 1) == EPERM


def test_an_old_landlock_leaves_truncate_to_the_filter() -> None:
    old = Switches(loopback=False, read_only_mounts=False, landlock=2)
    assert answer(program(old, "x86_64"), ARCHES["x86_64"], 76) == EPERM
    assert answer(program(BARE, "x86_64"), ARCHES["x86_64"], 76) == ALLOW


def test_the_guarantees_are_words_for_people() -> None:
    assert "no network" in guarantees("landlock")
    assert "bubblewrap" in guarantees("bubblewrap")
