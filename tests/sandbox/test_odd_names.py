"""What a command leaves behind that no path can say: it is removed and named, and the workspace works on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sandbox.places import workspace
from tidyllm.errors import WorkspaceError
from tidyllm.sandbox import isolation

pytestmark = pytest.mark.skipif(isolation() is None, reason="this machine has no sandbox for commands")

BYTES = "import os\nopen(b'\\xff', 'w').close()\nos.mkdir(b'dir\\xff')\nopen(b'dir\\xff/a', 'w').close()\n"
DEEP = """\
import os
for start in (".", os.environ["HOME"]):
    os.chdir(start)
    for _ in range(1200):
        os.mkdir("d" * 50)
        os.chdir("d" * 50)
    os.chmod(".", 0)
    os.chdir("/")
"""


@pytest.mark.parametrize("program", [BYTES, DEEP], ids=["bytes", "depth"])
async def test_what_no_snapshot_can_hold_is_removed_and_undone(tmp_path: Path, program: str) -> None:
    with workspace(tmp_path) as ws:
        before = ws.list(depth=200)
    with workspace(tmp_path, {"make.py": program}, run="other") as ws:
        result = await ws.run(["python", "make.py"])
        assert result.exit_code == 0
        assert "its name is no text, or it lies too deep" in result.notes[0]
        assert not list((tmp_path / "state" / "tmp").glob("*/*"))
        ws.undo("other")
        assert ws.list(depth=200) == sorted([*before, "make.py"])


async def test_a_tree_with_such_a_name_is_told_before_a_command(tmp_path: Path) -> None:
    with workspace(tmp_path) as ws:
        (tmp_path / "tree" / "caf\udce9").touch()
        with pytest.raises(WorkspaceError, match=r"'caf\\udce9': no snapshot can hold"):
            await ws.run(["echo", "x"])
        (tmp_path / "tree" / "caf\udce9").unlink()
        assert (await ws.run(["echo", "x"])).stdout == "x\n"


async def test_nothing_hides_from_undo_behind_a_name_of_ours(tmp_path: Path) -> None:
    program = "import os\nos.mkdir('.tidyllm-beside-a')\nopen('.tidyllm-beside-a/b.py', 'w').close()\n"
    with workspace(tmp_path, {"make.py": program}) as ws:
        assert (await ws.run(["python", "make.py"])).exit_code == 0
        assert not (tmp_path / "tree" / ".tidyllm-beside-a").exists()


@pytest.mark.parametrize(
    "path", [".tidyllm-beside-x", "a/.tidyllm-beside-x/b", "x" * 256, "é" * 128, "a/" * 1600 + "b"]
)
def test_a_path_that_nothing_could_keep_is_refused(tmp_path: Path, path: str) -> None:
    with workspace(tmp_path) as ws:
        with pytest.raises(WorkspaceError, match=r"too long for a path|the workspace's own"):
            ws.write(path, "x")
        assert ws.changes() == []
