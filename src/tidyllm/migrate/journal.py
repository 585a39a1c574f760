"""Changing many files at once: all of them or none. It knows bytes, hashes and marks, no Python.

A run has a folder below `.tidyllm-migrate` in the tree's root. In order: the originals and a manifest are written and
synced; every new content is written beside its file and synced; the new ones take the places of the old ones, each in
one step; the run is marked as committed. A run without that mark never happened: the next command puts the originals
back. So a full disk is met before the first file is replaced, and a kill leaves no file half written.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidyllm.migrate.disk import check_writable, hash_of, hash_of_file, lock, sync, write
from tidyllm.migrate.errors import MigrateError

__all__ = ["FOLDER", "Change", "Journal", "Run"]

FOLDER = ".tidyllm-migrate"
_PREPARED, _COMMITTED, _UNDOING, _UNDONE = "manifest.json", "committed", "undoing", "undone"


@dataclass(frozen=True, slots=True)
class Change:
    """A file and its two contents."""

    path: str
    """Relative to the root."""
    before: bytes
    after: bytes


@dataclass(frozen=True, slots=True)
class _Saved:
    path: str
    mode: int
    before: str
    after: str


class Journal:
    """The runs of one tree."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / FOLDER

    @contextlib.contextmanager
    def locked(self, *, make: bool = False) -> Generator[Journal]:
        """While inside, no other process applies, heals or rolls back here.

        :raises MigrateError: another one does.
        """
        if not make and not self.folder.is_dir():
            yield self
            return
        self._make()
        try:
            handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            if not make and not any(run.is_open for run in self.runs()):
                yield self  # somebody else's, and nothing in it is left to be done
                return
            raise MigrateError(
                f"the journal {self.folder} cannot be written: {error.strerror}.",
                "Make the folder writable, or run it as the one who owns it.",
            ) from error
        try:
            lock(handle, self.root)
            yield self
        finally:
            os.close(handle)

    def _make(self) -> None:
        try:
            self.folder.mkdir(exist_ok=True)
            ignore = self.folder / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", "utf-8")
        except OSError as error:
            raise MigrateError(
                f"the journal {self.folder} cannot be written: {error.strerror}.", "Make the folder writable."
            ) from error

    def runs(self) -> list[Run]:
        """All runs, oldest first."""
        if not self.folder.is_dir():
            return []
        return [Run(self.root, one) for one in sorted(self.folder.iterdir()) if one.is_dir()]

    def heal(self) -> list[str]:
        """Undo what was interrupted. Gives a sentence for each run that it had to act on."""
        said: list[str] = []
        for run in self.runs():
            said += run.heal()
        return said

    def begin(self, changes: Sequence[Change]) -> Run:
        """A run with its originals saved and its new contents staged; nothing is replaced yet.

        :raises MigrateError: a file has changed or cannot be written, or the disk is full. Then nothing is left behind.
        """
        self._make()
        number = max((int(run.name[:4]) for run in self.runs() if run.name[:4].isdigit()), default=0) + 1
        name = f"{number:04d}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
        run = Run(self.root, self.folder / name)
        try:
            run.prepare(changes)
        except OSError as error:
            run.forget()
            raise MigrateError(
                f"nothing was changed: {error.filename or self.root} could not be written ({error.strerror}).",
                "Make room on the disk, or mend the rights, and run it again.",
            ) from error
        except MigrateError:
            run.forget()
            raise
        return run

    def last(self) -> Run | None:
        """The latest run that was committed and not undone."""
        good = [run for run in self.runs() if run.is_committed and not run.is_undone]
        return good[-1] if good else None


