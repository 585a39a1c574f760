"""Agents of ours against scripted models behind a real socket: who is right gets there, who is not is stopped.

The tools are plain functions on a folder; workspaces and teams have tests of their own.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import tidyllm
from tests.agents.programs import materialise, player_for, program
from tests.agents.test_programs import done, repaired
from tidyllm.agents.agent import Agent
from tidyllm.agents.agent_tool import AgentTool, tool
from tidyllm.agents.limits import AgentLimits
from tidyllm.agents.result import AgentResult
from tidyllm.testing import ModelServer


def tools_in(tree: Path) -> list[AgentTool]:
    @tool
    def list_files(path: str = ".") -> str:
        """The files of the project."""
        return done(tree, "list_files", {"path": path})

    @tool
    def read_file(path: str) -> str:
        """A file's text."""
        return done(tree, "read_file", {"path": path})

    @tool
    def edit_file(path: str, old: str, new: str) -> str:
        """Replace a text that is there once."""
        return done(tree, "edit_file", {"path": path, "old": old, "new": new})

    @tool
    def write_file(path: str, text: str) -> str:
        """Write a file."""
        return done(tree, "write_file", {"path": path, "text": text})

    @tool
    async def run_tests() -> str:
        """Run the tests."""
        return await asyncio.to_thread(done, tree, "run_tests", {})

    return [list_files, read_file, edit_file, write_file, run_tests]


async def played(
    tree: Path, name: str, mode: str, *, dialect: str = "openai", native: bool = True, seconds: float = 30
) -> tuple[AgentResult[str], int]:
    """How the agent ended, and how many requests reached the server."""
    async with ModelServer(player_for(name, mode), tools=native) as server:
        by_openai = dialect == "openai"
        url, key = (server.openai_url, "none") if by_openai else (server.url, None)
        model = tidyllm.model(f"{dialect}/any", base_url=url, api_key=key)
        limits = AgentLimits(turns=15, seconds=seconds)
        agent = Agent(model, tools_in(tree), "You repair programs.", native_tools=native, limits=limits)
        return await agent("Make the tests pass."), len(server.requests)


@pytest.mark.parametrize(
    ("name", "mode", "dialect", "native"),
    [
        ("orders", "right", "openai", True),
        pytest.param("orders", "wrong_first", "ollama", True, marks=pytest.mark.proof),
        pytest.param("roman", "right", "ollama", False, marks=pytest.mark.proof),
        ("cart", "wrong_first", "openai", False),
        ("cart", "malformed_once", "openai", True),
        pytest.param("cart", "slow", "ollama", True, marks=pytest.mark.proof),
    ],
)
async def test_who_is_right_in_the_end_gets_there(
    name: str, mode: str, dialect: str, native: bool, tmp_path: Path
) -> None:
    tree = materialise(name, tmp_path / name)
    result, _ = await played(tree, name, mode, dialect=dialect, native=native)
    assert result.stop == "done"
    assert repaired(tree, name)


@pytest.mark.parametrize(
    ("mode", "stops"),
    [
        ("looping", {"repeated"}),
        ("ping_pong", {"ping_pong"}),
        ("wandering", {"turns", "no_progress"}),
        ("unknown_tool", {"malformed"}),
        ("malformed_cut", {"malformed"}),
        ("malformed_text_garbled", {"malformed"}),
        ("empty", {"empty"}),
        ("dying", {"model_error"}),
        ("busy", {"model_error"}),
        ("garbled", {"model_error"}),
        ("stalling", {"deadline"}),
        ("claiming", {"done"}),  # an agent alone believes it: only a team runs the check itself
    ],
)
async def test_who_is_not_is_stopped_within_its_caps(mode: str, stops: set[str], tmp_path: Path) -> None:
    tree = materialise("cart", tmp_path / "cart")
    result, requests = await played(tree, "cart", mode, seconds=2 if mode == "stalling" else 30)
    assert result.stop in stops
    assert 1 <= requests <= 15
    assert {path: (tree / path).read_text("utf-8") for path in program("cart").files} == program(
        "cart"
    ).tree()
