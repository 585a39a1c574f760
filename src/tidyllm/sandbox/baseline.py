"""What was protected when a run began, and whether it still is as it was. It knows tree, journal and rules."""

from __future__ import annotations

import stat
from collections.abc import Sequence

import msgspec

from tidyllm.sandbox.journal import Journal
from tidyllm.sandbox.paths import IGNORED, Tree, split
from tidyllm.sandbox.protect import Protection, section_changed
from tidyllm.sandbox.records import Entry, State
from tidyllm.sandbox.snapshot import current

_SECTIONS = ("pyproject.toml", "setup.cfg")
_ANY = 1 << 40


def begin(
    tree: Tree, journal: Journal, run: str, globs: Sequence[str], *, tests: bool = True
) -> dict[str, State]:
    """Protected paths as they were when that run first opened the workspace; as they are now without a name."""
    if run:
        for entry in journal.entries:
            if entry.phase == "open" and entry.run == run:
                return msgspec.json.decode(journal.blobs.get(entry.baseline), type=dict[str, State])
    files = _files(tree)
    protection = Protection(globs, Protection.select(files), tests=tests)
    found: dict[str, State] = {}
    for path in files:
        if protection.reason(path) or split(path)[1] in _SECTIONS:
            state = current(tree, path) if split(path)[1] not in IGNORED else None
            if state is not None:
                found[path] = state
                if state.kind == "file":
                    journal.blobs.put(tree.read(path, _ANY)[0], safe=False)
    if run:
        sha = journal.blobs.put(msgspec.json.encode(found))
        journal.add(Entry(journal.next(), "open", run, baseline=sha), safe=True)
    return found


def changed(tree: Tree, journal: Journal, protection: Protection, before: dict[str, State]) -> list[str]:
    """Protected paths that are not as they were, or are new though they may not be."""
    found: list[str] = []
    for path in sorted({*_files(tree), *before}):
        if not protection.reason(path):
            if (
                protection.tests
                and split(path)[1] in _SECTIONS
                and _section(tree, journal, path, before.get(path))
            ):
                found.append(path)
        elif current(tree, path) != before.get(path) and split(path)[1] not in IGNORED:
            found.append(path)
    return found


def _files(tree: Tree) -> list[str]:
    return [path for path, about, _ in tree.walk() if not stat.S_ISDIR(about.st_mode)]


def _section(tree: Tree, journal: Journal, path: str, before: State | None) -> bool:
    old = journal.blobs.get(before.sha) if before is not None and before.kind == "file" else None
    state = current(tree, path)
    new = tree.read(path, _ANY)[0] if state is not None and state.kind == "file" else None
    return bool(section_changed(path, old, new))
