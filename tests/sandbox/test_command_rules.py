"""Which commands may run, told from their words alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sandbox.places import BROKEN, fill
from tidyllm.errors import CommandRefused
from tidyllm.sandbox.commands import DEFAULT_COMMANDS, Commands
from tidyllm.sandbox.paths import Tree

MORE = (
    *DEFAULT_COMMANDS,
    "bash",
    "sh",
    "perl",
    "node",
    "find",
    "make",
    "env",
    "xargs",
    "sed",
    "awk",
    "python3.11",
)

REFUSED = [
    ["python", "-c", "print(1)"],
    ["python3", "-c", "print(1)"],
    ["python3.11", "-cprint(1)"],
    ["python", "-Ic", "print(1)"],
    ["python", "-IBc", "print(1)"],
    ["python", "-W", "ignore", "-c", "print(1)"],
    ["python", "-Xdev", "-c", "print(1)"],
    ["python", "-"],
    ["python"],
    ["python", "-i"],
    ["python", "-u"],
    ["python", "-X", "pycache_prefix=/tmp/x", "calc.py"],
    ["python", "-m", "timeit", "import os"],
    ["python", "-mtimeit", "import os"],
    ["python", "-m", "pdb", "-c", "!print(1)"],
    ["python", "-m", "code"],
    ["python", "-m", "runpy", "x"],
    ["python", "-m", "http.server"],
    ["python", "-m", "pip", "install", "x"],
    ["python", "-m"],
    ["python", "-m", "../evil"],
    ["python", "../evil.py"],
    ["python", "/etc/passwd"],
    ["python", "/dev/stdin"],
    ["python", "/proc/self/fd/0"],
    ["python", "missing.py"],
    ["python", "tests"],
    ["python", "-m", "pytest", "-p", "evil"],
    ["coverage", "run", "-m", "timeit", "1"],
    ["coverage", "run", "../evil.py"],
    ["pytest", "-p", "evil"],
    ["pytest", "-pevil"],
    ["pytest", "-c", "/etc/passwd"],
    ["pytest", "-c/etc/passwd"],
    ["pytest", "--rootdir=/"],
    ["pytest", "--rootdir", "/etc"],
    ["pytest", "--junitxml=/tmp/x.xml"],
    ["pytest", "--basetemp=../x"],
    ["pytest", "-o", "cache_dir=/tmp"],
    ["pytest", "@/etc/passwd"],
    ["pytest", "../other/test_x.py::test_y"],
    ["pytest", "--pdb"],
    ["cat", "/etc/passwd"],
    ["cat", "../secret"],
    ["cat", "~/.ssh/id_rsa"],
    ["cat", "out-link"],
    ["grep", "-r", "key", "/root"],
    ["diff", "--from-file=/etc/passwd", "calc.py"],
    ["sort", "--compress-program=sh", "calc.py"],
    ["sort", "--comp", "sh", "calc.py"],
    ["git", "-c", "alias.x=!sh", "x"],
    ["git", "-C", "/", "status"],
    ["git", "--git-dir=/x", "log"],
    ["git", "--exec-path=.", "log"],
    ["git", "-p", "log"],
    ["git", "commit", "-m", "x"],
    ["git", "config", "core.pager", "sh"],
    ["git", "diff", "--ext-diff"],
    ["git", "diff", "--ext"],
    ["git", "diff", "--output=x"],
    ["git", "log", "--outp", "x"],
    ["git", "diff", "--no-index", "/etc/passwd", "calc.py"],
    ["git", "grep", "-Osh", "x"],
    ["git", "grep", "--open-files-in-pager=sh", "x"],
    ["git", "show", "--textconv"],
    ["git"],
    ["bash", "-c", "ls"],
    ["bash", "-lc", "ls"],
    ["bash", "-o", "pipefail", "-c", "ls"],
    ["bash", "--rcfile", "calc.py", "-i"],
    ["sh", "-ec", "ls"],
    ["sh"],
    ["sh", "-s"],
    ["perl", "-e", "1"],
    ["perl", "-we1"],
    ["perl", "-MO=x", "calc.py"],
    ["node", "-e", "1"],
    ["node", "-pe", "1"],
    ["node", "--eval=1"],
    ["node", "--ev", "1"],
    ["node", "--import", "data:text/javascript,1"],
    ["node", "-"],
    ["awk", "BEGIN{system(1)}"],
    ["find", ".", "-exec", "sh", ";"],
    ["find", ".", "-delete"],
    ["find", ".", "-fprintf", "x", "y"],
    ["make", "--eval=x"],
    ["env", "python", "-c", "1"],
    ["xargs", "sh"],
    ["sed", "-n", "1e ls"],
    ["rm", "-rf", "."],
    ["./evil.sh"],
    ["/bin/sh"],
    ["../python"],
    ["python\0"],
    [""],
    [],
]


@pytest.fixture
def rules(tmp_path: Path) -> Commands:
    """Rules in a small tree, with more programs allowed than by default."""
    (tmp_path / "tree").mkdir()
    fill(tmp_path / "tree", BROKEN)
    (tmp_path / "secret").write_text("s")
    (tmp_path / "tree" / "out-link").symlink_to(tmp_path / "secret")
    return Commands(Tree(tmp_path / "tree"), MORE)


@pytest.mark.parametrize("argv", REFUSED, ids=repr)
def test_a_command_is_refused(rules: Commands, argv: list[str]) -> None:
    with pytest.raises(CommandRefused):
        rules.check(argv)


def test_a_line_for_a_shell_is_refused(rules: Commands) -> None:
    with pytest.raises(CommandRefused, match="list of words"):
        rules.check("pytest -q; rm -rf /")


TAKEN = [
    ["python", "calc.py"],
    ["python", "-u", "calc.py", "-c", "1"],
    ["python", "-W", "error", "-X", "dev", "calc.py"],
    ["python", "-m", "pytest", "-q", "tests/test_calc.py::test_add[a/../b]"],
    ["python", "-m", "calc"],
    ["python", "-m", "unittest"],
    ["python", "--version"],
    ["pytest", "-q", "-p", "no:cacheprovider", "-k", "add and not /x"],
    ["coverage", "run", "--source", "calc", "-m", "pytest"],
    ["git", "diff", "HEAD~1..HEAD"],
    ["git", "--no-pager", "log", "--oneline"],
    ["grep", "-rn", "/api/v1", "."],
    ["ls", "-la", "tests"],
    ["bash", "calc.py"],
]


@pytest.mark.parametrize("argv", TAKEN, ids=repr)
def test_a_command_is_taken(rules: Commands, argv: list[str]) -> None:
    assert rules.check(argv).argv == tuple(argv)


def test_a_program_that_is_not_listed_is_refused_with_the_list(tmp_path: Path) -> None:
    with pytest.raises(CommandRefused, match="pytest"):
        Commands(Tree(tmp_path), ("pytest",)).check(["python", "x.py"])
