"""From one state of paths to another: edits, undo and the repair after a crash all go through `apply`.

It knows the tree and kept contents; which states are wanted is decided elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import msgspec

from tidyllm.errors import EditConflict, WorkspaceError
from tidyllm.sandbox.blobs import Blobs
from tidyllm.sandbox.journal import Journal
from tidyllm.sandbox.paths import Tree, split
from tidyllm.sandbox.records import Delta, Entry, State
from tidyllm.sandbox.snapshot import current


def apply(tree: Tree, blobs: Blobs, deltas: Iterable[Delta]) -> None:
    """Bring every path to its `after`. What is already so is left alone, so it may be repeated after a crash.

    `WorkspaceError` for a folder that should go but holds something which is not ours to remove.
    """
    wanted = {delta.path: delta.after for delta in deltas}
    now = {path: current(tree, path) for path in wanted}
    for path in sorted(wanted, reverse=True):  # what a folder holds goes before the folder
        state, after = now[path], wanted[path]
        if state is not None and (
            after is None or (after.kind != state.kind and "folder" in {after.kind, state.kind})
        ):
            _remove(tree, path, state)
    closed: dict[str, int] = {}
    try:
        for path in sorted(wanted):
            after = wanted[path]
            if after is not None and current(tree, path) != after:
                _open_folders(tree, path, closed)
                _put(tree, blobs, path, after)
    finally:
        for path, mode in closed.items():
            if (wanted.get(path) or State("folder", mode)).kind == "folder":
                tree.put_folder(path, mode)
    for path in sorted(
        wanted, reverse=True
    ):  # a folder that may not be written gets its mode when all is in it
        after = wanted[path]
        if after is not None and after.kind == "folder":
            tree.put_folder(path, after.mode)


def _open_folders(tree: Tree, path: str, closed: dict[str, int]) -> None:
    head = split(path)[0]
    about = tree.about(head) if head != "." else None
    if about is not None and head not in closed and about.st_mode & 0o300 != 0o300 and os.geteuid() != 0:
        closed[head] = about.st_mode & 0o7777
        tree.put_folder(head, 0o700)


def _remove(tree: Tree, path: str, state: State) -> None:
    try:
        tree.remove(path, state)
    except FileNotFoundError:
        return
    except PermissionError:
        head = split(path)[0]
        about = tree.about(head)
        if about is None or head == ".":
            raise
        tree.put_folder(head, 0o700)
        tree.remove(path, state)
        tree.put_folder(head, about.st_mode & 0o7777)
    except OSError as error:
        raise WorkspaceError(f"the folder {path} cannot be removed: {error.strerror}") from error


def _put(tree: Tree, blobs: Blobs, path: str, after: State) -> None:
    if after.kind == "file":
        tree.put_file(path, blobs.get(after.sha), after.mode)
    elif after.kind == "link":
        tree.put_link(path, after.target)
    elif after.kind == "folder":
        tree.put_folder(path, after.mode | 0o700)
    else:
        raise WorkspaceError(
            f"{path} ({after.kind}) was removed and cannot be made again: no snapshot looks into it"
        )


def standing(tree: Tree, deltas: Sequence[Delta], *, crashed: bool = False) -> str:
    """Whether all paths are as `before`, as `after`, or anything else (`mixed`, `strange`).

    `crashed`: a folder on its way has a mode of ours, because it is made first and gets its own when all is in it.
    """
    seen: set[str] = set()
    for delta in deltas:
        now = current(tree, delta.path)
        if now == delta.after:
            seen.add("after")
        elif now == delta.before:
            seen.add("before")
        elif crashed and now is not None and (ways := _on_its_way(now, delta)):
            seen |= ways
        else:
            return "strange"
    return "mixed" if len(seen) > 1 else seen.pop() if seen else "after"


def _on_its_way(now: State, delta: Delta) -> set[str]:
    """What a folder tells that has a mode which only `apply` gives it; nothing for any other path."""
    before, after = delta.before, delta.after
    if now.kind != "folder":
        return set()
    if after is not None and after.kind == "folder":
        return {"before", "after"} if now.mode in {0o700, after.mode | 0o700} else set()
    # It was opened so that what it holds can go: whether something has gone, other paths tell.
    return {"before"} if before is not None and before.kind == "folder" and now.mode == 0o700 else set()


def heal(journal: Journal, tree: Tree) -> None:
    """End what a crash left open: an edit that had begun is finished, one that had not is recorded as not made.

    Where somebody else has been at its paths since, it is not finished; what of it was made is recorded, for `undo`.
    """
    for intent in journal.open_intents():
        for folder in {split(delta.path)[0] for delta in intent.deltas}:
            tree.clean(folder)
        where = standing(tree, intent.deltas, crashed=True)
        problem = "" if where in {"mixed", "after"} else f"found {where} after a crash"
        if where == "mixed":
            try:
                apply(tree, journal.blobs, intent.deltas)
            except WorkspaceError as error:  # a folder that should go holds something of somebody else
                problem = error.message
        deltas, note = intent.deltas, ""
        if problem:
            deltas = tuple(one for one in deltas if current(tree, one.path) == one.after != one.before)
            note = f"{'half' if deltas else 'not'} made: {problem}"
        journal.add(msgspec.structs.replace(intent, phase="done", deltas=deltas, note=note), safe=True)


def net(entries: Sequence[Entry], tree: Tree, *, force: bool) -> tuple[Delta, ...]:
    """What undoes these entries of one run: for each path from what lies there now to what lay there before the first.

    `EditConflict` names the paths that somebody else has changed since, or in between; `force` goes over that.
    """
    first: dict[str, State | None] = {}
    last: dict[str, State | None] = {}
    strange: set[str] = set()
    for entry in entries:
        for delta in entry.deltas:
            if delta.path in last and last[delta.path] != delta.before:
                strange.add(delta.path)
            first.setdefault(delta.path, delta.before)
            last[delta.path] = delta.after
    found: list[Delta] = []
    for path, before in first.items():
        now = current(tree, path)
        if not same(now, last[path]) and not same(now, before):
            strange.add(path)
        if not same(now, before):
            found.append(Delta(path, now, before))
    if strange and not force:
        names = ", ".join(sorted(strange)[:10])
        raise EditConflict(
            f"changed by someone else since: {names}. Nothing was undone; force=True overwrites them"
        )
    return tuple(sorted(found, key=lambda one: one.path))


def same(one: State | None, other: State | None) -> bool:
    """Whether two states are equal as far as undo can tell: of ignored folders only that they are there."""
    if one is not None and other is not None and one.kind == other.kind == "ignored":
        return True
    return one == other
