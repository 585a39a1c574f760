"""The tools of a workspace: what they do, what a refusal says, and that a repeated call is made once."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tidyllm.agents import Call, Toolset, workspace_tools
from tidyllm.core import Context
from tidyllm.sandbox import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Generator[Workspace]:
    root = tmp_path / "project"
    (root / "src").mkdir(parents=True)
    (root / "src" / "a.py").write_text("x = 1\ny = 2\n")
    with Workspace(root, state=tmp_path / "state", run="r1") as made:
        yield made


@pytest.fixture
def tools(workspace: Workspace) -> Toolset:
    return workspace_tools(workspace)


async def call(tools: Toolset, name: str, ctx: Context | None = None, **arguments: Any) -> tuple[bool, str]:
    result = await tools.call(Call("1", name, arguments), ctx or Context.new())
    return result.ok, result.text


def test_there_are_ten_each_described_with_all_its_parameters(tools: Toolset) -> None:
    assert tools.names == (
        "list_files", "read_file", "search", "write_file", "edit_file", "apply_diff", "move_file", "delete_file",
        "run_tests", "run_command",
    )  # fmt: skip
    for one in tools:
        assert len(one.description) > 20
        assert all(len(shown["description"]) > 10 for shown in one.schema["properties"].values())
    assert [one.name for one in tools if one.reads] == ["list_files", "read_file", "search"]
    assert [one.name for one in tools if one.in_doubt == "ask"] == ["run_command"]


async def test_looking(tools: Toolset) -> None:
    assert await call(tools, "list_files") == (True, "src/\nsrc/a.py")
    assert await call(tools, "read_file", path="src/a.py") == (True, "x = 1\ny = 2\n")
    assert await call(tools, "read_file", path="src/a.py", start="2", lines=1) == (True, "y = 2\n")
    assert await call(tools, "search", pattern="y =") == (True, "src/a.py:2: y = 2")
    assert await call(tools, "search", pattern="nowhere") == (True, "Nothing found.")


async def test_changing(tools: Toolset, workspace: Workspace) -> None:
    assert await call(tools, "write_file", path="b/c.py", text="z = 3\n") == (True, "write: b/c.py")
    assert await call(tools, "edit_file", path="b/c.py", old="3", new="4") == (True, "edit: b/c.py")
    diff = "--- a/src/a.py\n+++ b/src/a.py\n@@ -1,2 +1,2 @@\n x = 1\n-y = 2\n+y = 5\n"
    assert await call(tools, "apply_diff", diff=diff) == (True, "diff: src/a.py")
    assert (await call(tools, "move_file", source="b/c.py", target="c.py"))[0]
    assert (await call(tools, "delete_file", path="src/a.py"))[0]
    assert (workspace.root / "c.py").read_text() == "z = 4\n"
    assert not (workspace.root / "src" / "a.py").exists()


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("read_file", {"path": "../secret"}, "OutsideWorkspace"),
        ("read_file", {"path": "/etc/passwd"}, "OutsideWorkspace"),
        ("read_file", {"path": "missing.py"}, "WorkspaceError"),
        ("write_file", {"path": "bad.py", "text": "def ("}, "WorkspaceError"),
        ("edit_file", {"path": "src/a.py", "old": "nowhere", "new": ""}, "EditConflict"),
        ("edit_file", {"path": "src/a.py", "old": " = ", "new": ""}, "EditConflict"),
        ("apply_diff", {"diff": "nonsense"}, "EditConflict"),
        ("run_command", {"argv": ["rm", "-rf", "/"]}, "CommandRefused"),
        ("run_command", {"argv": []}, "CommandRefused"),
        ("run_tests", {"paths": ["--rootdir=/"]}, "BadToolCall"),
        ("run_tests", {"paths": ["../x.py"]}, "OutsideWorkspace"),
        ("write_file", {"path": "a.py"}, "BadToolCall"),
    ],
)
async def test_refusals_are_messages(
    tools: Toolset, name: str, arguments: dict[str, Any], error: str
) -> None:
    result = await tools.call(Call("1", name, arguments), Context.new())
    assert (result.ok, result.error) == (False, error)
    assert "Traceback" not in result.text
    assert len(result.text) > 20


async def test_a_call_with_the_same_key_at_the_same_place_is_made_once(
    tools: Toolset, workspace: Workspace
) -> None:
    for _ in range(2):
        said = await call(
            tools, "edit_file", Context.new(idempotency_key="k"), path="src/a.py", old="1", new="11"
        )
        assert said == (True, "edit: src/a.py")
    assert (workspace.root / "src" / "a.py").read_text() == "x = 11\ny = 2\n"


async def test_two_calls_of_one_run_are_two_though_the_run_has_one_key(
    tools: Toolset, workspace: Workspace
) -> None:
    ctx = Context.new(idempotency_key="of the whole run")
    assert (await call(tools, "edit_file", ctx, path="src/a.py", old="1", new="11"))[0]
    assert (await call(tools, "edit_file", ctx, path="src/a.py", old="2", new="22"))[0]
    assert (workspace.root / "src" / "a.py").read_text() == "x = 11\ny = 22\n"


async def test_tests_run_and_tell_how_they_ended(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (root / "test_a.py").write_text("def test_a():\n    assert 1 == 2\n")
    with Workspace(root, state=tmp_path / "state", unsandboxed=True) as workspace:
        ok, text = await call(workspace_tools(workspace), "run_tests", paths=["test_a.py"])
    assert ok
    assert text.startswith("$ python -m pytest -q test_a.py\n[exit code 1,")
    assert "assert 1 == 2" in text
