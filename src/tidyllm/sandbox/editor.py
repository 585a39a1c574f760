"""Changes of files: checked, written down, made, and undone. It knows the tree, the journal and what is protected."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Sequence

import msgspec

from tidyllm.errors import EditConflict, OutsideWorkspace, WorkspaceError
from tidyllm.sandbox import baseline, diff, restore, text
from tidyllm.sandbox.journal import Journal, changes_of
from tidyllm.sandbox.limits import Limits
from tidyllm.sandbox.paths import IGNORED, Tree, split
from tidyllm.sandbox.protect import Protection
from tidyllm.sandbox.records import Change, Delta, Entry, State
from tidyllm.sandbox.snapshot import Snapshots, current


class Editor:
    """The one place where the tree is changed."""

    def __init__(
        self,
        tree: Tree,
        journal: Journal,
        limits: Limits,
        run: str,
        protect: Sequence[str],
        *,
        tests: bool = True,
    ) -> None:
        from tidyllm.sandbox.aftermath import heal_commands

        self.tree, self.journal, self.limits, self.run = tree, journal, limits, run
        self.globs = tuple(protect)
        self.snapshots = Snapshots(tree, journal.blobs, limits, journal.folder / "known.json")
        with journal.guard:
            if not journal.healed:
                heal_commands(self)
                restore.heal(journal, tree)
                journal.healed = True
            self.baseline = baseline.begin(tree, journal, run, self.globs, tests=tests)
        self.protection = Protection(self.globs, Protection.select(self.baseline), tests=tests)

    def call(self, *words: str) -> str:
        """The hash of what was asked."""
        return hashlib.sha256(repr(words).encode(errors="surrogatepass")).hexdigest()[:32]

    # ---- the journal around a change

    def recorded(self, key: str | None, call: str) -> Entry | None:
        """The change that this key has made already, with the tree brought to it if it was undone since."""
        if key is None:
            return None
        made = [one for one in self.journal.done(self.run) if one.key == key and not one.note]
        if not made:
            return None
        entry = made[-1]
        if entry.call != call:
            raise EditConflict(
                f"the key {key!r} was used for another change ({entry.op}); use one key for one change"
            )
        where = restore.standing(self.tree, entry.deltas)
        if where == "strange":
            paths = ", ".join(delta.path for delta in entry.deltas[:5])
            raise EditConflict(f"the change {key!r} was made, but someone else has changed {paths} since")
        if where != "after":
            self._make(msgspec.structs.replace(entry, seq=self.journal.next(), phase="intent"))
        return entry

    def transact(
        self,
        op: str,
        deltas: Sequence[Delta],
        *,
        key: str | None = None,
        call: str = "",
        source: str = "",
        run: str | None = None,
    ) -> Entry:
        """Write down, change, write down that it was done."""
        seq = self.journal.next()
        named = self.run if run is None else run
        intent = Entry(seq, "intent", named, op, key or "", call, source, tuple(deltas))
        return self._make(intent)

    def _make(self, intent: Entry) -> Entry:
        self.journal.add(intent, safe=True)
        try:
            restore.apply(self.tree, self.journal.blobs, intent.deltas)
        except BaseException:
            restore.heal(self.journal, self.tree)
            raise
        if self.journal.during is not None:
            for delta in intent.deltas:
                self.journal.during[delta.path] = delta.after
        return self.journal.add(msgspec.structs.replace(intent, phase="done"), safe=False)

    # ---- checks

    def single(self, rel: str) -> None:
        """`OutsideWorkspace` for a file that has a second name outside of the tree."""
        about = self.tree.about(rel)
        if about is None or not stat.S_ISREG(about.st_mode) or about.st_nlink < 2:
            return
        inode = (about.st_dev, about.st_ino)
        inside = sum(1 for _, other, _ in self.tree.walk() if (other.st_dev, other.st_ino) == inode)
        if inside < about.st_nlink:
            raise OutsideWorkspace(
                f"{rel} is a hard link to a file that also lies outside the workspace {self.tree.root}"
            )

    def target(self, path: str, *, follow: bool = True) -> str:
        """The path of a change, resolved, outside of folders that are not ours to change."""
        rel = self.tree.locate(path, follow=follow)
        if rel == ".":
            raise WorkspaceError(f"{path!r} is the workspace itself")
        for name in rel.split("/"):
            if name in IGNORED:
                raise WorkspaceError(
                    f"{path} lies in {name}, which holds installed packages or caches; it is not edited"
                )
        return rel

    def _old(self, rel: str) -> tuple[State | None, bytes | None]:
        self.single(rel)
        state = current(self.tree, rel, self.limits.snapshot_bytes)
        if state is None:
            return None, None
        data, _ = self.tree.read(
            rel, self.limits.write_bytes
        )  # says what is wrong with folders and special files
        return state, data

    def _new(
        self, rel: str, data: bytes, before: State | None, old: bytes | None, mode: int | None = None
    ) -> Delta:
        if len(data) > self.limits.write_bytes:
            raise WorkspaceError(
                f"{rel} would have {len(data)} bytes; the limit is {self.limits.write_bytes}"
            )
        self.protection.check(rel, old, data)
        text.must_parse(rel, data)
        if before is not None:
            self.journal.blobs.put(old or b"")
        sha = self.journal.blobs.put(data)
        kept = mode if mode is not None else before.mode if before is not None else 0o644
        return Delta(rel, before, State("file", kept, sha, len(data)))

    def _gone(self, rel: str, before: State, old: bytes) -> Delta:
        self.protection.check(rel, old, None)
        self.journal.blobs.put(old)
        return Delta(rel, before, None)

    def _folders(self, rels: Sequence[str]) -> list[Delta]:
        """The folders that must be made first."""
        found: dict[str, Delta] = {}
        for rel in rels:
            head = split(rel)[0]
            while head != ".":
                about = self.tree.about(head)
                if about is not None and not stat.S_ISDIR(about.st_mode):
                    raise WorkspaceError(f"{rel} cannot be made: {head} is no folder")
                if about is None:
                    found[head] = Delta(head, None, State("folder", 0o755))
                head = split(head)[0]
        return [found[path] for path in sorted(found)]

    # ---- changes

    def write(self, path: str, content: str, key: str | None) -> Change:
        """See `Workspace.write`."""
        with self.journal.guard:
            rel = self.target(path)
            call = self.call("write", rel, content)
            if (entry := self.recorded(key, call)) is None:
                before, old = self._old(rel)
                style = text.decode(rel, old)[1] if old else text.Style()
                delta = self._new(rel, text.encode(rel, content, style), before, old)
                entry = self.transact("write", [*self._folders([rel]), delta], key=key, call=call)
            return changes_of(entry)[-1]

    def edit(self, path: str, old: str, new: str, key: str | None) -> Change:
        """See `Workspace.edit`."""
        with self.journal.guard:
            rel = self.target(path)
            call = self.call("edit", rel, old, new)
            if (entry := self.recorded(key, call)) is None:
                before, data = self._old(rel)
                if before is None or data is None:
                    raise WorkspaceError(f"{path}: there is no such file; write it")
                whole, style = text.decode(rel, data)
                if style.crlf:
                    old, new = old.replace("\r\n", "\n"), new.replace("\r\n", "\n")
                after = text.replaced(rel, whole, old, new)
                entry = self.transact(
                    "edit", [self._new(rel, text.encode(rel, after, style), before, data)], key=key, call=call
                )
            return changes_of(entry)[-1]

    def apply_diff(self, patches: list[diff.FilePatch], patch: str, key: str | None) -> list[Change]:
        """See `Workspace.apply_diff`."""
        with self.journal.guard:
            call = self.call("diff", patch)
            if (entry := self.recorded(key, call)) is None:
                before: dict[str, tuple[State | None, bytes | None]] = {}
                after: dict[str, tuple[str, text.Style, int | None] | None] = {}
                for one in patches:
                    self._patch(one, before, after)
                deltas: list[Delta] = []
                for rel, wanted in after.items():
                    state, old = before[rel]
                    if wanted is not None:
                        content, style, mode = wanted
                        deltas.append(self._new(rel, text.encode(rel, content, style), state, old, mode))
                    elif state is not None:
                        deltas.append(self._gone(rel, state, old or b""))
                folders = self._folders([delta.path for delta in deltas if delta.before is None])
                entry = self.transact("diff", [*folders, *deltas], key=key, call=call)
            return changes_of(entry)

    def _patch(
        self,
        one: diff.FilePatch,
        before: dict[str, tuple[State | None, bytes | None]],
        after: dict[str, tuple[str, text.Style, int | None] | None],
    ) -> None:
        old = None if one.old is None else self.target(one.old)
        new = None if one.new is None else self.target(one.new)
        for rel in {old, new} - {None}:
            assert rel is not None
            if rel not in before:
                before[rel] = self._old(rel)
                state, data = before[rel]
                after[rel] = None if state is None or data is None else (*text.decode(rel, data), state.mode)
        whole, style, mode = "", text.Style(), None
        if old is not None:
            found = after[old]
            if found is None:
                raise EditConflict(
                    f"{one.old}: there is no such file to change; a new file has --- /dev/null"
                )
            whole, style, mode = found
        if new is not None and new != old and after[new] is not None:
            raise EditConflict(f"{one.new} exists already; change it, or delete it first")
        hunks = one.hunks
        if style.crlf:
            for hunk in hunks:
                hunk.old = [line.replace("\r\n", "\n") for line in hunk.old]
                hunk.new = [line.replace("\r\n", "\n") for line in hunk.new]
        content = diff.apply(one.path, whole, hunks)
        if old is not None:
            after[old] = None
        if new is not None:
            after[new] = (content, style, one.mode if one.mode is not None else mode)
        elif content:
            raise EditConflict(
                f"{one.old} would not be empty after all its lines are removed, so it is not deleted"
            )

    def move(self, source: str, target: str, key: str | None) -> Change:
        """See `Workspace.move`."""
        with self.journal.guard:
            old, new = self.target(source, follow=False), self.target(target, follow=False)
            call = self.call("move", old, new)
            if (entry := self.recorded(key, call)) is None:
                if self.tree.about(new) is not None:
                    raise EditConflict(f"{target} exists already; move to another name, or delete it first")
                if new.startswith(old + "/"):
                    raise WorkspaceError(f"{source} cannot be moved into itself")
                gone = self._below(source, old)
                there: list[Delta] = []
                for delta in gone:
                    name = new + delta.path[len(old) :]
                    data = (
                        self.journal.blobs.get(delta.before.sha)
                        if delta.before and delta.before.kind == "file"
                        else None
                    )
                    self.protection.check(name, None, data)
                    there.append(Delta(name, None, delta.before))
                deltas = [*self._folders([new]), *there, *gone]
                entry = self.transact("move", deltas, key=key, call=call, source=old)
            found = [change for change in changes_of(entry) if change.path == new]
            return found[0] if found else Change(entry.seq, entry.run, "move", new, None, None, key, old)

    def delete(self, path: str, key: str | None) -> Change:
        """See `Workspace.delete`."""
        with self.journal.guard:
            rel = self.target(path, follow=False)
            call = self.call("delete", rel)
            if (entry := self.recorded(key, call)) is None:
                entry = self.transact("delete", self._below(path, rel), key=key, call=call)
            found = [change for change in changes_of(entry) if change.path == rel]
            return found[0] if found else Change(entry.seq, entry.run, "delete", rel, None, None, key)

    def _below(self, path: str, rel: str) -> list[Delta]:
        """The removal of everything at a path, with all contents kept."""
        if self.tree.about(rel) is None:
            raise WorkspaceError(f"{path}: there is no such file or folder")
        found: list[Delta] = []
        for name, _, _ in self.tree.walk():
            if name != rel and not name.startswith(rel + "/"):
                continue
            state = current(self.tree, name, self.limits.snapshot_bytes)
            if state is None:
                continue
            if state.kind == "special" or (state.kind == "ignored" and split(name)[1] != "__pycache__"):
                raise WorkspaceError(
                    f"{path} holds {name}, which could not be restored; it is not moved or removed"
                )
            if state.kind == "file":
                self.single(name)
                found.append(self._gone(name, state, self.tree.read(name, self.limits.snapshot_bytes)[0]))
            else:
                self.protection.check(name, None, None)
                found.append(Delta(name, state, None))
        return found

    def undo(self, run: str, *, force: bool) -> list[Change]:
        """See `Workspace.undo`."""
        with self.journal.guard:
            entries = self.journal.done(run)
            if not entries:
                if any(one.run == run for one in self.journal.entries):
                    return []
                names = ", ".join(repr(one) for one in self.journal.runs()) or "none"
                raise WorkspaceError(f"there is no run {run!r} in this workspace; known: {names}")
            deltas = restore.net(entries, self.tree, force=force)
            for delta in deltas:  # so that undoing can itself be looked at
                if delta.before is not None and delta.before.kind == "file":
                    self.journal.blobs.put(self.tree.read(delta.path, 1 << 40)[0], safe=False)
            return changes_of(self.transact("undo", deltas, run=run)) if deltas else []

    def protected_changes(self) -> list[str]:
        """See `Workspace.protected_changes`."""
        return baseline.changed(self.tree, self.journal, self.protection, self.baseline)
