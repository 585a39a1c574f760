"""A command from its words to its result: checked, alone in the tree, between two snapshots, recorded."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shlex
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tidyllm import clock
from tidyllm.errors import CommandRefused, EditConflict, OutsideWorkspace
from tidyllm.sandbox import histories
from tidyllm.sandbox.aftermath import Aftermath, Pending, pending_file, settle, state_before
from tidyllm.sandbox.commands import Allowed, Commands
from tidyllm.sandbox.editor import Editor
from tidyllm.sandbox.isolate import guarantees, isolation
from tidyllm.sandbox.records import CommandResult, Entry
from tidyllm.sandbox.runner import Ran, environment, order_for, run
from tidyllm.sandbox.uproot import uproot


class Commanding:
    """Runs commands in the editor's tree."""

    def __init__(
        self, editor: Editor, commands: Commands, *, unsandboxed: bool, pass_env: tuple[str, ...]
    ) -> None:
        self._editor, self._commands = editor, commands
        self._unsandboxed, self._pass_env = unsandboxed, pass_env

    async def run(self, argv: Sequence[str], timeout: float | None, key: str | None) -> CommandResult:
        """See `Workspace.run`."""
        allowed = self._commands.check(argv)
        kind = isolation()
        if kind is None and not self._unsandboxed:
            raise CommandRefused(
                f"{allowed.argv[0]} was not run: {guarantees()}",
                hint="Allow it with unsandboxed=True (--allow-unsandboxed).",
            )
        editor = self._editor
        call = editor.call("command", *allowed.argv)
        busy = editor.journal.busy
        while not busy.acquire(blocking=False):
            await clock.sleep(0.01)
        try:
            kept = self._kept(key, call)
            if kept is not None:
                return kept
            return await self._run(allowed, timeout, key, call)
        finally:
            editor.journal.during = None
            busy.release()

    def _kept(self, key: str | None, call: str) -> CommandResult | None:
        journal = self._editor.journal
        for entry in journal.done(self._editor.run) if key is not None else ():
            if entry.key == key and entry.result:
                if entry.call != call:
                    raise EditConflict(
                        f"the key {key!r} was used for another command; use one key for one call"
                    )
                return msgspec.json.decode(journal.blobs.get(entry.result), type=CommandResult)
        return None

    async def _run(
        self, allowed: Allowed, timeout: float | None, key: str | None, call: str
    ) -> CommandResult:
        editor = self._editor
        intent, pending, private = await asyncio.to_thread(self._begin, allowed, key, call)
        passed = {name: os.environ[name] for name in self._pass_env if name in os.environ}
        env = environment(editor.tree.root, self._commands.folders, private, passed)
        kind = isolation()
        order = order_for(allowed, editor.tree.root, private, env, editor.limits, jail=kind is not None)
        try:
            time = editor.limits.seconds if timeout is None else timeout
            ran = await run(order, timeout=time, output_bytes=editor.limits.output_bytes)
        except BaseException:
            with editor.journal.guard:  # whatever it did is recorded before the error goes on
                settle(editor, intent, pending, note="ended without a result")
            _remove(private)
            raise
        try:
            return await asyncio.to_thread(self._end, allowed, intent, pending, ran)
        finally:
            await asyncio.to_thread(_remove, private)

    def _begin(self, allowed: Allowed, key: str | None, call: str) -> tuple[Entry, Pending, Path]:
        editor, journal = self._editor, self._editor.journal
        with journal.guard:
            manifest, times = state_before(editor)
            if editor.snapshots.linked:
                names = ", ".join(editor.snapshots.linked[:5])
                raise OutsideWorkspace(
                    f"{names}: hard links to files outside the workspace; a command could change those. Copy them"
                )
            held = histories.hold(editor.tree.root)
            baseline = sorted(editor.protection.baseline)
            pending = Pending(
                manifest,
                times,
                held,
                histories.caches(editor.tree.root),
                baseline,
                list(editor.globs),
                editor.protection.tests,
            )
            intent = Entry(
                journal.next(), "intent", editor.run, "command", key or "", call, shlex.join(allowed.argv)
            )
            pending_file(editor, intent.seq).write_bytes(msgspec.json.encode(pending))
            journal.add(intent, safe=True)
            journal.during = {}
            private = journal.folder / "tmp" / f"{intent.seq}-{secrets.token_hex(4)}"
            _remove(private.parent)  # of a process that was killed: nobody else runs commands now
            private.mkdir(mode=0o700, parents=True)
        return intent, pending, private

    def _end(self, allowed: Allowed, intent: Entry, pending: Pending, ran: Ran) -> CommandResult:
        editor = self._editor
        with editor.journal.guard:
            result = _result(allowed, ran)
            aftermath = settle(editor, intent, pending)
            result = _with(result, aftermath)
            if intent.key:
                sha = editor.journal.blobs.put(msgspec.json.encode(result))
                last = editor.journal.entries[-1]
                editor.journal.add(
                    msgspec.structs.replace(last, deltas=(), result=sha, op="result"), safe=True
                )
            return result


def _result(allowed: Allowed, ran: Ran) -> CommandResult:
    return CommandResult(
        argv=allowed.argv,
        exit_code=ran.outcome.exit,
        stdout=ran.stdout,
        stderr=ran.stderr,
        timed_out=ran.timed_out,
        truncated=ran.truncated,
        seconds=ran.seconds,
        isolation=isolation(),
        layers=tuple(ran.outcome.layers),
        killed=ran.outcome.killed,
    )


def _with(result: CommandResult, aftermath: Aftermath) -> CommandResult:
    return msgspec.structs.replace(
        result,
        changed=tuple(delta.path for delta in aftermath.deltas),
        restored=aftermath.restored,
        notes=aftermath.notes,
    )


def _remove(place: Path) -> None:
    """A folder with all it holds, also what a program has locked against its owner."""
    with contextlib.suppress(OSError):
        parent = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            uproot(parent, place.name)
        finally:
            os.close(parent)
