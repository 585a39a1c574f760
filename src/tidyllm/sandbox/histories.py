"""What in `.git` (and its like) can make a later command of the user run something: kept, compared, put back.

It knows names inside such folders. Objects and references are not looked at.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tidyllm.sandbox.paths import HISTORIES, IGNORED

_CONTROL = ("config", "config.worktree", "HEAD", "hgrc", "commondir", "gitdir")
_FOLDERS = ("hooks", "info")
_MOST = 1 << 20

Held = dict[str, dict[str, bytes]]
Caches = dict[str, tuple[int, int, int, int]]


def caches(root: Path) -> Caches:
    """Compiled Python in the tree, with what tells whether a file is still the same one."""
    found: Caches = {}
    for folder, names, files in os.walk(root):
        if Path(folder).name == "__pycache__":
            for name in files:
                about = Path(folder, name).lstat()
                mark = (about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
                found[str(Path(folder, name).relative_to(root))] = mark
            found.setdefault(str(Path(folder).relative_to(root)), (0, 0, 0, 0))
        names[:] = [one for one in names if one not in IGNORED - {"__pycache__"}]
    return found


def drop_caches(root: Path, before: Caches) -> None:
    """Remove compiled Python that a command made or changed: Python would run it in the place of a protected test."""
    for path, mark in caches(root).items():
        if before.get(path) == mark:
            continue
        place = root / path
        if mark == (0, 0, 0, 0):
            shutil.rmtree(place, ignore_errors=True)
        else:
            place.unlink(missing_ok=True)


def hold(root: Path) -> Held:
    """For each history folder of the tree its control files with their contents."""
    found: Held = {}
    for folder, names, _ in os.walk(root):
        for name in [one for one in names if one.casefold() in HISTORIES]:
            place = Path(folder, name)
            found[str(place.relative_to(root))] = {} if place.is_symlink() else _control(place)
        names[:] = [one for one in names if one not in IGNORED and one.casefold() not in HISTORIES]
    return found


def _control(place: Path) -> dict[str, bytes]:
    files = [place / name for name in _CONTROL]
    for name in _FOLDERS:
        files += sorted((place / name).rglob("*"))
    held: dict[str, bytes] = {}
    for file in files:
        if file.is_file() and not file.is_symlink() and file.stat().st_size <= _MOST:
            held[str(file.relative_to(place))] = (file.stat().st_mode & 0o777).to_bytes(
                2, "big"
            ) + file.read_bytes()
    return held


def put_back(root: Path, before: Held) -> list[str]:
    """Undo what a command did to them: control files as they were, new folders away. Gives the paths touched."""
    touched: list[str] = []
    for folder, held in hold(root).items():
        place = root / folder
        if folder not in before:
            touched.append(folder)
            if place.is_symlink():
                place.unlink()
            else:
                shutil.rmtree(place)
            continue
        if held == before[folder] or place.is_symlink():
            continue
        for name in held.keys() | before[folder].keys():
            old = before[folder].get(name)
            if old == held.get(name):
                continue
            touched.append(f"{folder}/{name}")
            (place / name).unlink(missing_ok=True)
            if old is not None:
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                (place / name).write_bytes(old[2:])
                (place / name).chmod(int.from_bytes(old[:2], "big"))
    return sorted(touched)
