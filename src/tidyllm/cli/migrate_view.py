"""How `tidyllm migrate` shows a plan: coloured lines, counts, JSON. It reads plans and makes none."""

from __future__ import annotations

import json as codec
import sys
from typing import TYPE_CHECKING, Any

from tidyllm.cli.output import harmless, until_the_reader_leaves

if TYPE_CHECKING:
    from rich.console import Console

    from tidyllm.migrate import Plan

__all__ = ["diff_line", "left_out", "many", "print_json", "say", "summary", "table", "terminal"]


def terminal() -> Console:
    """The console that everything is written to."""
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False, soft_wrap=True)


def say(console: Console, text: str, style: str | None = None) -> None:
    """One line, without control characters."""
    console.print(harmless(text), style=style)


_STYLES = (("+++", "bold"), ("---", "bold"), ("@@", "cyan"), ("+", "green"), ("-", "red"))


def diff_line(console: Console, line: str) -> None:
    """One line of a diff, in its colour."""
    style = next((style for start, style in _STYLES if line.startswith(start)), None)
    say(console, line.rstrip("\r\n"), style)


def left_out(console: Console, plan: Plan) -> None:
    """The files that were not looked at, with reasons."""
    for one in plan.problems:
        say(console, f"{one.path}: left out: {one.problem}")


def summary(console: Console, plan: Plan) -> None:
    """What is changed, what could not be, and the counts."""
    changed, problems = len(plan.changed), len(plan.problems)
    for one in plan.changed:
        uses = sum(finding.kind == "converted" for finding in one.findings)
        say(console, f"changed: {one.path} ({many(uses, 'use')})")
    for path, finding in plan.could_not:
        place = f"{path}:{f'cell {finding.cell}:' if finding.cell else ''}{finding.line}"
        by_hand = f" By hand: {finding.by_hand}" if finding.by_hand else ""
        say(
            console,
            f"could not: {place}: {finding.name} [{finding.pattern}]: {finding.reason}.{by_hand}",
            "yellow",
        )
    left_out(console, plan)
    for path in plan.defining:
        say(
            console, f"left as it is: {path} defines legacy classes itself; remove it when nothing uses them."
        )
    say(
        console,
        f"{many(len(plan.results), 'file')}: {changed} changed, {len(plan.unchanged)} unchanged, "
        f"{problems} left out. {many(len(plan.converted), 'use')} converted, {len(plan.could_not)} could not.",
    )


def many(number: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def table(plan: Plan, *, diffs: bool) -> dict[str, Any]:
    """The plan as `--json` gives it."""
    return {
        "root": str(plan.root),
        "patterns": list(plan.patterns),
        "files": len(plan.results),
        "changed": [
            {"path": one.path, **({"diff": "".join(plan.diff(one))} if diffs else {})} for one in plan.changed
        ],
        "converted": [{"path": path, **finding.as_dict()} for path, finding in plan.converted],
        "could_not": [{"path": path, **finding.as_dict()} for path, finding in plan.could_not],
        "left_out": [{"path": one.path, "reason": one.problem} for one in plan.problems],
        "defining": list(plan.defining),
    }


def print_json(value: object) -> None:
    """JSON on standard output."""
    with until_the_reader_leaves():
        sys.stdout.write(codec.dumps(value, indent=2) + "\n")
