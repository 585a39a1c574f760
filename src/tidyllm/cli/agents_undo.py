"""`tidyllm agents undo | list | show | export`: what runs of agents left behind, and taking it back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tidyllm.agents.project import ProjectResult
from tidyllm.cli.acting import show, table, when
from tidyllm.cli.agents_kept import Kept, keep, kept, kept_run
from tidyllm.cli.agents_order import folder_of
from tidyllm.cli.agents_told import dollars
from tidyllm.cli.output import harmless, until_the_reader_leaves
from tidyllm.cli.settings import chosen_store
from tidyllm.durable.acts import cancel
from tidyllm.durable.database import Connection, DatabaseError, connect
from tidyllm.durable.place import beside
from tidyllm.durable.starting import outcome
from tidyllm.errors import ConfigError, RunError, RunNotFound, StoreDown
from tidyllm.sandbox import Workspace

__all__ = ["export", "list_runs", "show_run", "undo"]

T = TypeVar("T")


def undo(run: str, project: str | None, url: str | None, *, force: bool) -> None:
    """Put everything that `run` changed back, to the byte, and end it if it was unfinished."""
    known: Kept | None = None
    try:
        known = kept_run(run)
    except RunNotFound:
        if project is None:
            raise
    root = folder_of(project or (known.project if known is not None else "."))
    if known is not None and Path(known.project) != root:
        raise ConfigError(f"run {run} worked in {known.project}, not in {root}.", where="--project")
    with Workspace(root) as workspace:
        names = workspace.runs()
        # A run that changed nothing has nothing to undo.
        changes = workspace.undo(run, force=force) if run in names or known is None else []
    if known is not None:
        keep(msgspec.structs.replace(known, undone=True))
        _end(run, url)
    lines = [f"  {'removed' if one.after is None else 'restored'} {one.path}" for one in changes]
    number = f"{len(changes)} path{'' if len(changes) == 1 else 's'} as before {run}"
    lines.append(f"{number} in {root}." if changes else f"Nothing of {run} was left to undo in {root}.")
    with until_the_reader_leaves():
        sys.stdout.write(harmless("\n".join(lines)) + "\n")


def _end(run: str, url: str | None) -> None:
    """Nobody may go on with a run whose work is gone."""

    def work(at: Connection) -> bool:
        try:
            return cancel(at, run)
        except RunNotFound:
            return False

    _asking(url, work, False)


def list_runs(url: str | None, *, as_json: bool) -> None:
    """The latest first."""
    runs = sorted(kept(), key=lambda one: -one.created)
    states = _asking(url, lambda at: [_status(at, one) for one in runs], ["?" for _ in runs])
    if as_json:
        show(
            [{**msgspec.to_builtins(one), "status": status} for one, status in zip(runs, states, strict=True)]
        )
        return
    rows = [
        (one.id, status, when(one.created), one.project, " ".join(one.goal.split())[:60])
        for one, status in zip(runs, states, strict=True)
    ]
    table(("RUN", "STATUS", "BEGAN (UTC)", "PROJECT", "GOAL"), rows, "No agents ran yet.")


def _status(at: Connection, run: Kept) -> str:
    if run.undone:
        return "undone"
    try:
        found = outcome(at, run.id)
    except RunNotFound:
        return "gone"
    if found.status != "done":
        return "unfinished" if found.status in ("new", "queued", "cancelled", "stopped") else found.status
    result = _decoded(at, found.output or "null")
    return str(result.stop) if result is not None else "done"


def show_run(run: str, url: str | None, *, as_json: bool) -> None:
    """Tasks, decisions and figures of a run that is over; of another one what to look at."""
    known, result = _over(run, url)
    if as_json:
        show(result)
        return
    state = result.state
    lines = [f"{known.id}  {result.stop}  {known.project}", f"  {known.goal}"]
    lines += [f"  {result.detail}"] if result.detail else []
    lines += ["", "Tasks"] + [f"  {one.status.replace('_', ' '):<13} {one.title}" for one in state.tasks]
    lines += ["", "Decisions"]
    lines += [
        f"  {note.step:>3} {note.phase:<13} {note.by:<5} {_words(note.decision)}" for note in state.decisions
    ]
    lines += ["", "Used by"]
    lines += [
        f"  {name:<12} {use.turns} turns, {use.tool_calls} tool calls, "
        f"{use.input_tokens + use.output_tokens:,} tokens, {dollars(use.usd if use.priced else None)}"
        for name, use in sorted(state.usage.items())
    ]
    lines += ["", f"Changed: {', '.join(result.changes) or 'nothing'}"]
    with until_the_reader_leaves():
        sys.stdout.write(harmless("\n".join(lines)) + "\n")


def export(run: str, url: str | None) -> None:
    """The state of a run that is over, as JSON; `tidyllm agents run --state FILE` begins with it."""
    _, result = _over(run, url)
    text = msgspec.json.format(result.state.to_json(), indent=2).decode()
    with until_the_reader_leaves():
        sys.stdout.write(text + "\n")


def _over(run: str, url: str | None) -> tuple[Kept, ProjectResult]:
    known = kept_run(run)

    def work(at: Connection) -> ProjectResult:
        found = outcome(at, run)
        result = _decoded(at, found.output or "null") if found.status == "done" else None
        if result is None:
            why = f"{found.failure(run)}" if found.status == "failed" else f"it is {found.status}"
            raise RunError(
                f"run {run} has no result: {why}.",
                run_id=run,
                hint=f"`tidyllm runs show {run}` shows its steps so far.",
            )
        return result

    found = _asking(url, work, None)
    if found is None:
        raise RunNotFound(
            f"run {run} is not in this database of runs.", run_id=run, hint="Name it by --store."
        )
    return known, found


def _decoded(at: Connection, text: str) -> ProjectResult | None:
    if text.startswith('{"!blob":'):
        name = msgspec.json.decode(text)["!blob"]
        rows = at.rows("SELECT data FROM {s}tidyllm_blobs WHERE hash = ?", (name,))
        text = str(rows[0][0]) if rows else "null"
    try:
        return msgspec.json.decode(text, type=ProjectResult)
    except msgspec.MsgspecError:
        return None


def _words(decision: Any) -> str:
    fields: dict[str, Any] = msgspec.to_builtins(decision)
    name = str(fields.pop("action", "")).replace("_", " ")
    said = " ".join(" ".join(str(value).split()) for value in fields.values() if value)
    return f"{name}: {said[:100]}" if said else name


def _asking(url: str | None, work: Callable[[Connection], T], otherwise: T) -> T:
    """What the database of runs says; `otherwise` where there is none yet."""
    location = beside(chosen_store(url))
    if location.path is not None and not location.path.exists():
        return otherwise
    at = connect(location)
    try:
        return work(at)
    except DatabaseError as error:
        if "tidyllm_runs" in str(error) or "workflow_status" in str(error):
            return otherwise
        raise StoreDown(f"{location.name}: {error}.") from error
    finally:
        at.close()
