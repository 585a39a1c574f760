"""What the codemods write runs: each `after` of their pairs that names `tidyllm.dspy` is executed, offline."""

from __future__ import annotations

import os
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.dspy.both import dspy
from tests.shared_data import ROOT

PAIRS = ROOT / "tests" / "migrate" / "pairs"
FILES = sorted(PAIRS.glob("dspy_*/*.after.py.txt"))
STAYS = (
    "from tidyllm.dspy_",
    "from dspy_",
)  # a part that could not be converted, whose module is somebody's own
NEEDS_A_CLIENT = ("dspy.AzureOpenAI", "http://x")  # or a server of somebody's own
ELSEWHERE: dict[str, Any] = {"flag": True, "Sig": "question -> answer"}
"""What pairs name that stands in another file of theirs."""


CALL = '(question="why?")'  # of a model at a gateway, which does not run here


def found(query: str, k: int) -> list[str]:
    return [query] * k


def _can_run(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    return "tidyllm.dspy import" in text and not any(one in text for one in (*STAYS, *NEEDS_A_CLIENT))


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if _can_run(path)],
    ids=lambda path: path.parent.name + "-" + path.name.partition(".")[0],
)
def test_generated_code_runs(path: Path) -> None:
    code = path.read_text(encoding="utf-8").replace(CALL, "")
    os.environ["OPENAI_API_KEY"] = os.environ["ANTHROPIC_API_KEY"] = "k"
    names: dict[str, Any] = {"__name__": "__main__", **ELSEWHERE}
    try:
        with warnings.catch_warnings(), dspy.context(rm=found):
            warnings.simplefilter("ignore", DeprecationWarning)
            exec(compile(code, str(path), "exec"), names)
            _call(names)
    finally:
        del os.environ["OPENAI_API_KEY"], os.environ["ANTHROPIC_API_KEY"]


def _call(names: dict[str, Any]) -> None:
    """Functions without arguments are what a file defines its objects in."""
    for value in list(names.values()):
        if isinstance(value, types.FunctionType) and value.__code__.co_argcount == 0:
            value()


def test_there_is_something_to_run() -> None:
    assert len([path for path in FILES if _can_run(path)]) >= 20
    assert "litellm" not in sys.modules
