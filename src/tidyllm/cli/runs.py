"""`tidyllm runs`: what durable runs do, and what to do with them. It loads no engine but for a fork."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from tidyllm.cli.acting import Json, StoreURL, seconds, show, table, when
from tidyllm.cli.output import harmless, until_the_reader_leaves

if TYPE_CHECKING:
    from tidyllm.durable.database import Connection
    from tidyllm.durable.views import Node

__all__ = ["app"]

T = TypeVar("T")

app = typer.Typer(
    help="Durable runs: list, look into, answer, stop, fork and prune them.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RunId = Annotated[str, typer.Argument(metavar="RUN", help="The id of a run.")]


def _chosen(url: str | None) -> str | None:
    if url is not None or not Path("tidyllm.yaml").exists():
        return url
    from tidyllm.cli.settings import (
        chosen_store,
    )  # it reads configurations, which takes longer than a list of runs

    return chosen_store(url)


def _asking(url: str | None, work: Callable[[Connection], T]) -> T:
    from tidyllm.durable.database import DatabaseError, check_schema, connect
    from tidyllm.durable.place import beside
    from tidyllm.errors import RunError, StoreDown

    at = connect(beside(_chosen(url)))
    try:
        check_schema(at)
        return work(at)
    except DatabaseError as error:
        if "tidyllm_runs" in str(error) or "workflow_status" in str(error):
            raise RunError(
                f"no run was ever started here: {at.location.name} has no table of runs."
            ) from error
        raise StoreDown(f"{at.location.name}: {error}.") from error
    finally:
        at.close()


@app.command("list")
def list_(
    url: StoreURL = None,
    status: Annotated[
        str | None, typer.Option(help="queued, running, done, failed, cancelled or stopped.")
    ] = None,
    flow: Annotated[str | None, typer.Option(help="Only runs of this flow.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 50,
    json: Json = False,
) -> None:
    """List runs, the newest first."""
    from tidyllm.durable.views import listed

    found = _asking(url, lambda at: listed(at, status=status, flow=flow, limit=limit))
    if json:
        show(found)
        return
    rows = [
        (
            one.id,
            one.flow,
            one.status,
            when(one.created),
            _took(None if one.ended is None else one.ended - one.created),
        )
        for one in found
    ]
    table(("RUN", "FLOW", "STATUS", "BEGAN (UTC)", "TOOK"), rows, "No runs.")


@app.command("show")
def show_(run: RunId, url: StoreURL = None, json: Json = False) -> None:
    """Show a run's tree of steps with time, tokens and dollars, and what is in doubt."""
    from tidyllm.durable.views import tree

    found = _asking(url, lambda at: tree(at, run))
    if json:
        show(found)
        return
    head = found.run
    lines = [f"{head.id}  {head.flow}  {head.status}  version {head.version}"]
    if found.error is not None:
        lines.append(f"  {harmless(found.error)}")
    rows: list[tuple[str, str, str, str, str]] = []
    _rows(found.steps, 0, rows)
    rows.append(("in all", "", "", _count(found.tokens), _dollars(found.cost_usd)))
    titles = ("STEP", "STATE", "TIME", "TOKENS", "USD")
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    lines += ["  ".join(map(str.ljust, row, widths)).rstrip() for row in [titles, *rows]]
    if found.in_doubt:
        lines += ["", "In doubt: in flight when their process died."]
        lines += [f"  {harmless(path)}" for path in found.in_doubt]
    _say("\n".join(lines) + "\n")


@app.command()
def tail(
    run: RunId, url: StoreURL = None, poll: Annotated[float, typer.Option(min=0.05, hidden=True)] = 0.3
) -> None:
    """Print what happens in a run until it ends."""
    import threading

    from tidyllm.durable.starting import outcome
    from tidyllm.durable.tables import ASKED, DONE, FAILED, RUNNING

    words = {RUNNING: "began", DONE: "ended", FAILED: "failed", ASKED: "asks"}
    sql = "SELECT seq, state, path, output FROM {s}tidyllm_steps WHERE run = ? AND seq > ? ORDER BY seq"

    def work(at: Connection) -> str:
        last = 0
        while True:
            found = outcome(at, run)
            for seq, state, path, output in at.rows(sql, (run, last)):
                last = seq
                more = f": {output}" if state == ASKED else ""
                sys.stdout.write(harmless(f"{words.get(state, 'left'):<6}  {path}{more}") + "\n")
            sys.stdout.flush()
            if found.is_over:
                return found.status
            threading.Event().wait(poll)

    with until_the_reader_leaves():
        sys.stdout.write(f"{_asking(url, work)}\n")


