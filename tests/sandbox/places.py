"""Folders for workspaces of tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tidyllm.sandbox import DEFAULT_COMMANDS, Limits, Workspace

BROKEN = {
    "calc.py": "def add(a, b):\n    return a - b\n",
    "tests/test_calc.py": "from calc import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n",
}


def fill(folder: Path, files: Mapping[str, str]) -> Path:
    """A tree with these files."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def workspace(
    tmp_path: Path,
    files: Mapping[str, str] = BROKEN,
    *,
    run: str = "r",
    protect: Sequence[str] = (),
    limits: Limits | None = None,
    allow_commands: Sequence[str] = DEFAULT_COMMANDS,
) -> Workspace:
    """A workspace in `tmp_path/tree`, its journal beside it."""
    root = tmp_path / "tree"
    root.mkdir(exist_ok=True)
    fill(root, files)
    state = tmp_path / "state"
    return Workspace(
        root, state=state, run=run, protect=protect, limits=limits, allow_commands=allow_commands
    )
