"""The journal of one workspace: one JSON line before and one after each change, and who may write it now.

It knows lines and the lock. What a line means for the tree is `restore.py`'s; what a crash left open is `heal`'s there.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import msgspec

from tidyllm import clock
from tidyllm.errors import WorkspaceError
from tidyllm.sandbox.blobs import Blobs
from tidyllm.sandbox.records import Change, Entry, State


class Journal:
    """Append-only lines, all kept in memory as well. Open it with `Journal.of`: a process has one for each folder."""

    _open: ClassVar[dict[Path, Journal]] = {}
    _door: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder
        self.users = 0
        self.healed = False
        self.guard = threading.RLock()
        """Held for each change of the tree by this process."""
        self.busy = threading.Lock()
        """Held while a command runs: one at a time in a workspace, so that its changes are its own."""
        self.during: dict[str, State | None] | None = None
        """What edits made of paths while a command ran; `None` while none runs."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _take_lock(folder / "lock", root)
        self._pid = os.getpid()
        self.blobs = Blobs(folder / "blobs")
        self._file = os.open(
            folder / "journal.jsonl", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        try:
            self.entries = list(self._load())
        except BaseException:
            self._close()
            raise

    @classmethod
    def of(cls, folder: Path, root: Path) -> Journal:
        """The journal in `folder`; `WorkspaceError` with the pid if another process holds it."""
        with cls._door:
            found = cls._open.get(folder)
            if found is None or found._pid != os.getpid():
                found = cls._open[folder] = cls(folder, root)
            found.users += 1
            return found

    def leave(self) -> None:
        """One user less; the last one lets go of the lock."""
        with self._door:
            self.users -= 1
            if self.users == 0 and self._pid == os.getpid():
                del self._open[self.folder]
                self._close()

    def _close(self) -> None:
        os.close(self._file)
        os.close(self._lock)

    def _load(self) -> Iterator[Entry]:
        whole = Path(self.folder / "journal.jsonl").read_bytes()
        end = whole.rfind(b"\n") + 1
        if end < len(whole):  # a line that a crash cut short: what it announced has not begun
            os.ftruncate(self._file, end)
        for number, line in enumerate(whole[:end].splitlines(), 1):
            try:
                yield msgspec.json.decode(line, type=Entry)
            except msgspec.DecodeError as error:
                raise WorkspaceError(
                    f"{self.folder}/journal.jsonl, line {number} cannot be read: {error}"
                ) from error

    def next(self) -> int:
        """The number of the next change."""
        return self.entries[-1].seq + 1 if self.entries else 1

    def add(self, entry: Entry, *, safe: bool) -> Entry:
        """Append one line; `safe` waits until the disk has it."""
        entry = msgspec.structs.replace(entry, at=clock.now())
        os.write(self._file, msgspec.json.encode(entry) + b"\n")
        if safe:
            os.fsync(self._file)
        self.entries.append(entry)
        return entry

    def open_intents(self) -> list[Entry]:
        """What was begun and has no end: only a crash leaves such."""
        ended = {one.seq for one in self.entries if one.phase == "done"}
        return [one for one in self.entries if one.phase == "intent" and one.seq not in ended]

    def done(self, run: str | None = None) -> list[Entry]:
        """What was done, in order; of one run or of all."""
        return [one for one in self.entries if one.phase == "done" and run in {None, one.run}]

    def runs(self) -> list[str]:
        """The names of all runs that changed something."""
        return list(dict.fromkeys(one.run for one in self.done()))


def changes_of(entry: Entry) -> list[Change]:
    """A journal line as changes: a move of a file is one, folders themselves are none."""
    found: list[Change] = []
    for delta in entry.deltas:
        kinds = {state.kind for state in (delta.before, delta.after) if state is not None}
        if kinds <= {"folder"} or (entry.op == "move" and delta.after is None):
            continue
        before, after = (
            None if state is None else state.sha or state.target for state in (delta.before, delta.after)
        )
        if entry.op == "move" and before is None:
            before = after
        found.append(
            Change(
                entry.seq,
                entry.run,
                entry.op,
                delta.path,
                before,
                after,
                entry.key or None,
                entry.source or None,
            )
        )
    return found


def _take_lock(place: Path, root: Path) -> int:
    """The kernel's lock goes with its process, so one whose owner was killed is free; the pid is for the message."""
    lock = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(lock, 32, 0).decode(errors="replace").strip() or "?"
        os.close(lock)
        raise WorkspaceError(
            f"the workspace {root} is used by process {owner}; wait until it ends, or give another folder"
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock
