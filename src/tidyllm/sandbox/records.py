"""What a workspace tells: a change, a command's outcome, a match; and what it writes into its journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

Kind = Literal["file", "link", "folder", "ignored", "special"]


class State(msgspec.Struct, frozen=True, omit_defaults=True):
    """What lay at a path. `ignored` is a folder that no snapshot looks into, and that cannot be restored."""

    kind: Kind
    mode: int = 0
    """Permission bits; 0 for links."""
    sha: str = ""
    """SHA-256 of a file's content."""
    size: int = 0
    target: str = ""
    """Where a symbolic link points."""


class Delta(msgspec.Struct, frozen=True):
    """One path before and after; `None` means nothing was there."""

    path: str
    before: State | None
    after: State | None


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the journal. An intent is written before the tree is touched, its end afterwards."""

    seq: int
    phase: Literal["intent", "done", "open"]
    run: str = ""
    op: str = ""
    key: str = ""
    call: str = ""
    """Hash of what was asked, so that a key cannot be reused for something else."""
    source: str = ""
    """Where a moved file came from; the words of a command."""
    deltas: tuple[Delta, ...] = ()
    result: str = ""
    """Hash of the kept result of a command."""
    note: str = ""
    baseline: str = ""
    """Hash of the list of files that are protected in this run (phase `open`)."""
    at: float = 0.0


@dataclass(frozen=True)
class Change:
    """One path that was changed. Hashes are SHA-256 of contents; `None` means there was no file."""

    seq: int
    run: str
    op: str
    """`write`, `edit`, `diff`, `move`, `delete`, `command`, `undo`."""
    path: str
    before: str | None
    after: str | None
    key: str | None = None
    source: str | None = None
    """The old path of a move; the words of the command that changed it."""


@dataclass(frozen=True)
class Match:
    """One line that a search found; lines count from 1."""

    path: str
    line: int
    text: str


class CommandResult(msgspec.Struct, frozen=True):
    """How a command ended."""

    argv: tuple[str, ...]
    exit_code: int
    """As the shell's `$?`, but a signal's number is negative: -9 for one that was killed."""
    stdout: str
    stderr: str
    timed_out: bool
    truncated: bool
    """Some of the output was dropped: `Limits.output_bytes`."""
    seconds: float
    isolation: str | None
    """`"bubblewrap"`, `"landlock"`, or `None` where the caller said `unsandboxed=True`."""
    layers: tuple[str, ...] = ()
    """What held in detail: `landlock-7`, `seccomp`, `processes`, `mounts`, `network`, `users`."""
    killed: str = ""
    """Why the guard ended it: a limit, or nothing."""
    changed: tuple[str, ...] = ()
    """Paths that the command changed, made or removed."""
    restored: tuple[str, ...] = ()
    """Protected paths that it had changed and that were put back; what it printed about its success is then void."""
    notes: tuple[str, ...] = ()
    """What else one should know: special files removed, protected files touched and put back by itself."""

    @property
    def ok(self) -> bool:
        """Exit code 0, in time, within its limits, and no protected file was changed."""
        return self.exit_code == 0 and not self.timed_out and not self.killed and not self.restored
