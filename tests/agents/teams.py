"""A tiny project and scripted colleagues, for tests of teams: the arbiter says what a test makes it say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from tidyllm.agents import AgentLimits, Coordinator, ProjectResult
from tidyllm.core import Context
from tidyllm.models import Request
from tidyllm.sandbox import Workspace
from tidyllm.testing import Reply, Scripted, call, scripted

CHECK = ("python", "check.py")
LIMITS = AgentLimits(turns=120, seconds=120)

Answer = Reply | str | Mapping[str, Any]


def project(folder: Path) -> Path:
    """A project whose check passes when `answer.txt` says 42."""
    tree = folder / "project"
    tree.mkdir()
    (tree / "answer.txt").write_text("41\n")
    (tree / "check.py").write_text(
        "found = open('answer.txt').read().strip()\nassert found == '42', f'it is {found}'\nprint('good')\n"
    )
    (tree / "test_kept.py").write_text("def test_kept():\n    assert True\n")
    return tree


def role(request: Request) -> str:
    """Who is asked."""
    if not request.tools:
        return "arbiter"
    words = f"{request.system}{request.messages[:1]}"
    names = ("planning", "coding", "review", "testing", "debugging", "documentation")
    return next(name for name in names if f"Phase: {name}." in words)


def done(**fields: Any) -> Reply:
    """A final answer."""
    return Reply(tool_calls=(call("final_answer", **fields),))


def team_of(
    decide: Callable[[Request], Answer] | None = None, **roles: Callable[[Request], Reply]
) -> Scripted:
    """A model for all: by default it plans one task, writes 42 and finds nothing wrong, and the arbiter goes on."""

    def reply(request: Request) -> Reply:
        who = role(request)
        if who == "arbiter":
            said = {"action": "continue_phase"} if decide is None else decide(request)
            return (
                said if isinstance(said, Reply) else Reply(text=said if isinstance(said, str) else text(said))
            )
        if who in roles:
            return roles[who](request)
        return {"planning": plan, "review": no_findings}.get(who, write)(request)

    return scripted(reply)


def text(decision: Mapping[str, Any]) -> str:
    return msgspec.json.encode(decision).decode()


def plan(request: Request) -> Reply:
    return done(tasks=[{"title": "Write 42"}])


def no_findings(request: Request) -> Reply:
    return done(summary="Nothing.", findings=[])


def write(request: Request) -> Reply:
    """Writes the answer, then says so."""
    if request.turns[-1].role == "tool":
        return done(summary="It says 42 now.")
    return Reply(tool_calls=(call("write_file", path="answer.txt", text="42\n"),))


def idle(request: Request) -> Reply:
    """Says that all is done, and does nothing."""
    return done(summary="All tests pass.", checked=True)


async def worked(
    folder: Path, model: Any, *, ctx: Context | None = None, check: Any = CHECK, **options: Any
) -> ProjectResult:
    """Let a team work on the project, which is made where it is not there."""
    tree = folder / "project"
    if not tree.exists():
        project(folder)
    options.setdefault("limits", LIMITS)
    with Workspace(tree, state=folder / "state", run="team") as workspace:
        return await Coordinator(model, workspace, check=check, **options)("Make it say 42.", ctx)
