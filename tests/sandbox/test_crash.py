# ruff: noqa: E501 - programs inside of texts
"""A workspace survives `kill -9` of its process at any moment, and belongs to one process at a time."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.sandbox.places import workspace
from tests.sandbox.test_undo import TREE, image
from tidyllm.errors import WorkspaceError
from tidyllm.sandbox import Workspace, isolation

EDITOR = """
import sys, pathlib
from tidyllm.sandbox import Workspace
ws = Workspace(sys.argv[1], state=pathlib.Path(sys.argv[2]), run="r")
print("ready", flush=True)
n = 0
while True:
    n += 1
    ws.write("a.txt", f"{n}\\n" * 2000)
    ws.apply_diff(f"--- a/b/c.txt\\n+++ b/b/c.txt\\n@@ -1 +1 @@\\n-{ws.read('b/c.txt')}+{n}\\n--- /dev/null\\n+++ b/n/{n}.txt\\n@@ -0,0 +1 @@\\n+{n}\\n")
    ws.move("b/d", f"b/d{n}"); ws.move(f"b/d{n}", "b/d")
"""
COMMANDER = """
import asyncio, sys, pathlib
from tidyllm.sandbox import Workspace
ws = Workspace(sys.argv[1], state=pathlib.Path(sys.argv[2]), run="r")
print("ready", flush=True)
asyncio.run(ws.run(["python", "work.py", sys.argv[3]]))
"""
WORK = """
import pathlib, time
for n in range(10_000):
    pathlib.Path(f"made-{n % 7}.txt").write_text(str(n)); pathlib.Path("a.txt").write_text(str(n)); time.sleep(0.002)
"""


STEPPER = """
import contextlib, io, os, pathlib, sys
from tidyllm.sandbox import Workspace
tree, state, what, at = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
os.umask(0o22)
ws = Workspace(tree, state=state, run="r")
left = at
def counted(call):
    def made(*args, **named):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), 9)
        return call(*args, **named)
    return made
for name in ("mkdir", "fchmod", "rename", "rmdir", "unlink", "fsync", "write"):
    setattr(os, name, counted(getattr(os, name)))
if what == "move":
    ws.move("b", "n/m")
elif what == "delete":
    ws.delete("b")
elif what == "rmdir":
    ws.delete("b/d")
else:
    ws.apply_diff("--- a/b/c.txt\\n+++ b/b/c.txt\\n@@ -1 +1 @@\\n-c\\n+2\\n--- /dev/null\\n+++ b/x/y/z.txt\\n@@ -0,0 +1 @@\\n+2\\n")