class Run:
    """One application of changes."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = root
        self.folder = folder

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def is_committed(self) -> bool:
        return (self.folder / _COMMITTED).exists()

    @property
    def is_undone(self) -> bool:
        return (self.folder / _UNDONE).exists()

    @property
    def is_open(self) -> bool:
        """Whether it was interrupted."""
        return not self.is_undone and (not self.is_committed or (self.folder / _UNDOING).exists())

    @property
    def paths(self) -> list[str]:
        return [one.path for one in self._saved()]

    # -- forward

    def prepare(self, changes: Sequence[Change]) -> None:
        saved: list[dict[str, Any]] = []
        self.folder.mkdir()
        for number, change in enumerate(changes):
            target = self.root / change.path
            check_writable(target)
            if target.read_bytes() != change.before:
                raise MigrateError(f"{change.path} has changed since it was read.", "Run it again.")
            write(self.folder / f"{number}.before", change.before, 0o600)
            saved.append(
                {
                    "path": change.path,
                    "mode": stat.S_IMODE(target.stat().st_mode),
                    "before": hash_of(change.before),
                    "after": hash_of(change.after),
                }
            )
        partial = self.folder / "manifest.partial"
        write(partial, json.dumps({"files": saved}, indent=1).encode(), 0o644)
        partial.replace(self.folder / _PREPARED)
        sync(self.folder)
        sync(self.folder.parent)
        for number, change in enumerate(changes):
            write(self._staged(number, change.path), change.after, saved[number]["mode"])

    def replace(self) -> None:
        """Put the new contents in place.

        :raises MigrateError: it failed half-way; what had been replaced is put back.
        """
        folders: set[Path] = set()
        try:
            for number, one in enumerate(self._saved()):
                target = self.root / one.path
                self._staged(number, one.path).replace(target)
                folders.add(target.parent)
            for folder in folders:
                sync(folder)
        except OSError as error:
            self.undo()
            raise MigrateError(
                f"nothing was changed: {error.filename} could not be replaced ({error.strerror}).",
                "Mend the rights and run it again.",
            ) from error

    def commit(self) -> None:
        self._mark(_COMMITTED)

    # -- back

    def changed_since(self) -> list[str]:
        """The files that are not any more what this run made of them."""
        return [one.path for one in self._saved() if hash_of_file(self.root / one.path) != one.after]

    def undo(self) -> list[str]:
        """Put the originals back. Gives the files that hold something else than either, which are left as they are."""
        if self.is_committed:
            self._mark(_UNDOING)
        others: list[str] = []
        for number, one in enumerate(self._saved()):
            with contextlib.suppress(OSError):
                self._staged(number, one.path).unlink()
        for number, one in enumerate(self._saved()):
            target = self.root / one.path
            now = hash_of_file(target)
            if now == one.before:
                with contextlib.suppress(OSError):
                    target.chmod(one.mode)
                continue
            if now != one.after:
                others.append(one.path)
                continue
            self._restore(number, one, target)
        self._mark(_UNDONE)
        return others

    def _restore(self, number: int, one: _Saved, target: Path) -> None:
        kept = self.folder / f"{number}.before"
        staged = self._staged(number, one.path)
        try:
            write(staged, kept.read_bytes(), one.mode)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            with contextlib.suppress(OSError):
                staged.unlink()
            # A full disk: the saved original itself goes back, which needs no room.
            kept.chmod(one.mode)
            staged = kept
        staged.replace(target)
        sync(target.parent)

    def heal(self) -> list[str]:
        """Undo this run if it was interrupted."""
        if not self.is_open:
            return []
        if not (self.folder / _PREPARED).exists():
            self.forget()
            return [f"an interrupted run ({self.name}) had changed nothing: every file is as before."]
        what = "rollback" if self.is_committed else "run"
        others = self.undo()
        return [
            f"an interrupted {what} ({self.name}) was undone: all {len(self.paths)} files are as before."
            if not others
            else f"an interrupted {what} ({self.name}) was undone: its files are as before, except those that somebody "
            f"changed since, which stay as they are: {', '.join(others)}."
        ]

    def forget(self) -> None:
        """Remove what a run left that had replaced nothing."""
        with contextlib.suppress(OSError, ValueError):
            for number, one in enumerate(self._saved()):
                with contextlib.suppress(OSError):
                    self._staged(number, one.path).unlink()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _saved(self) -> list[_Saved]:
        path = self.folder / _PREPARED
        if not path.exists():
            return []
        table: Mapping[str, list[Mapping[str, Any]]] = json.loads(path.read_text("utf-8"))
        return [_Saved(**one) for one in table["files"]]

    def _staged(self, number: int, path: str) -> Path:
        target = self.root / path
        return target.with_name(f".{target.name[:80]}.{self.name}-{number}.tidyllm")

    def _mark(self, name: str) -> None:
        try:
            write(self.folder / name, b"", 0o644)
            sync(self.folder)
        except OSError as error:
            raise MigrateError(
                f"the journal {self.folder} cannot be written: {error.strerror}.",
                "Make room, then run any `tidyllm migrate` command: it puts the tree in order first.",
            ) from error
