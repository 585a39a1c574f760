"""Applying is all or nothing: kills, full disks and rights."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tidyllm.migrate import MigrateError, apply, heal, plan, rollback

OLD = "from tidyllm.dspy_enhanced import DSPyEnhancedWrapper\n\nwrapper = DSPyEnhancedWrapper()  # {}\n"
FILES = 5

# A process that applies, and kills itself where it is told to: before the n-th time that a file is replaced. The
# manifest is the first one.
KILLED = """
import os, signal, sys
from tidyllm.migrate import apply, heal, plan, rollback
left = int(sys.argv[2])
def hook(event, args):
    global left
    if event == "os.rename":
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
what = sys.argv[3]
ready = plan(sys.argv[1], processes=1) if what == "apply" else None
sys.addaudithook(hook)
root = __import__("pathlib").Path(sys.argv[1])
{"apply": lambda: apply(ready), "rollback": lambda: rollback(root), "heal": lambda: heal(root)}[what]()
"""


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    """All files but the journal's, with their contents and rights."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".tidyllm-migrate" not in path.parts
    }


def make(folder: Path, files: int = FILES) -> dict[str, tuple[bytes, int]]:
    for number in range(files):
        path = folder / f"part{number % 2}" / f"file{number}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(OLD.format(number), "utf-8")
        path.chmod(0o755 if number == 1 else 0o640)
    return tree(folder)


def child(folder: Path, at: int, what: str) -> int:
    command = [sys.executable, "-c", KILLED, str(folder), str(at), what]
    return subprocess.run(command, check=False, capture_output=True).returncode


@pytest.mark.parametrize("at", range(1, FILES + 2))
def test_killed_while_applying(tmp_path: Path, at: int) -> None:
    """Whichever file it was killed at: the next command puts every file back, and says so once."""
    before = make(tmp_path)
    assert child(tmp_path, at, "apply") == -signal.SIGKILL
    assert any("as before" in said for said in heal(tmp_path))
    assert tree(tmp_path) == before
    assert heal(tmp_path) == []


@pytest.mark.parametrize("at", [1, FILES])
def test_killed_while_rolling_back(tmp_path: Path, at: int) -> None:
    """A rollback that was killed is brought to its end."""
    before = make(tmp_path)
    apply(plan(tmp_path, processes=1))
    assert child(tmp_path, at, "rollback") == -signal.SIGKILL
    assert heal(tmp_path)
    assert tree(tmp_path) == before


def test_killed_while_healing(tmp_path: Path) -> None:
    """Healing that was killed is healed."""
    before = make(tmp_path)
    assert child(tmp_path, FILES + 1, "apply") == -signal.SIGKILL
    assert child(tmp_path, 2, "heal") != 0
    heal(tmp_path)
    assert tree(tmp_path) == before


def test_no_file_is_ever_half_written(tmp_path: Path) -> None:
    """Right after the kill each file is the old or the new one."""
    before = make(tmp_path)
    new = {result.path: result.after for result in plan(tmp_path, processes=1).changed}
    assert child(tmp_path, 4, "apply") == -signal.SIGKILL
    for name, (data, _) in tree(tmp_path).items():
        if name.endswith(".py"):
            assert data in (before[name][0], new[name])


def test_applied_and_taken_back(tmp_path: Path) -> None:
    """Contents and rights come back; what is taken back cannot be taken back again."""
    before = make(tmp_path)
    done = apply(plan(tmp_path, processes=1))
    assert len(done.files) == FILES
    after = tree(tmp_path)
    assert [mode for _, mode in after.values()] == [mode for _, mode in before.values()]
    assert all(b"UnifiedDSPyWrapper" in data for data, _ in after.values())
    rollback(tmp_path)
    assert tree(tmp_path) == before
    with pytest.raises(MigrateError, match="no run to take back"):
        rollback(tmp_path)


def test_refuses_to_take_back_what_has_changed(tmp_path: Path) -> None:
    """A file that somebody edited since is named, and nothing is touched."""
    make(tmp_path)
    apply(plan(tmp_path, processes=1))
    edited = tmp_path / "part0" / "file0.py"
    edited.write_text("mine = 1\n")
    after = tree(tmp_path)
    with pytest.raises(MigrateError, match=r"1 file has changed since .*part0/file0\.py"):
        rollback(tmp_path)
    assert tree(tmp_path) == after


def test_refuses_what_changed_after_planning(tmp_path: Path) -> None:
    """A plan that is out of date is not applied."""
    make(tmp_path)
    ready = plan(tmp_path, processes=1)
    (tmp_path / "part0" / "file2.py").write_text("x = 1\n")
    before = tree(tmp_path)
    with pytest.raises(MigrateError, match="has changed since it was read"):
        apply(ready)
    assert tree(tmp_path) == before


def test_a_file_that_is_not_writable(tmp_path: Path) -> None:
    """It is named, and no other file is changed."""
    make(tmp_path)
    (tmp_path / "part1" / "file3.py").chmod(0o444)
    before = tree(tmp_path)
    with pytest.raises(MigrateError, match=r"file3\.py is not writable"):
        apply(plan(tmp_path, processes=1))
    assert tree(tmp_path) == before


LIMITED = """
import resource, signal, sys
from tidyllm.migrate import MigrateError, apply, plan
ready = plan(sys.argv[1], processes=1)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400))
try:
    apply(ready)
except MigrateError as error:
    print(error)
"""


def test_a_disk_that_takes_no_more(tmp_path: Path) -> None:
    """A write that fails half-way leaves every file as before, and nothing of ours beside them."""
    make(tmp_path, 3)
    big = tmp_path / "part0" / "big.py"
    big.write_text(OLD.format("x" * 600))
    before = tree(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert "nothing was changed" in done.stdout, done.stderr
    assert tree(tmp_path) == before


def test_a_full_disk(tmp_path: Path) -> None:
    """The same on a file system without room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "none", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a file system can only be mounted by root")
    try:
        make(disk, 4)
        with (disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(b"x" * 4096)
        before = tree(disk)
        with pytest.raises(MigrateError, match=r"nothing was changed|cannot be written"):
            apply(plan(disk, processes=1))
        (disk / "filler").unlink()
        del before["filler"]
        heal(disk)
        assert tree(disk) == before
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_two_at_once(tmp_path: Path) -> None:
    """While one process is at work, another one is refused."""
    import fcntl

    make(tmp_path)
    apply(plan(tmp_path, processes=1))
    handle = os.open(tmp_path / ".tidyllm-migrate" / "lock", os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(MigrateError, match="another `tidyllm migrate` is at work"):
            rollback(tmp_path)
    finally:
        os.close(handle)