@app.command()
def cancel(run: RunId, url: StoreURL = None) -> None:
    """Stop a run before its next step, wherever it runs."""
    from tidyllm.durable.acts import cancel as stop

    done = _asking(url, lambda at: stop(at, run))
    _say(f"{run} is cancelled.\n" if done else f"{run} was over already.\n")


@app.command()
def fork(
    run: RunId,
    from_step: Annotated[
        str | None,
        typer.Option("--from", metavar="PATH", help="This step and all later ones are made again."),
    ] = None,
    new: Annotated[str | None, typer.Option("--id", metavar="RUN", help="The id of the new run.")] = None,
    url: StoreURL = None,
) -> None:
    """Begin a new run with what another one recorded; a worker of its flow takes it."""
    from tidyllm.durable.acts import fork as branch

    made = _asking(url, lambda at: branch(at, run, from_step, new))
    _say(f"{made} is queued for a worker of its flow.\n")


@app.command()
def approve(
    run: RunId,
    question: Annotated[
        str | None, typer.Argument(metavar="PATH", help="The question's path. Default: the only one.")
    ] = None,
    answer: Annotated[str, typer.Option("--answer", "-a", help="What to answer.")] = "yes",
    url: StoreURL = None,
) -> None:
    """Answer a question that a run asks."""
    from tidyllm.durable.acts import approve as say

    path = _asking(url, lambda at: say(at, run, question, answer))
    _say(f"{run}: answered {path}.\n")


@app.command()
def signal(
    run: RunId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the run waits for.")],
    value: Annotated[str, typer.Argument(metavar="JSON", help="The value.")] = "null",
    url: StoreURL = None,
) -> None:
    """Send a run a value that it waits for."""
    import msgspec

    from tidyllm.durable.acts import signal as send
    from tidyllm.errors import ConfigError

    try:
        decoded: Any = msgspec.json.decode(value.encode("utf-8", "replace"))
    except msgspec.DecodeError as error:
        raise ConfigError(f"{value[:60]!r} is no JSON: {error}.", where="value") from None
    _asking(url, lambda at: send(at, run, name, decoded))
    _say(f"{run}: {name} is sent.\n")


@app.command()
def prune(
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="TIME", help="90s, 30m, 12h, 7d or 2w after its end.")
    ] = "30d",
    failed: Annotated[bool, typer.Option("--failed", help="Failed and cancelled ones as well.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    url: StoreURL = None,
) -> None:
    """Remove runs that ended long ago, with their steps."""
    from tidyllm.durable.acts import prune as remove

    kinds = ("done", "failed", "cancelled") if failed else ("done",)
    age = float(seconds(older_than, "older-than") or 0)
    gone = _asking(url, lambda at: remove(at, age, kinds, dry_run=dry_run))
    verb = "would be removed" if dry_run else "removed"
    _say(f"{gone.runs:,} runs with {gone.steps:,} steps {verb}.\n")


@app.command()
def doctor(
    flows: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODULE:FLOW]...", help="Programs to compare versions with."),
    ] = None,
    url: StoreURL = None,
    json: Json = False,
) -> None:
    """List runs that will not go on by themselves, and what to do. Exit status 1 when there are any."""
    from tidyllm.durable.views import stranded

    versions: dict[str, str] = {}
    if flows:
        from tidyllm.cli.worker import load

        versions = {flow.name: flow.version for flow in map(load, flows)}
    found = _asking(url, lambda at: stranded(at, versions))
    if json:
        show(found)
    elif not found:
        _say("No run is stranded.\n")
    else:
        _say(harmless("".join(f"{one.id}  {one.flow}: {one.why}.\n  Do: {one.do}.\n" for one in found)))
    if found:
        raise typer.Exit(1)


def _rows(nodes: list[Node], depth: int, rows: list[tuple[str, str, str, str, str]]) -> None:
    for node in nodes:
        state = node.state + (f" ({node.tries} times)" if node.tries > 1 else "")
        rows.append(
            (
                harmless("  " * depth + node.name),
                state,
                _took(node.seconds) or "",
                _count(node.tokens),
                _dollars(node.cost_usd),
            )
        )
        if node.text is not None:
            rows.append((harmless("  " * (depth + 1) + node.text[:200]), "", "", "", ""))
        _rows(node.children, depth + 1, rows)


def _took(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return (
        f"{seconds * 1000:.0f} ms"
        if seconds < 1
        else f"{seconds:.1f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
    )


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _dollars(cost: object) -> str:
    return "" if cost is None else f"{cost:.6f}"


def _say(text: str) -> None:
    with until_the_reader_leaves():
        sys.stdout.write(text)
