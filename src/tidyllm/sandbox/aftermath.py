"""What a command did to the tree: found out, put back where it was not allowed, written down. Also after a crash."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tidyllm.errors import EditConflict, WorkspaceError
from tidyllm.sandbox import histories, restore
from tidyllm.sandbox.paths import Tree, split
from tidyllm.sandbox.protect import Protection, section_changed
from tidyllm.sandbox.records import Delta, Entry, State
from tidyllm.sandbox.snapshot import Manifest, compare
from tidyllm.sandbox.uproot import uproot

if TYPE_CHECKING:
    from tidyllm.sandbox.editor import Editor


_DEEPEST = 3_800  # characters of a path: what lies deeper is removed as it is


class Pending(msgspec.Struct, frozen=True):
    """The tree before a command, kept on disk until its end is in the journal."""

    manifest: Manifest
    times: dict[str, int]
    held: dict[str, dict[str, bytes]]
    caches: dict[str, tuple[int, int, int, int]]
    baseline: list[str]
    globs: list[str]
    tests: bool = True


class Aftermath(msgspec.Struct, frozen=True):
    """What was found."""

    deltas: tuple[Delta, ...]
    restored: tuple[str, ...]
    notes: tuple[str, ...]


def pending_file(editor: Editor, seq: int) -> Path:
    """Where the state before command number `seq` is kept."""
    return editor.journal.folder / f"pending-{seq}.json"


def settle(editor: Editor, intent: Entry, pending: Pending, *, note: str = "", result: str = "") -> Aftermath:
    """Look at the tree after a command, restore what is protected, and end the journal's entry."""
    root = editor.tree.root
    _unlock(root)
    history = histories.put_back(root, pending.held)
    histories.drop_caches(root, pending.caches)
    before = dict(pending.manifest)
    for path, state in (editor.journal.during or {}).items():
        if state is None:
            before.pop(path, None)
        else:
            before[path] = state
    after = editor.snapshots.take(keep=True, strict=False)
    odd = _drop_odd(editor.tree)
    times = editor.snapshots.times
    protection = Protection(pending.globs, pending.baseline, tests=pending.tests)
    deltas = compare(before, after)
    wrong = {delta.path: delta for delta in deltas if _forbidden(editor, protection, delta)}
    special = [delta for delta in deltas if delta.after is not None and delta.after.kind == "special"]
    back = {path: Delta(path, delta.after, delta.before) for path, delta in wrong.items()}
    back |= {delta.path: Delta(delta.path, delta.after, None) for delta in special}
    by_path = {delta.path: delta for delta in deltas}
    for path in wrong:  # a folder that was removed or exchanged comes back first
        head = split(path)[0]
        while head != ".":
            if head in by_path and by_path[head].before is not None:
                back[head] = Delta(head, by_path[head].after, by_path[head].before)
            head = split(head)[0]
    if back:
        restore.apply(editor.tree, editor.journal.blobs, _with_contents(back, after))
        deltas = compare(before, editor.snapshots.take(keep=True, strict=False))
    touched = [
        path
        for path, when in pending.times.items()
        if path not in wrong
        and times.get(path, when) != when
        and protection.reason(path)
        and path not in by_path
    ]
    notes = [f"removed {shown}: its name is no text, or it lies too deep to be kept" for shown in odd]
    notes += [f"removed the special file {delta.path}" for delta in special]
    notes += [f"the protected file {path} was touched, and holds what it held before" for path in touched]
    lost = [delta.path for delta in deltas if delta.before is not None and delta.before.kind == "ignored"]
    notes += [f"{path} was removed and cannot be restored: no snapshot looks into it" for path in lost]
    end = msgspec.structs.replace(intent, phase="done", deltas=deltas, note=note, result=result)
    editor.journal.add(end, safe=True)
    pending_file(editor, intent.seq).unlink(missing_ok=True)
    return Aftermath(deltas, tuple(sorted({*wrong, *history})), tuple(notes))


def _with_contents(back: dict[str, Delta], after: Manifest) -> list[Delta]:
    """Where a folder gives way to something else, all that it holds must go as well."""
    found = dict(back)
    for path, delta in back.items():
        if (
            delta.before is not None
            and delta.before.kind == "folder"
            and (delta.after is None or delta.after.kind != "folder")
        ):
            for name, state in after.items():
                if name.startswith(path + "/"):
                    found.setdefault(name, Delta(name, state, None))
    return list(found.values())


def _forbidden(editor: Editor, protection: Protection, delta: Delta) -> bool:
    if protection.reason(delta.path):
        return True
    if not protection.tests or split(delta.path)[1] not in {"pyproject.toml", "setup.cfg"}:
        return False
    contents: list[bytes | None] = []
    for state in (delta.before, delta.after):
        try:
            contents.append(
                editor.journal.blobs.get(state.sha) if state is not None and state.kind == "file" else None
            )
        except WorkspaceError:  # too large to be kept: not what it was
            contents.append(b"\xff")
    return bool(section_changed(delta.path, contents[0], contents[1]))


def _drop_odd(tree: Tree) -> list[str]:
    """Remove what no snapshot can hold: there was none before the command. And what hides from it by its name."""
    found = sorted(tree.odd)
    for path in [*found, *tree.temporary]:
        head, name = split(path)
        with contextlib.suppress(FileNotFoundError, EditConflict), tree.folder(head) as folder:
            uproot(folder, name)
    return [ascii(path[-200:]) for path in found]


def _unlock(root: Path) -> None:
    """Give ourselves back the right to look: a command may have taken it away from its own files."""
    if os.geteuid() == 0:
        return
    for folder, names, files in os.walk(root):
        if len(folder) > _DEEPEST:
            names.clear()
            continue
        for name in names:
            place = Path(folder, name)
            if not place.is_symlink() and not os.access(place, os.R_OK | os.X_OK | os.W_OK):
                _chmod(place, 0o700)
        for name in files:
            place = Path(folder, name)
            if not place.is_symlink() and not os.access(place, os.R_OK):
                _chmod(place, 0o600)


def _chmod(place: Path, bits: int) -> None:
    try:
        place.chmod(stat.S_IMODE(place.stat().st_mode) | bits)
    except OSError:
        return  # not ours, and so not made by the command


def heal_commands(editor: Editor) -> None:
    """End the commands that were under way at a crash: what they did to the tree is recorded, so that undo knows it."""
    for intent in editor.journal.open_intents():
        if intent.op != "command":
            continue
        place = pending_file(editor, intent.seq)
        try:
            pending = msgspec.json.decode(place.read_bytes(), type=Pending)
        except (OSError, msgspec.DecodeError):
            editor.journal.add(
                msgspec.structs.replace(intent, phase="done", note="not begun before a crash"), safe=True
            )
            continue
        settle(editor, intent, pending, note="interrupted by a crash")
    for place in editor.journal.folder.glob("pending-*.json"):
        place.unlink()


def state_before(editor: Editor) -> tuple[Manifest, dict[str, int]]:
    """A snapshot with all contents, and the times by which a touch is seen."""
    manifest: dict[str, State] = editor.snapshots.take(keep=True)
    if editor.tree.odd:
        names = ", ".join(ascii(path[-200:]) for path in sorted(editor.tree.odd)[:5])
        raise WorkspaceError(
            f"{names}: no snapshot can hold a name that is no text, or what lies so deep; rename or move it"
        )
    return manifest, dict(editor.snapshots.times)
