"""Specialists: each kind has its prompt, its tools and its type of result."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidyllm.agents.specialist import Analysis, CodeWork, Finding, Reasoning, Specialist
from tidyllm.errors import ConfigError
from tidyllm.sandbox import Workspace
from tidyllm.testing import Reply, call, scripted


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "calc.py").write_text("def add(a, b):\n    return a - b\n")
    return Workspace(tmp_path / "project", state=tmp_path / "state")


async def test_a_coder_changes_a_file_and_says_what_it_did(ws: Workspace) -> None:
    model = scripted(
        Reply(tool_calls=(call("read_file", path="calc.py"),)),
        Reply(tool_calls=(call("edit_file", path="calc.py", old="a - b", new="a + b"),)),
        Reply(tool_calls=(call("final_answer", summary="add adds", changed=["calc.py"]),)),
    )
    result = await Specialist("coding", model, workspace=ws)("add is wrong.")
    assert result.require() == CodeWork("add adds", ["calc.py"])
    assert (ws.root / "calc.py").read_text() == "def add(a, b):\n    return a + b\n"
    assert "You write code" in str(model.requests[0].system) + model.requests[0].turns[0].text


async def test_one_who_reasons_can_look_and_not_change(ws: Workspace) -> None:
    answer = call("final_answer", conclusion="It subtracts.", reasons=["line 2"], confidence=0.9)
    model = scripted(Reply(tool_calls=(answer,)))
    specialist = Specialist("reasoning", model, workspace=ws)
    assert specialist.toolset.names == ("list_files", "read_file", "search")
    assert (await specialist("Why?")).require() == Reasoning("It subtracts.", ["line 2"], 0.9)


async def test_one_who_analyses_gives_findings(ws: Workspace) -> None:
    finding = {"place": "calc.py:2", "what": "subtracts", "severity": "blocker"}
    model = scripted(Reply(tool_calls=(call("final_answer", summary="One bug.", findings=[finding]),)))
    specialist = Specialist("analysis", model, workspace=ws)
    assert "run_tests" in specialist.toolset.names
    assert "edit_file" not in specialist.toolset.names
    expected = Analysis("One bug.", [Finding("calc.py:2", "subtracts", "blocker")])
    assert (await specialist("Look.")).require() == expected


async def test_the_phase_and_own_words_are_in_the_prompt() -> None:
    specialist = Specialist(
        "coding", scripted("x"), phase="debugging", complexity="complex", instructions="Use tabs."
    )
    assert "Phase: debugging" in specialist.instructions
    assert specialist.instructions.endswith("Use tabs.")


def test_the_prompt_leaves_room_in_a_small_window() -> None:
    specialist = Specialist("coding", scripted("x"), phase="coding", context_tokens=2_000)
    assert len(specialist.instructions.encode()) <= 500


def test_a_kind_that_is_none_is_named() -> None:
    with pytest.raises(ConfigError, match="'cooking' is no kind of specialist"):
        Specialist("cooking", scripted("x"))
