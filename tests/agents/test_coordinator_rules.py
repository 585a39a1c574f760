"""Which mode counts, and which check is believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.agents.teams import done, idle, project, team_of, worked
from tidyllm.agents import chosen_mode
from tidyllm.agents.testing_rules import doubts
from tidyllm.errors import ConfigError
from tidyllm.models import Request
from tidyllm.testing import Reply, call


def test_the_mode_is_what_the_flag_says_then_the_environment_then_the_file() -> None:
    on, off = {"USE_ORCHESTRATION": "true"}, {"USE_ORCHESTRATION": "0"}
    assert chosen_mode() == "orchestrated"
    assert chosen_mode(False, on, True) == "traditional"
    assert chosen_mode(None, off, True) == "traditional"
    assert chosen_mode(None, {"USE_ORCHESTRATION": ""}, False) == "traditional"
    assert chosen_mode("traditional", on) == "traditional"
    wrong: list[tuple[Any, dict[str, str], Any]] = [
        (None, {"USE_ORCHESTRATION": "maybe"}, None),
        (True, {}, "perhaps"),
        ("x", {}, None),
    ]
    for nonsense in wrong:
        with pytest.raises(ConfigError, match="does not say whether"):
            chosen_mode(*nonsense)


EARLIER = "FF.\n2 failed, 1 passed in 0.02s"


@pytest.mark.parametrize(
    ("output", "doubt"),
    [
        ("...  [100%]\n3 passed in 0.01s", ""),
        ("....  [100%]\n4 passed, 1 skipped in 0.01s", ""),
        ("...  [100%]", ""),
        ("", "ended before its end"),
        ("cart.py says 3 passed", "ended before its end"),
        ("sss  [100%]\n3 skipped in 0.01s", "no test passed"),
        ("ss.  [100%]\n1 passed, 2 skipped in 0.01s", "3 ran"),
        ("xx.  [100%]\n1 passed, 2 xfailed in 0.01s", "3 ran"),
    ],
)
def test_exit_code_0_of_pytest_is_believed_only_if_all_tests_ran(output: str, doubt: str) -> None:
    found = doubts(["python", "-m", "pytest", "-q"], EARLIER, output)
    assert (doubt in found) if doubt else not found
    assert doubts(["python", "check.py"], None, output) == ""


async def test_a_program_that_ends_pytest_from_inside_has_not_passed(tmp_path: Path) -> None:
    tree = project(tmp_path)
    (tree / "lib.py").write_text("def f():\n    return 1\n")
    (tree / "test_lib.py").write_text("import lib\n\n\ndef test_f():\n    assert lib.f() == 2\n")

    def coding(request: Request) -> Reply:
        if request.turns[-1].role == "tool":
            return done(summary="All pass.")
        ends = call("write_file", path="lib.py", text="import os\n\nos._exit(0)\n")
        return Reply(tool_calls=(ends,))

    check = (
        "python",
        "-m",
        "pytest",
        "-q",
        "--disable-plugin-autoload",
        "-p",
        "no:cacheprovider",
        "test_lib.py",
    )
    result = await worked(tmp_path, team_of(coding=coding, debugging=idle), check=check)
    assert (result.stop, result.exit_code, result.checked) == ("tests_spoiled", 1, False)
    assert "not believed" in result.detail
    assert "not believed" in result.check_output
