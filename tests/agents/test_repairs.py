"""Teams of ours repair broken programs end to end: scripted models behind a real socket, real pytest in the sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tidyllm
from tests.agents.programs import BAD, GOOD, materialise, names, player_for, program
from tests.agents.test_programs import repaired
from tidyllm.agents import AgentLimits, Coordinator, ProjectResult
from tidyllm.agents.mode import Mode
from tidyllm.resilience import Retry
from tidyllm.sandbox import Workspace
from tidyllm.testing import ModelServer

MODES: tuple[Mode, ...] = ("orchestrated", "traditional")


async def worked(
    folder: Path, name: str, player: str, mode: Mode, *, dialect: str = "openai", **options: Any
) -> ProjectResult:
    """How a team with that player ended. The workspace is `folder / "project"`."""
    async with ModelServer(player_for(name, player)) as server:
        by_openai = dialect == "openai"
        url, key = (server.openai_url, "none") if by_openai else (server.url, None)
        model = tidyllm.model(f"{dialect}/any", base_url=url, api_key=key)
        limits = options.pop("limits", AgentLimits(turns=150, seconds=120))
        options.setdefault("native_tools", not player.startswith("text"))
        with Workspace(folder / "project", state=folder / "state", run="team") as workspace:
            team = Coordinator(
                Retry(model, attempts=3, base=0.0),
                workspace,
                mode=mode,
                check=program(name).check,
                limits=limits,
                **options,
            )
            return await team("Make the tests pass.")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("name", "player"), [("cart", "right"), ("shipping", "wrong_first")])
async def test_a_program_is_repaired(name: str, player: str, mode: Mode, tmp_path: Path) -> None:
    tree = materialise(name, tmp_path / "project")
    result = await worked(tmp_path, name, player, mode)
    assert (result.stop, result.exit_code, result.checked) == ("finished", 0, True)
    assert repaired(tree, name)
    assert set(result.changes) == {fix.file for fix in program(name).fixes}
    assert {task.status for task in result.state.tasks} == {"done"}


@pytest.mark.proof
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("player", ["right", "wrong_first", "text"])
@pytest.mark.parametrize("name", names())
async def test_every_program_is_repaired(name: str, player: str, mode: Mode, tmp_path: Path) -> None:
    tree = materialise(name, tmp_path / "project")
    dialect = "ollama" if player == "text" else "openai"
    result = await worked(tmp_path, name, player, mode, dialect=dialect)
    assert (result.stop, result.exit_code) == ("finished", 0)
    assert repaired(tree, name)


@pytest.mark.proof
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("player", [*GOOD, "text_wrong_first"])
async def test_models_with_faults_get_there(player: str, mode: Mode, tmp_path: Path) -> None:
    tree = materialise("cart", tmp_path / "project")
    result = await worked(tmp_path, "cart", player, mode)
    assert (result.stop, result.exit_code) == ("finished", 0)
    assert repaired(tree, "cart")


ENDS = {
    "looping": {"repeated"},
    "looping_tests": {"repeated"},
    "ping_pong": {"ping_pong"},
    "ping_pong_tests": {"ping_pong"},
    "wandering": {"no_progress"},
    "prose": {"malformed"},
    "contradicting": {"malformed"},
    "claiming": {"no_progress"},
    "empty": {"empty"},
    "empty_everywhere": {"empty"},
    "huge": {"malformed"},
    "unknown_tool": {"malformed"},
    "cheating": {"no_progress"},
    "stalling": {"deadline"},
    "dying": {"model_error"},
    "busy": {"model_error"},
    "down": {"model_error"},
    "garbled": {"model_error"},
    "html": {"model_error"},
}
"""How teams of these end. Broken calls are `malformed`, or `repeated` where they can be read but never run."""


async def ends_well(folder: Path, player: str, mode: Mode) -> None:
    """The team ends with the right reason, within its caps, and leaves the tree as it was."""
    tree = materialise("cart", folder / "project")
    (folder / "elsewhere").mkdir()
    (tree / "link").symlink_to(folder / "elsewhere")
    limits = AgentLimits(turns=60, tool_calls=100, seconds=3 if player == "stalling" else 120)
    result = await worked(folder, "cart", player, mode, limits=limits)
    wanted = ENDS.get(player, {"repeated"} if player.startswith("escaping") else {"malformed", "repeated"})
    assert result.stop in wanted, result.detail
    assert (result.exit_code, result.checked, result.spoiled) == (1, False, [])
    assert result.turns <= 60
    assert result.tool_calls <= 100
    assert all((tree / path).read_text("utf-8") == text for path, text in program("cart").files.items())
    assert list((folder / "elsewhere").iterdir()) == []
    assert not (folder / "escaped.txt").exists()


@pytest.mark.parametrize("player", ["contradicting", "cheating", "stalling"])
async def test_a_bad_model_is_stopped(player: str, tmp_path: Path) -> None:
    await ends_well(tmp_path, player, "orchestrated")


@pytest.mark.proof
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("player", list(BAD))
async def test_every_bad_model_is_stopped(player: str, mode: Mode, tmp_path: Path) -> None:
    await ends_well(tmp_path, player, mode)