"""


def killed(tmp_path: Path, code: str, after: float, *more: str) -> int:
    """Start a program on the workspace and kill it without warning some time after it is ready; its pid."""
    words = [sys.executable, "-c", code, str(tmp_path / "tree"), str(tmp_path / "state"), *more]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
    return process.pid


def rounds(tmp_path: Path, count: int) -> None:
    """Kill an editing program `count` times at random moments; each time every change is whole, and all is undone."""
    workspace(tmp_path, TREE).close()
    before = image(tmp_path / "tree")
    for _ in range(count):
        killed(tmp_path, EDITOR, random.uniform(0, 0.08))
        with workspace(tmp_path, {}) as ws:
            text = ws.read("a.txt")
            assert text == "a\n" or len(set(text.splitlines())) == 1
            assert len(text.splitlines()) in {1, 2000}
            new = ws.list("n") if (ws.root / "n").exists() else []
            last = ws.read("b/c.txt").strip()
            assert last == "c" or f"n/{last}.txt" in new
            assert ws.read(next(one for one in ws.list(depth=3) if one.endswith("e.txt"))) == "e\n"
            ws.undo("r")
            assert image(tmp_path / "tree") == before


def test_a_killed_edit_is_made_or_not_made_and_never_half(tmp_path: Path) -> None:
    rounds(tmp_path, 4)


@pytest.mark.parametrize("what", ["move", "delete", "diff"])
def test_an_edit_killed_at_any_of_its_calls_is_whole_or_not_made_and_can_be_undone(
    tmp_path: Path, what: str
) -> None:
    ends: set[str] = set()
    at, code = 0, -signal.SIGKILL
    while code == -signal.SIGKILL:
        at += 1
        place = tmp_path / str(at)
        place.mkdir()
        with workspace(place, TREE) as ws:
            (ws.root / "b" / "d").chmod(0o500)
        before = image(place / "tree")
        words = [sys.executable, "-c", STEPPER, str(place / "tree"), str(place / "state"), what, str(at)]
        code = subprocess.run(words, check=False).returncode
        with workspace(place, {}) as ws:
            ends.add(ws.tree_hash())
            ws.undo("r")
            assert image(place / "tree") == before, f"killed at call {at}"
    assert code == 0
    assert at > 8
    assert len(ends) == 2, "an edit was made by half"


@pytest.mark.parametrize("theirs", [False, True], ids=["a mode", "a mode and a file"])
def test_an_edit_that_had_not_begun_is_not_made_after_somebody_else_was_there(
    tmp_path: Path, theirs: bool
) -> None:
    with workspace(tmp_path, {**TREE, "b/d/e.txt": "e\n"}) as ws:
        (ws.root / "b" / "d" / "e.txt").unlink()
    words = [sys.executable, "-c", STEPPER, str(tmp_path / "tree"), str(tmp_path / "state"), "rmdir"]
    for at in range(1, 30):
        subprocess.run([*words, str(at)], check=False)
        if b'"intent"' in (tmp_path / "state" / "journal.jsonl").read_bytes():
            break
    folder = tmp_path / "tree" / "b" / "d"
    assert folder.is_dir()
    folder.chmod(0o750)
    if theirs:
        (folder / "mine.txt").write_text("mine")
    for _ in range(2):
        with workspace(tmp_path, {}) as ws:
            assert "b/d/" in ws.list()
            assert not theirs or ws.read("b/d/mine.txt") == "mine"


def test_what_a_crash_made_by_half_can_be_undone_after_somebody_else_was_there(tmp_path: Path) -> None:
    place, before = tmp_path, image(tmp_path)
    for at in range(1, 30):
        place = tmp_path / str(at)
        place.mkdir()
        workspace(place, TREE).close()
        before = image(place / "tree")
        words = [sys.executable, "-c", STEPPER, str(place / "tree"), str(place / "state"), "move", str(at)]
        subprocess.run(words, check=False)
        if not (place / "tree" / "b" / "c.txt").exists():
            break
    assert not (place / "tree" / "n").exists()
    (place / "tree" / "n").write_text("mine")
    with workspace(place, {}) as ws:
        ws.undo("r", force=True)
        (ws.root / "n").unlink(missing_ok=True)
        assert image(ws.root) == before


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_two_hundred_kills_lose_nothing(tmp_path: Path) -> None:
    rounds(tmp_path, 200)


@pytest.mark.skipif(isolation() is None, reason="this machine has no sandbox for commands")
def test_a_command_dies_with_its_program_and_what_it_did_is_undone(tmp_path: Path) -> None:
    workspace(tmp_path, {**TREE, "work.py": WORK}).close()
    before = image(tmp_path / "tree")
    mark = f"mark-{os.getpid()}-k"
    killed(tmp_path, COMMANDER, 1.0, mark)
    deadline = time.monotonic() + 20
    while _marked(mark) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert _marked(mark) == []
    with workspace(tmp_path, {}) as ws:
        ws.undo("r")
        assert image(tmp_path / "tree") == before
        assert list((tmp_path / "state").glob("pending*")) == []


def _marked(mark: str) -> list[str]:
    found: list[str] = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in place.read_bytes().split(b"\0"):
                found.append(str(place))
        except OSError:
            continue
    return found


def test_a_second_process_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    with workspace(tmp_path):
        words = [sys.executable, "-c", EDITOR, str(tmp_path / "tree"), str(tmp_path / "state")]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert f"is used by process {os.getpid()}" in done.stderr


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    workspace(tmp_path, TREE).close()
    pid = killed(tmp_path, EDITOR, 0.0)
    assert (tmp_path / "state" / "lock").read_text().strip() == str(pid)
    with workspace(tmp_path, {}):
        assert (tmp_path / "state" / "lock").read_text().strip() == str(os.getpid())


def test_one_process_may_open_a_workspace_more_than_once(tmp_path: Path) -> None:
    with workspace(tmp_path, TREE, run="one") as one, workspace(tmp_path, {}, run="two") as two:
        one.write("a.txt", "1")
        two.write("b/c.txt", "2")
        assert [(change.run, change.path) for change in one.changes()] == [
            ("one", "a.txt"),
            ("two", "b/c.txt"),
        ]


def test_a_journal_whose_last_line_was_cut_is_read_without_it(tmp_path: Path) -> None:
    with workspace(tmp_path, TREE) as ws:
        ws.write("a.txt", "1")
    with (tmp_path / "state" / "journal.jsonl").open("ab") as file:
        file.write(b'{"seq": 99, "phase": "int')
    with workspace(tmp_path, {}) as ws:
        ws.write("a.txt", "2")
        assert [change.path for change in ws.changes()] == ["a.txt", "a.txt"]
        ws.undo("r")
        assert ws.read("a.txt") == "a\n"


def test_the_journal_may_not_lie_in_the_tree(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    for state in (tmp_path / "tree" / "state", tmp_path / "tree", tmp_path):
        with pytest.raises(WorkspaceError, match="state"):
            Workspace(tmp_path / "tree", state=state)
    with pytest.raises(WorkspaceError, match="cannot be opened"):
        Workspace(tmp_path / "missing", state=tmp_path / "s")
