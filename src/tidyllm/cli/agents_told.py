"""The end of a run of agents in words, and as JSON. It knows results, not how they came about."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from tidyllm.agents.project import ProjectResult
from tidyllm.agents.tasks import TaskStatus
from tidyllm.cli.agents_back import Back
from tidyllm.cli.agents_kept import Kept
from tidyllm.cli.output import harmless

__all__ = ["dollars", "told", "told_json"]

_SHOWN = 12
_TAIL = 20


def told(kept: Kept, result: ProjectResult, back: Back, seconds: float) -> str:
    """For people."""
    lines = [_end(result)]
    if result.spoiled:
        lines.append(f"spoiled: {_some(result.spoiled)}")
    open_tasks = [
        one for one in result.state.tasks if one.status not in {TaskStatus.done, TaskStatus.skipped}
    ]
    if result.exit_code == 1:
        lines += [f"not done: {one.title} ({one.status.replace('_', ' ')})" for one in open_tasks[:_SHOWN]]
    if result.checked is False and result.check_output.strip():
        lines += ["", *(f"  | {line}" for line in result.check_output.rstrip().splitlines()[-_TAIL:]), ""]
    if back.paths:
        lines.append(f"put back, as the goal is no nearer than before: {_some(back.paths)}")
        lines += [f"what they had written is in {back.kept}"] if back.kept else []
    else:
        lines.append(f"changed: {_some(result.changes)}")
    if back.why_not:
        lines.append(f"The goal is no nearer than before, and the tree could not be put back: {back.why_not}")
    lines.append(
        f"{_count(result.turns, 'turn')} · {_count(result.tool_calls, 'tool call')} · {result.tokens:,} tokens · "
        f"{dollars(result.cost_usd)} · {seconds:.0f} s"
    )
    if result.changes and not back.paths:
        lines.append(f"Take it all back: tidyllm agents undo {kept.id}")
    return harmless("\n".join(lines)) + "\n"


def told_json(kept: Kept, result: ProjectResult, back: Back) -> dict[str, Any]:
    """For programs. The whole state is in `tidyllm agents export`."""
    return {
        "event": "result",
        "run": kept.id,
        "project": kept.project,
        "goal": kept.goal,
        "stop": str(result.stop),
        "detail": result.detail,
        "checked": result.checked,
        "check_output": result.check_output,
        "exit_code": result.exit_code,
        "changes": [] if back.paths else result.changes,
        "put_back": back.paths,
        "put_back_failed": back.why_not,
        "spoiled": result.spoiled,
        "tasks": [
            {"id": one.id, "title": one.title, "status": str(one.status)} for one in result.state.tasks
        ],
        "cost_usd": msgspec.to_builtins(result.cost_usd),
        "tokens": result.tokens,
        "turns": result.turns,
        "tool_calls": result.tool_calls,
        "seconds": result.seconds,
        "undo": f"tidyllm agents undo {kept.id}",
    }


def dollars(cost: Decimal | None) -> str:
    """An amount, for people."""
    return "price unknown" if cost is None else f"${cost:.4f}" if cost else "$0"


def _end(result: ProjectResult) -> str:
    check = {True: "the check passes", False: "the check fails", None: "there was no check"}[result.checked]
    end = "finished" if str(result.stop) == "finished" else f"stopped: {result.stop}"
    detail = f". {result.detail}" if result.detail else "."
    return f"\n{end}; {check}{detail}"


def _some(paths: list[str]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return (", ".join(paths[:_SHOWN]) or "nothing") + more


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
