"""Which files of a tree are looked at. It knows names, links and .gitignore, not what is in a file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from tidyllm.migrate.errors import MigrateError

__all__ = ["files", "root_of"]

_NEVER = {
    ".git", ".hg", ".svn", ".venv", "venv", ".env", "env", "__pycache__", "node_modules", ".tox", ".nox", ".mypy_cache",
    ".pytest_cache", ".ruff_cache", ".eggs", "site-packages", "build", "dist", ".ipynb_checkpoints", ".tidyllm-migrate",
}  # fmt: skip
_ENDINGS = (".py", ".pyi", ".ipynb", ".pyw")


def root_of(path: Path) -> Path:
    """The folder that paths are told relative to, and that holds the journal.

    :raises MigrateError: there is no such file or folder.
    """
    if not path.exists():
        raise MigrateError(f"there is no file or folder {str(path)!r}.", "Give the path of a file or folder.")
    return path.resolve() if path.is_dir() else path.resolve().parent


def files(path: Path) -> list[Path]:
    """The Python files and notebooks below `path`, sorted; links, virtual environments and ignored files are left out.

    A file that is named itself is always looked at, whatever its ending.
    """
    root = root_of(path)
    if path.is_file():
        return [path.resolve()]
    return sorted(_walk(root, _ancestors(root)))


def _ancestors(root: Path) -> list[_Ignore]:
    """The .gitignore files above the folder, up to the repository's top."""
    found: list[_Ignore] = []
    for above in root.parents:
        if (root / ".git").exists():
            break
        if (above / ".gitignore").is_file():
            found.insert(0, _Ignore(above))
        if (above / ".git").exists():
            return found
    return []


def _walk(folder: Path, ignores: list[_Ignore]) -> Iterator[Path]:
    if (folder / ".gitignore").is_file():
        ignores = [*ignores, _Ignore(folder)]
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        path = Path(entry.path)
        if entry.is_symlink():
            continue
        if entry.is_dir():
            if (
                entry.name not in _NEVER
                and not (path / "pyvenv.cfg").exists()
                and not _ignored(path, True, ignores)
            ):
                yield from _walk(path, ignores)
        elif entry.name.endswith(_ENDINGS) and not _ignored(path, False, ignores):
            yield path


def _ignored(path: Path, is_folder: bool, ignores: list[_Ignore]) -> bool:
    answer = False
    for ignore in ignores:
        said = ignore.says(path, is_folder)
        answer = answer if said is None else said
    return answer


class _Ignore:
    """One .gitignore file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[tuple[re.Pattern[str], bool, bool]] = []
        try:
            text = (folder / ".gitignore").read_text("utf-8", "replace")
        except OSError:
            text = ""
        for line in text.splitlines():
            written = line.rstrip()
            if not written or written.startswith("#"):
                continue
            keeps = written.startswith("!")
            name = written.removeprefix("!").removeprefix("\\")
            self.lines.append((_pattern(name.rstrip("/")), keeps, name.endswith("/")))

    def says(self, path: Path, is_folder: bool) -> bool | None:
        """Whether it ignores the path; None when it says nothing of it."""
        name = path.relative_to(self.folder).as_posix()
        answer: bool | None = None
        for pattern, keeps, only_folders in self.lines:
            if (is_folder or not only_folders) and pattern.fullmatch(name):
                answer = not keeps
        return answer


def _pattern(line: str) -> re.Pattern[str]:
    anchored = "/" in line
    line = line.lstrip("/")
    parts: list[str] = []
    place = 0
    while place < len(line):
        if line.startswith("**/", place):
            parts.append("(?:.*/)?")
            place += 3
        elif line.startswith("**", place):
            parts.append(".*")
            place += 2
        elif line[place] == "*":
            parts.append("[^/]*")
            place += 1
        elif line[place] == "?":
            parts.append("[^/]")
            place += 1
        elif line[place] == "[" and "]" in line[place:]:
            end = line.index("]", place)
            inside = line[place + 1 : end].replace("\\", "\\\\")
            parts.append("[" + ("^" + inside[1:] if inside.startswith("!") else inside) + "]")
            place = end + 1
        else:
            parts.append(re.escape(line[place]))
            place += 1
    try:
        return re.compile(("" if anchored else "(?:.*/)?") + "".join(parts))
    except re.error:
        return re.compile(re.escape(line))
