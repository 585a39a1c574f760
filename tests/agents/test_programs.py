"""The broken programs are broken, their repair helps, and the scripted models find it only by looking.

The driver here is a dozen lines that obey every call: no agent of ours takes part.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from tests.agents.programs import BAD, GOOD, materialise, names, player_for, program
from tidyllm.errors import ModelError
from tidyllm.models import Message, Request, Response, Tool
from tidyllm.testing import scripted
from tidyllm.testing.behaviours.heard import verdict


def checked(tree: Path) -> str:
    """What pytest prints in `tree`."""
    argv = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    known = {"PATH": os.environ["PATH"], "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONUTF8": "1"}
    return subprocess.run(argv, cwd=tree, env=known, capture_output=True, text=True, check=False).stdout


def a_tool(name: str, *arguments: str) -> Tool:
    properties = {each: {"type": "string"} for each in arguments}
    return Tool(name, parameters={"type": "object", "properties": properties, "required": list(arguments)})


TOOLS = (
    a_tool("list_files", "path"),
    a_tool("read_file", "path"),
    a_tool("edit_file", "path", "old", "new"),
    a_tool("write_file", "path", "text"),
    a_tool("run_tests"),
)
IN_WORDS = (
    "You have these tools: list_files, read_file(path), edit_file(path, old, new), write_file, run_tests."
)


def done(tree: Path, name: str, given: Mapping[str, Any]) -> str:
    match name:
        case "list_files":
            return "\n".join(
                sorted(str(each.relative_to(tree)) for each in tree.rglob("*") if each.is_file())
            )
        case "read_file":
            text = (tree / given["path"]).read_text(encoding="utf-8")
            return "\n".join(f"{number:4} | {line}" for number, line in enumerate(text.splitlines(), 1))
        case "edit_file":
            file = tree / given["path"]
            text = file.read_text(encoding="utf-8")
            assert text.count(given["old"]) == 1
            file.write_text(text.replace(given["old"], given["new"]), encoding="utf-8")
        case "write_file":
            (tree / given["path"]).write_text(given["text"], encoding="utf-8")
        case _:
            return checked(tree)
    return "done"


async def driven(tree: Path, name: str, mode: str, *, most: int = 24) -> tuple[str, list[str]]:
    """Let the model of this mode work until it calls nothing more; its last words, and what it called."""
    text = mode.startswith("text")
    model = scripted(player_for(name, mode))
    turns = [Message.user("Make the tests pass.")]
    called: list[str] = []
    for _ in range(most):
        system = IN_WORDS if text else "You repair programs."
        reply: Response = await model(Request(tuple(turns), system=system, tools=() if text else TOOLS))
        turns.append(reply.message)
        calls = list(reply.tool_calls) or in_text(reply.text)
        if not calls:
            return reply.text, called
        for call in calls:
            called.append(call.name)
            result = done(tree, call.name, call.arguments)
            turns.append(Message.user(result) if text else Message.tool(call.id, result))
    raise AssertionError(f"no end after {most} turns: {called}")


def in_text(text: str) -> list[Any]:
    from tidyllm.models import ToolCall
    from tidyllm.testing.behaviours.heard import conversation

    heard = conversation(Request((Message.assistant(text),)))
    return [ToolCall(name=each.name, arguments=each.arguments) for each in heard if each.kind == "call"]


def repaired(tree: Path, name: str) -> bool:
    """Whether the files are those of the repair."""
    return all((tree / path).read_text("utf-8") == text for path, text in program(name).tree("fixed").items())


def mostly_proof(given: list[str], *everyday: str) -> list[ParameterSet]:
    """All of them as parameters; those that are not named run with the slow proofs."""
    return [pytest.param(one, marks=() if one in everyday else pytest.mark.proof) for one in given]


@pytest.mark.parametrize("name", mostly_proof(names(), "cart", "shipping", "tree"))
async def test_a_program_fails_and_passes_when_the_right_model_has_seen_why(
    name: str, tmp_path: Path
) -> None:
    tree = materialise(name, tmp_path / name)
    words, called = await driven(tree, name, "right")
    assert called[0] == called[-1] == "run_tests"  # it looks at the failure before it edits, and at the end
    assert called.count("run_tests") == 2
    assert "pass now" in words
    assert repaired(tree, name)


@pytest.mark.parametrize("name", ["orders", "roman"])
@pytest.mark.parametrize("mode", ["wrong_first", "text", "text_wrong_first"])
async def test_a_hasty_model_and_one_without_tools_get_there_as_well(
    name: str, mode: str, tmp_path: Path
) -> None:
    await gets_there(tmp_path, name, mode)


@pytest.mark.proof
@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("mode", ["wrong_first", "text", "text_wrong_first"])
async def test_every_program_is_repaired_in_every_way(name: str, mode: str, tmp_path: Path) -> None:
    await gets_there(tmp_path, name, mode)


async def gets_there(tmp_path: Path, name: str, mode: str) -> None:
    tree = materialise(name, tmp_path / name)
    words, called = await driven(tree, name, mode)
    if mode.endswith("wrong_first"):
        assert called.count("edit_file") + called.count("write_file") == 2 * len(program(name).fixes)
    assert "pass now" in words
    assert repaired(tree, name)


@pytest.mark.proof
@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("state", ["hasty", "fixed"])
def test_a_hasty_repair_does_not_help_and_the_true_one_does(name: str, state: str, tmp_path: Path) -> None:
    tree = materialise(name, tmp_path / name, state=state)
    assert verdict(checked(tree)) == ("passed" if state == "fixed" else "failed")


@pytest.mark.parametrize("mode", [*GOOD, *BAD])
async def test_every_model_answers_its_first_question_in_time(mode: str) -> None:
    if "stalling" in mode:
        pytest.skip("it says nothing, for ever")
    model = scripted(player_for("cart", mode))
    try:
        reply = await model(Request("Make the tests pass.", tools=TOOLS))
    except ModelError:
        assert mode.startswith(("busy", "overloaded", "dying", "garbled", "down", "html"))
    else:
        assert reply.usage.output_tokens is not None


def test_there_are_programs_enough_and_each_says_what_is_wrong() -> None:
    assert len(names()) >= 14
    assert all(program(name).title and program(name).fixes for name in names())
