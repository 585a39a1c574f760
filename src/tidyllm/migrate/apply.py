"""Carrying out a plan, and taking it back. It knows plans, journals and checks; it prints nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tidyllm.migrate.check import Outcome, new_failures, parsed, run
from tidyllm.migrate.discover import root_of
from tidyllm.migrate.errors import MigrateError
from tidyllm.migrate.journal import FOLDER, Change, Journal
from tidyllm.migrate.plan import Plan

__all__ = ["Applied", "apply", "heal", "journal_of", "rollback"]


@dataclass(frozen=True)
class Applied:
    """What was done. `failures` is what the check found new; then everything was taken back."""

    run: str
    files: tuple[str, ...]
    failures: tuple[str, ...] = ()
    before: Outcome | None = None
    after: Outcome | None = None


def journal_of(path: Path) -> Journal:
    """The journal that speaks for a path: that of its root, or of a folder above it that has one."""
    root = root_of(path)
    for folder in (root, *root.parents):
        if (folder / FOLDER).is_dir():
            return Journal(folder)
    return Journal(root)


def heal(path: Path) -> list[str]:
    """Put in order what an interrupted run left. Gives a sentence for each.

    :raises MigrateError: another process is at work here.
    """
    said: list[str] = []
    root = root_of(path)
    for folder in (root, *root.parents):
        if (folder / FOLDER).is_dir() and (folder == root or _is_ours(folder / FOLDER)):
            journal = Journal(folder)
            with journal.locked():
                said += journal.heal()
    return said


def _is_ours(folder: Path) -> bool:
    """Whether a journal further up is one's own: nobody else says what is written here."""
    return not hasattr(os, "geteuid") or folder.stat().st_uid == os.geteuid()


def apply(plan: Plan, check: str | None = None, timeout: float | None = None) -> Applied:
    """Write all changes of a plan, or none.

    - `check`: a command that is run before and after, in the plan's root. When it finds a new failure, everything is
      taken back.

    :raises MigrateError: a file has changed or is not writable, the disk is full, or the check cannot be run. Then the
        tree is as before.
    """
    changes = [Change(one.path, one.before, one.after) for one in plan.changed if one.after is not None]
    if not changes:
        return Applied("", ())
    words = parsed(check) if check is not None else None
    journal = Journal(plan.root)
    with journal.locked(make=True):
        before = run(words, plan.root, timeout) if words else None
        current = journal.begin(changes)
        current.replace()
        after: Outcome | None = None
        if words and before is not None:
            try:
                after = run(words, plan.root, timeout)
            except BaseException:
                current.undo()
                raise
            failures = new_failures(before, after)
            if failures:
                current.undo()
                return Applied(
                    current.name, tuple(one.path for one in changes), tuple(failures), before, after
                )
        try:
            current.commit()
        except MigrateError:
            current.undo()
            raise
    return Applied(current.name, tuple(one.path for one in changes), (), before, after)


def rollback(path: Path) -> tuple[str, list[str]]:
    """Take the latest run back. Gives its name and its files.

    :raises MigrateError: there is none, or a file has changed since; then nothing is touched.
    """
    journal = journal_of(path)
    with journal.locked():
        last = journal.last()
        if last is None:
            raise MigrateError(
                f"there is no run to take back in {journal.root}.", "Nothing was applied here."
            )
        changed = last.changed_since()
        if changed:
            names = ", ".join(changed[:8]) + (f" and {len(changed) - 8} more" if len(changed) > 8 else "")
            raise MigrateError(
                f"{len(changed)} file{'s have' if len(changed) > 1 else ' has'} changed since {last.name}: {names}.",
                "Put them back to what the run made of them, or undo it by your version control.",
            )
        last.undo()
        return last.name, last.paths
