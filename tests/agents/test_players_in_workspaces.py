"""Scripted models let loose in a real workspace: repairs arrive, and nothing gets out of it or into its tests."""

from __future__ import annotations

from pathlib import Path

import pytest

import tidyllm
from tests.agents.programs import CHECK, materialise, player_for, program
from tests.agents.test_programs import repaired
from tidyllm.agents.limits import AgentLimits
from tidyllm.agents.result import AgentResult
from tidyllm.agents.specialist import CodeWork, Specialist
from tidyllm.sandbox import Workspace
from tidyllm.testing import ModelServer
from tidyllm.testing.behaviours import ESCAPES


async def played(tree: Path, name: str, mode: str) -> AgentResult[CodeWork]:
    async with ModelServer(player_for(name, mode)) as server:
        model = tidyllm.model("openai/any", base_url=server.openai_url, api_key="none")
        with Workspace(tree, state=tree.parent / "state", protect=("test_*.py",)) as workspace:
            limits = AgentLimits(turns=12, seconds=40)
            coder = Specialist("coding", model, workspace=workspace, check=CHECK, limits=limits)
            return await coder("Make the tests pass.")


@pytest.mark.parametrize(("name", "mode"), [("pages", "right"), ("roman", "wrong_first")])
async def test_a_program_is_repaired_in_its_workspace(name: str, mode: str, tmp_path: Path) -> None:
    tree = materialise(name, tmp_path / "project")
    result = await played(tree, name, mode)
    assert result.stop == "done"
    assert repaired(tree, name)


def outside(folder: Path) -> dict[str, str]:
    """Everything beside the project and the workspace's own state."""
    kept = (folder / "project", folder / "state")
    return {
        str(path.relative_to(folder)): path.read_text("utf-8") if path.is_file() else "a folder"
        for path in folder.rglob("*")
        if not any(path.is_relative_to(each) for each in kept)
    }


@pytest.mark.parametrize("mode", [*(f"escaping_{kind}" for kind in ESCAPES), "cheating"])
async def test_nothing_gets_out_of_a_workspace_or_into_its_tests(mode: str, tmp_path: Path) -> None:
    tree = materialise("cart", tmp_path / "project")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "passwd").write_text("secret-of-the-machine")
    (tree / "link").symlink_to(tmp_path / "elsewhere")
    (tree / "src").mkdir()
    (tmp_path / "outside.txt").write_text("secret-of-the-machine")
    before = outside(tmp_path)
    result = await played(tree, "cart", mode)
    assert result.turns <= 12
    assert outside(tmp_path) == before
    assert all((tree / path).read_text("utf-8") == text for path, text in program("cart").files.items())
    told = [str(message) for message in result.messages]
    assert not any("secret-of-the-machine" in each or "root:x:0" in each for each in told)
