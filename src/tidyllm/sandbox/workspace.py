"""A folder in which agents work: what they read, write and run, all of it contained, recorded and undoable.

It puts the parts of this package together. It knows nothing of models, tools or agents.
"""

from __future__ import annotations

import re
import stat
import weakref
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from types import TracebackType
from typing import Self

from tidyllm.errors import EditConflict, WorkspaceError
from tidyllm.sandbox import diff, text
from tidyllm.sandbox.commanding import Commanding
from tidyllm.sandbox.commands import DEFAULT_COMMANDS, Commands
from tidyllm.sandbox.editor import Editor
from tidyllm.sandbox.journal import Journal, changes_of
from tidyllm.sandbox.limits import Limits
from tidyllm.sandbox.paths import IGNORED, Tree, is_temporary
from tidyllm.sandbox.place import state_folder
from tidyllm.sandbox.records import Change, CommandResult, Match
from tidyllm.sandbox.snapshot import digest


class Workspace:
    """One folder, with a journal outside of it.

    Args:
        root: The folder; it must exist.
        state: Where journal and kept contents go; outside `root`. Default: in the user's data folder.
        protect: Globs of paths that nobody may change, besides existing tests and pytest's configuration.
        limits: Sizes and times; see `Limits`.
        allow_commands: Bare names of programs that `run` may start; a Python of any version counts as `python`.
        unsandboxed: Run commands with the user's own rights where the machine has no sandbox. One is used if there.
        run: Name of the run that changes belong to; `undo` takes it. Which tests "were there before" is decided when
            that run first opens the workspace, so that one which goes on after a crash may change its own tests.
        pass_env: Names of environment variables that commands get besides the usual few. Name no secrets.
        allow_tests: Existing tests and pytest's configuration may be changed too; what `protect` names may not.

    Raises `WorkspaceError` if the folder does not exist or another process works in it. What a crash left half done is
    put right at once. Use it as a context manager, or `close` it, to let go of the lock before the process ends.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        state: Path | None = None,
        protect: Sequence[str] = (),
        limits: Limits | None = None,
        allow_commands: Sequence[str] = DEFAULT_COMMANDS,
        unsandboxed: bool = False,
        run: str = "",
        pass_env: Sequence[str] = (),
        allow_tests: bool = False,
    ) -> None:
        self._tree = Tree(Path(root))
        self.limits = limits or Limits()
        try:
            place = state_folder(self._tree.root, state)
            self._journal = Journal.of(place, self._tree.root)
        except BaseException:
            self._tree.close()
            raise
        self._closed = weakref.finalize(self, _close, self._tree, self._journal)
        try:
            commands = Commands(self._tree, allow_commands)
            self._editor = Editor(
                self._tree, self._journal, self.limits, run, tuple(protect), tests=not allow_tests
            )
            self._commanding = Commanding(
                self._editor, commands, unsandboxed=unsandboxed, pass_env=tuple(pass_env)
            )
        except BaseException:
            self._closed()
            raise

    @property
    def root(self) -> Path:
        """The folder, resolved."""
        return self._tree.root

    @property
    def run_id(self) -> str:
        """The run that changes belong to."""
        return self._editor.run

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the lock. The workspace cannot be used afterwards."""
        self._closed()

    # ---- looking

    def resolve(self, path: str | Path) -> Path:
        """The real place of a path, which need not exist. `OutsideWorkspace` if it leads out, or into `.git`."""
        return self._tree.root / self._tree.locate(path)

    def protected(self, path: str) -> str:
        """Why that path may not be changed; an empty text if it may."""
        return self._editor.protection.reason(self._tree.locate(path, follow=False))

    def list(self, path: str = ".", depth: int = 2) -> list[str]:
        """Names below a folder, relative to the root, folders with `/` at the end; ignored folders are not opened."""
        start = self._tree.locate(path)
        where = self._tree.root / start
        if not where.is_dir():
            raise WorkspaceError(f"{path} is no folder of the workspace")
        inside = "" if start == "." else start + "/"
        found: list[str] = []
        for name, about, _ in self._tree.walk():
            if not name.startswith(inside) or name[len(inside) :].count("/") >= depth or is_temporary(name):
                continue
            found.append(name + "/" if stat.S_ISDIR(about.st_mode) else name)
        found.sort()
        if len(found) > self.limits.results:
            left = len(found) - self.limits.results
            return [
                *found[: self.limits.results],
                f"... and {left} more; list a folder below, or with less depth",
            ]
        return found

    def read(self, path: str, start: int = 1, lines: int | None = None) -> str:
        """A text file, or `lines` lines of it from line `start` (counted from 1) on."""
        rel = self._tree.locate(path)
        self._editor.single(rel)
        data, _ = self._tree.read(rel, self.limits.read_bytes)
        content, _ = text.decode(rel, data)
        if start == 1 and lines is None:
            return content
        if start < 1 or (lines is not None and lines < 0):
            raise WorkspaceError(f"{path}: lines count from 1, so start={start} and lines={lines} name none")
        kept = content.split("\n")
        pieces = [line + "\n" for line in kept[:-1]] + ([kept[-1]] if kept[-1] else [])
        return "".join(pieces[start - 1 : None if lines is None else start - 1 + lines])

    def search(self, pattern: str, path: str = ".", regex: bool = False, glob: str = "*") -> list[Match]:
        """Lines that hold `pattern`, in a file or below a folder; at most `Limits.results`; binary ones are skipped."""
        try:
            wanted = re.compile(pattern if regex else re.escape(pattern))
        except re.error as error:
            raise WorkspaceError(f"{pattern!r} is no regular expression: {error}") from None
        start = self._tree.locate(path)
        found: list[Match] = []
        for name, about, _ in sorted(self._tree.walk(), key=lambda one: one[0]):
            inside = start in (".", name) or name.startswith(start + "/")
            if not inside or not stat.S_ISREG(about.st_mode) or is_temporary(name):
                continue
            if about.st_size > self.limits.read_bytes or not fnmatch(name.rsplit("/", 1)[-1], glob):
                continue
            try:
                self._editor.single(name)
                content, _ = text.decode(name, self._tree.read(name, self.limits.read_bytes)[0])
            except (WorkspaceError, EditConflict):
                continue
            for number, line in enumerate(content.split("\n"), 1):
                if wanted.search(line):
                    found.append(Match(name, number, line[:400]))
                    if len(found) >= self.limits.results:
                        return found
        return found

    def tree_hash(self) -> str:
        """One hash of the whole tree: paths, modes, contents, links. Folders of `ignored` do not count."""
        return digest(self._editor.snapshots.take(keep=False))

    @property
    def ignored(self) -> tuple[str, ...]:
        """Names of folders that no snapshot looks into, and that undo therefore does not restore."""
        return tuple(sorted(IGNORED))

    # ---- changing

    def write(self, path: str, text: str, *, key: str | None = None) -> Change:
        """Make a file or replace all of it; missing folders are made. Encoding and line ends of an old file are kept.

        `WorkspaceError` if the path is protected, the text too long, or a Python file would not parse.
        """
        return self._editor.write(path, text, key)

    def edit(self, path: str, old: str, new: str, *, key: str | None = None) -> Change:
        """Replace `old`, which must be in the file exactly once, by `new`; else `EditConflict`."""
        return self._editor.edit(path, old, new, key)

    def apply_diff(self, patch: str, *, key: str | None = None) -> list[Change]:
        """Apply a unified diff, all of it or nothing. `EditConflict` names the hunk that does not fit."""
        return self._editor.apply_diff(diff.parse(patch), patch, key)

    def move(self, source: str, target: str, *, key: str | None = None) -> Change:
        """Move a file, link or folder to a path where nothing is yet."""
        return self._editor.move(source, target, key)

    def delete(self, path: str, *, key: str | None = None) -> Change:
        """Remove a file, link or folder with what it holds."""
        return self._editor.delete(path, key)

    async def run(
        self, argv: Sequence[str], *, timeout: float | None = None, key: str | None = None
    ) -> CommandResult:
        """Run one command in the root, without a shell, behind the machine's sandbox; at most `timeout` seconds.

        `CommandRefused` for programs, options and paths that are not allowed, and where there is no sandbox and
        `unsandboxed` was not said. A snapshot is taken before and after; protected files are put back.
        """
        return await self._commanding.run(argv, timeout, key)

    # ---- history

    def changes(self, run: str | None = None) -> list[Change]:
        """All recorded changes, in order; of one run or of all."""
        return [change for entry in self._journal.done(run) for change in changes_of(entry)]

    def original(self, path: str) -> bytes | None:
        """A file's content before this run first changed it; None: there was none, or it was not changed."""
        first = next((one for one in self.changes(self.run_id) if one.path == path), None)
        return None if first is None or first.before is None else self._editor.journal.blobs.get(first.before)

    def runs(self) -> list[str]:
        """Names of the runs that changed something here, oldest first."""
        return self._journal.runs()

    def undo(self, run: str, *, force: bool = False) -> list[Change]:
        """Put every path that `run` changed back to what it was before, to the byte and the mode.

        `EditConflict` if a path was changed by someone else since; `force=True` overwrites that too. Undoing is a
        change of the same run in the journal: undoing twice does nothing more.
        """
        return self._editor.undo(run, force=force)

    def protected_changes(self) -> list[str]:
        """Protected paths of this run that are not as they were when it began, whoever changed them."""
        return self._editor.protected_changes()


def _close(tree: Tree, journal: Journal) -> None:
    tree.close()
    journal.leave()
