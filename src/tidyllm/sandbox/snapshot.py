"""What the tree holds, as a record from path to state. It knows hashes and a cache; it changes nothing in the tree."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from pathlib import Path

import msgspec

from tidyllm import clock
from tidyllm.errors import EditConflict, WorkspaceError
from tidyllm.sandbox.blobs import Blobs
from tidyllm.sandbox.limits import Limits
from tidyllm.sandbox.paths import IGNORED, Tree, is_temporary, split
from tidyllm.sandbox.records import Delta, State

Manifest = dict[str, State]
Mark = tuple[int, int, int, int]
_FRESH = (
    50_000_000  # nanoseconds: a file changed so shortly before may change again within one tick of the kernel
)


class Snapshots:
    """Takes manifests; a file whose inode, size and times are as they were is not read again.

    The time when the inode last changed counts too: a program can set the other times as it likes, but not this.
    """

    def __init__(self, tree: Tree, blobs: Blobs, limits: Limits, cache: Path) -> None:
        self._tree, self._blobs, self._limits, self._cache = tree, blobs, limits, cache
        self.linked: list[str] = []
        """After `take`: files that have a second name outside the tree."""
        self.times: dict[str, int] = {}
        """After `take`: when each file's inode last changed, in nanoseconds."""
        try:
            self._known = msgspec.json.decode(cache.read_bytes(), type=dict[str, tuple[Mark, str]])
        except (OSError, msgspec.DecodeError):
            self._known: dict[str, tuple[Mark, str]] = {}

    def take(self, *, keep: bool, strict: bool = True) -> Manifest:
        """Everything in the tree now; with `keep` all contents are kept, so that it can be restored.

        `WorkspaceError` for more files or bytes than the limits allow; without `strict` what is too much is not kept.
        """
        manifest: Manifest = {}
        known: dict[str, tuple[Mark, str]] = {}
        names: Counter[tuple[int, int]] = Counter()
        many: dict[tuple[int, int], tuple[int, str]] = {}
        self.times = {}
        total = 0
        now = int(clock.now() * 1e9)
        for path, about, link in self._tree.walk():
            if is_temporary(path):
                continue
            if strict and len(manifest) >= self._limits.files:
                raise WorkspaceError(
                    f"{self._tree.root} holds more than {self._limits.files} files; "
                    "take a smaller folder or raise Limits.files"
                )
            state = state_of(path, about, link)
            if state.kind == "file":
                if about.st_nlink > 1:
                    inode = (about.st_dev, about.st_ino)
                    names[inode] += 1
                    many[inode] = (about.st_nlink, path)
                total += about.st_size
                if keep and strict and total > self._limits.snapshot_bytes:
                    raise WorkspaceError(
                        f"{self._tree.root} holds more than {self._limits.snapshot_bytes} bytes, too many "
                        "for a snapshot; move data out of the tree or raise Limits.snapshot_bytes"
                    )
                mark = (about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
                self.times[path] = about.st_ctime_ns
                sha = self._sha(path, mark, keep=keep and total <= self._limits.snapshot_bytes)
                if sha is None:
                    continue
                if about.st_ctime_ns < now - _FRESH:
                    known[path] = (mark, sha)
                state = msgspec.structs.replace(state, sha=sha)
            manifest[path] = state
        self.linked = [path for inode, (links, path) in many.items() if links > names[inode]]
        if known != self._known:
            self._known = known
            self._cache.write_bytes(msgspec.json.encode(known))
        return manifest

    def _sha(self, path: str, mark: Mark, *, keep: bool) -> str | None:
        known = self._known.get(path)
        if known is not None and known[0] == mark and (not keep or self._blobs.has(known[1])):
            return known[1]
        try:
            data, _ = self._tree.read(path, 1 << 40)
        except (WorkspaceError, EditConflict):
            if self._tree.about(path) is None:
                return None  # gone between the listing and now
            raise
        sha = hashlib.sha256(data).hexdigest()
        if keep:
            self._blobs.put_as(sha, data, safe=False)
        return sha


def state_of(path: str, about: os.stat_result, link: str) -> State:
    """The state of a path, a file's still without its hash."""
    mode = stat.S_IMODE(about.st_mode)
    if stat.S_ISLNK(about.st_mode):
        return State("link", target=link)
    if stat.S_ISDIR(about.st_mode):
        return State("ignored" if split(path)[1] in IGNORED else "folder", mode)
    if stat.S_ISREG(about.st_mode):
        return State("file", mode, size=about.st_size)
    return State("special", mode)


def current(tree: Tree, path: str, most: int = 1 << 40) -> State | None:
    """What lies at a path now, with its hash."""
    about = tree.about(path)
    if about is None:
        return None
    state = state_of(path, about, tree.link_target(path) if stat.S_ISLNK(about.st_mode) else "")
    if state.kind != "file":
        return state
    data, _ = tree.read(path, most)
    return msgspec.structs.replace(state, sha=hashlib.sha256(data).hexdigest(), size=len(data))


def compare(before: Manifest, after: Manifest) -> tuple[Delta, ...]:
    """What differs, by path."""
    return tuple(
        Delta(path, before.get(path), after.get(path))
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path) and not _both_ignored(before.get(path), after.get(path))
    )


def _both_ignored(before: State | None, after: State | None) -> bool:
    return before is not None and after is not None and before.kind == after.kind == "ignored"


def digest(manifest: Manifest) -> str:
    """One hash for the whole tree: paths, kinds, modes, contents and targets; ignored folders do not count."""
    whole = hashlib.sha256()
    for path in sorted(manifest):
        state = manifest[path]
        if state.kind != "ignored":
            whole.update(msgspec.json.encode((path, state.kind, state.mode, state.sha, state.target)))
    return whole.hexdigest()
