"""Where its owner allows it, agents may change the tests that were there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sandbox.places import BROKEN, fill
from tidyllm.errors import WorkspaceError
from tidyllm.sandbox import Workspace


async def test_tests_and_their_configuration_may_be_changed_when_that_is_allowed(tmp_path: Path) -> None:
    files = {**BROKEN, "conftest.py": "", "pyproject.toml": "", "data/prices.csv": "1\n"}
    tree = fill(tmp_path / "tree", files)
    with Workspace(tree, state=tmp_path / "state", run="r", protect=["data"], allow_tests=True) as ws:
        ws.write("tests/test_calc.py", "def test_nothing():\n    pass\n")
        ws.write("conftest.py", "import sys\n")
        ws.write("pyproject.toml", "[tool.pytest.ini_options]\naddopts = '-q'\n")
        with pytest.raises(WorkspaceError, match="protected by 'data'"):
            ws.write("data/prices.csv", "2\n")
        ended = await ws.run(["python", "-m", "pytest", "-q", "-p", "no:cacheprovider"])
        assert (ended.exit_code, ended.restored) == (0, ())
        assert ws.protected_changes() == []
        ws.undo("r")
    assert {name: (tree / name).read_text() for name in files} == files
