"""Undo brings the tree back to the byte, whatever a run did to it."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sandbox.places import workspace
from tidyllm.errors import EditConflict, WorkspaceError
from tidyllm.sandbox import Workspace

TREE = {"a.txt": "a\n", "b/c.txt": "c\n", "b/d/e.txt": "e\n", "f.py": "x = 1\n", "empty.txt": ""}
NAMES = st.sampled_from(
    ["a.txt", "b", "b/c.txt", "b/d", "b/d/e.txt", "f.py", "new.txt", "n/m/o.txt", "link", "b/link"]
)
STEPS = st.lists(
    st.tuples(st.sampled_from(["write", "edit", "move", "delete", "diff"]), NAMES, NAMES), max_size=12
)


def act(ws: Workspace, what: str, one: str, two: str) -> None:
    """One random change; many are refused."""
    if what == "write":
        ws.write(one, f"x = {len(two)}\n")
    elif what == "edit":
        ws.edit(one, ws.read(one), "y = 2\n")
    elif what == "move":
        ws.move(one, two)
    elif what == "delete":
        ws.delete(one)
    else:
        ws.apply_diff(f"diff --git a/{one} b/{two}\nrename from {one}\nrename to {two}\n")


def image(root: Path) -> list[tuple[str, int, bytes]]:
    """Everything of a tree, read without our own code: names, modes, contents."""
    found: list[tuple[str, int, bytes]] = []
    for folder, names, files in os.walk(root):
        for name in names + files:
            place = Path(folder, name)
            data = (
                str(place.readlink()).encode()
                if place.is_symlink()
                else place.read_bytes()
                if place.is_file()
                else b""
            )
            found.append((str(place.relative_to(root)), place.lstat().st_mode, data))
    return sorted(found)


@settings(max_examples=25)
@given(STEPS)
def test_undo_after_any_edits_gives_the_tree_of_before(steps: list[tuple[str, str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder, workspace(Path(folder), TREE) as ws:
        (ws.root / "link").symlink_to("b/c.txt")
        (ws.root / "b" / "link").symlink_to("nowhere")
        (ws.root / "a.txt").chmod(0o640)
        before, hashed = image(ws.root), ws.tree_hash()
        for step in steps:
            try:
                act(ws, *step)
            except WorkspaceError:
                continue
        ws.undo("r")
        assert image(ws.root) == before
        assert ws.tree_hash() == hashed
        assert ws.undo("r") == []


SPREE = """
import os, random, shutil, sys
random.seed(int(sys.argv[1]))
names = ["a.txt", "b", "b/c.txt", "b/d", "b/d/e.txt", "f.py", "new.txt", "n/m", "link"]
for _ in range(25):
    one, two = random.choice(names), random.choice(names)
    try:
        match random.randrange(8):
            case 0: open(one, "w").write(two * random.randrange(9))
            case 1: os.rename(one, two)
            case 2: os.remove(one)
            case 3: shutil.rmtree(one)
            case 4: os.makedirs(one)
            case 5: os.symlink(two, one)
            case 6: os.chmod(one, random.choice([0o700, 0o755, 0o500]))
            case 7:
                about = os.stat(one)
                data = open(one).read()
                open(one, "w").write(data.swapcase())
                os.utime(one, ns=(about.st_atime_ns, about.st_mtime_ns))
    except OSError:
        pass
"""


def test_undo_after_commands_gives_the_tree_of_before(tmp_path: Path) -> None:
    async def main() -> None:
        with workspace(tmp_path, {**TREE, "spree.py": SPREE}) as ws:
            before = image(ws.root)
            for seed in random.sample(range(10_000), 3):
                result = await ws.run(["python", "spree.py", str(seed)])
                assert result.exit_code == 0, result.stderr
                ws.write("mine.txt", str(seed))
            assert image(ws.root) != before
            ws.undo("r")
            assert image(ws.root) == before

    asyncio.run(main())


def test_undo_refuses_to_overwrite_what_others_have_changed_since(tmp_path: Path) -> None:
    with workspace(tmp_path, TREE) as ws:
        ws.write("a.txt", "ours\n")
        (ws.root / "a.txt").write_text("theirs\n")
        with pytest.raises(EditConflict, match=r"a\.txt"):
            ws.undo("r")
        assert (ws.root / "a.txt").read_text() == "theirs\n"
        ws.undo("r", force=True)
        assert (ws.root / "a.txt").read_text() == "a\n"


def test_each_run_is_undone_alone(tmp_path: Path) -> None:
    with workspace(tmp_path, TREE, run="one") as ws:
        ws.write("one.txt", "1")
    with workspace(tmp_path, {}, run="two") as ws:
        ws.write("two.txt", "2")
        assert ws.runs() == ["one", "two"]
        assert [change.path for change in ws.undo("one")] == ["one.txt"]
        assert (ws.root / "two.txt").exists()
        with pytest.raises(WorkspaceError, match="'one', 'two'"):
            ws.undo("three")


def test_runs_that_changed_one_file_in_turns_are_not_undone_silently(tmp_path: Path) -> None:
    with workspace(tmp_path, TREE, run="one") as ws:
        ws.write("a.txt", "1")
    with workspace(tmp_path, {}, run="two") as ws:
        ws.write("a.txt", "2")
        with pytest.raises(EditConflict):
            ws.undo("one")
        ws.undo("two")
        ws.undo("one")
        assert ws.read("a.txt") == "a\n"
