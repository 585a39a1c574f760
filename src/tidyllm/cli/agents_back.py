"""The tree after a run that failed: as it was before, unless the check shows that it is nearer to the goal now.

What is taken out is not lost: the files as agents left them lie beside what is remembered of the run.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from tidyllm.agents.project import ProjectResult, ProjectStop
from tidyllm.agents.testing_rules import counts_of
from tidyllm.cli.agents_kept import Kept, left_folder
from tidyllm.errors import TidyllmError
from tidyllm.sandbox import Workspace

__all__ = ["Back", "is_nearer", "put_back"]


class Back(msgspec.Struct, frozen=True):
    """What was done to the tree. `paths`: as before the run again; `kept`: where the agents' text of them lies."""

    paths: list[str] = []
    kept: str = ""
    why_not: str = ""
    """Why it could not be put back, though it should have been."""


def is_nearer(result: ProjectResult) -> bool:
    """Whether the tree is worth keeping: the goal is reached, or nobody can know, or more tests pass than before."""
    if result.stop is ProjectStop.tests_spoiled:
        return False
    if result.exit_code != 1 or result.checked is None or result.checked:
        return True
    checks = result.state.checks
    first, last = (counts_of(one.output).get("passed", 0) for one in (checks[0], checks[-1]))
    return last > first


def put_back(kept: Kept, result: ProjectResult, workspace: Workspace) -> Back:
    """Take the changes of a run out that brought the goal no nearer."""
    if is_nearer(result) or kept.id not in workspace.runs():
        return Back()
    try:
        beside = _copied(result.changes, workspace.root, left_folder(kept.id))
        paths = sorted({one.path for one in workspace.undo(kept.id)})
    except (TidyllmError, OSError) as error:
        return Back(why_not=str(error))
    return Back(paths, str(beside) if paths and beside is not None else "")


def _copied(paths: list[str], root: Path, into: Path) -> Path | None:
    """Copy the files that are there; None: none is."""
    files = [path for path in paths if (root / path).is_file() and not (root / path).is_symlink()]
    for path in files:
        (into / path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copyfile(root / path, into / path)
    return into if files else None
