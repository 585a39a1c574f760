"""`tidyllm generate` from outside: what is printed has been run."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tests.cli.command import Ended, run
from tidyllm.models import Request
from tidyllm.testing import ModelServer, Reply
from tidyllm.testing.behaviours.heard import conversation
from tidyllm.testing.behaviours.roles import role_answer

WRONG = "def double(n: int) -> int:\n    return n + n + 1\n"
RIGHT = "def double(n: int) -> int:\n    return 2 * n\n"
KIND = 'def double(n: int) -> int:\n    """Twice the number."""\n    return 2 * n\n'
TESTS = "from MODULE import double\n\n\ndef test_it_doubles():\n    assert double(3) == 6\n"


def writer(request: Request) -> Reply:
    """Wrong at first, right when it sees what fails, with a docstring when a reviewer asks for one."""
    told = "\n".join(each.text for each in conversation(request))
    module = told.partition("module is called ")[2].partition(".")[0]
    code = RIGHT if "AssertionError" in told else KIND if "A reviewer found" in told else WRONG
    finding = {"place": "double", "what": "no docstring", "severity": "major", "advice": ""}
    words = {"code": code, "tests": TESTS.replace("MODULE", module), "findings": [finding]}
    return role_answer(request, words)


async def generated(folder: Path, server: ModelServer, *more: str) -> Ended:
    line = ("generate", "double a number", "--model", "ollama/any", *more)
    return await run(folder, *line, OLLAMA_HOST=server.url, XDG_DATA_HOME=str(folder / "data"))


async def test_a_function_that_fails_its_tests_is_written_again(tmp_path: Path) -> None:
    async with ModelServer(writer) as server:
        ended = await generated(tmp_path, server)
        assert (ended.status, len(server.requests)) == (0, 2), ended.err
    assert RIGHT in ended.out
    assert "from solution import double" in ended.out
    assert "the tests pass · 2 written" in ended.err
    assert list(tmp_path.iterdir()) == []


async def test_a_finding_that_matters_leads_to_a_revision(tmp_path: Path) -> None:
    async with ModelServer(writer) as server:
        ended = await generated(tmp_path, server, "--review", "--json", "--out", "numbers_of.py")
    assert ended.status == 0, ended.err
    told = msgspec.json.decode(ended.out)
    assert (told["passed"], told["rounds"], told["findings"][0]["what"]) == (True, 3, "no docstring")
    assert (tmp_path / "numbers_of.py").read_text() == KIND
    assert (tmp_path / "test_numbers_of.py").read_text() == TESTS.replace("MODULE", "numbers_of")


async def test_what_never_passes_is_shown_with_status_1(tmp_path: Path) -> None:
    words = {"code": WRONG, "tests": TESTS.replace("MODULE", "solution")}
    async with ModelServer(lambda request: role_answer(request, words)) as server:
        ended = await generated(tmp_path, server)
    assert (ended.status, WRONG in ended.out, "the tests fail" in ended.err) == (1, True, True)


async def test_no_code_and_no_place_for_it_are_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "there.py").write_text("")
    async with ModelServer(lambda _: "I would rather not.") as server:
        cases = {("--out", "there.py"): 2, ("--out", "a-b.py"): 2, ("--out", "no/where.py"): 2, (): 1}
        for more, status in cases.items():
            ended = await generated(tmp_path, server, *more)
            assert (ended.status, ended.traceback, ended.out) == (status, False, ""), ended.err
