"""Edits: exact, checked before they are written, and refused where something is protected."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sandbox.places import BROKEN, workspace
from tidyllm.errors import EditConflict, WorkspaceError
from tidyllm.sandbox import Limits


def test_a_text_is_replaced_only_where_it_is_unique(tmp_path: Path) -> None:
    with workspace(tmp_path, {"a.txt": "one\ntwo\none\n"}) as ws:
        change = ws.edit("a.txt", "two", "2")
        assert (change.op, change.path, ws.read("a.txt")) == ("edit", "a.txt", "one\n2\none\n")
        with pytest.raises(EditConflict, match=r"2 times \(lines 1, 3\)"):
            ws.edit("a.txt", "one", "1")
        with pytest.raises(EditConflict, match="line 2"):
            ws.edit("a.txt", "2\nthree", "x")


def test_new_files_bring_their_folders_and_old_ones_keep_their_mode(tmp_path: Path) -> None:
    with workspace(tmp_path, {"run.sh": "echo\n"}) as ws:
        (ws.root / "run.sh").chmod(0o755)
        ws.write("run.sh", "echo 2\n")
        ws.write("a/b/c.txt", "x")
        assert (ws.root / "run.sh").stat().st_mode & 0o777 == 0o755
        assert (ws.root / "a/b/c.txt").read_text() == "x"
        assert list(ws.root.glob(".tidyllm*")) == []


@pytest.mark.parametrize(
    ("data", "old", "new", "after"),
    [
        (b"a\r\nb\r\n", "a\nb", "a\nc", b"a\r\nc\r\n"),
        (b"a\r\nb\r\n", "a\r\nb", "a\r\nc", b"a\r\nc\r\n"),
        (b"a\r\nb\n", "b", "c", b"a\r\nc\n"),
        (b"\xef\xbb\xbfb", "b", "c", b"\xef\xbb\xbfc"),
        ("über".encode("latin-1"), "ber", "x", "üx".encode("latin-1")),
        ("über".encode("utf-16"), "ber", "x", "üx".encode("utf-16")),
        (b"no end", "end", "END", b"no END"),
    ],
)
def test_encoding_and_line_ends_stay(tmp_path: Path, data: bytes, old: str, new: str, after: bytes) -> None:
    with workspace(tmp_path, {}) as ws:
        (ws.root / "f.txt").write_bytes(data)
        ws.edit("f.txt", old, new)
        assert (ws.root / "f.txt").read_bytes() == after


def test_binary_files_and_large_ones_are_refused(tmp_path: Path) -> None:
    with workspace(tmp_path, {"big.txt": "x" * 2000}, limits=Limits(read_bytes=1000, write_bytes=1000)) as ws:
        (ws.root / "b.bin").write_bytes(b"\x00\x01\x02")
        for call in (
            lambda: ws.read("b.bin"),
            lambda: ws.edit("b.bin", "a", "b"),
            lambda: ws.read("big.txt"),
            lambda: ws.write("new.txt", "x" * 1001),
        ):
            with pytest.raises(WorkspaceError):
                call()


def test_python_that_does_not_parse_is_not_written(tmp_path: Path) -> None:
    with workspace(tmp_path) as ws:
        with pytest.raises(WorkspaceError, match=r"line 2: .*was never closed"):
            ws.edit("calc.py", "return a - b", "return (a")
        with pytest.raises(WorkspaceError, match="no valid Python"):
            ws.apply_diff("--- /dev/null\n+++ b/new.py\n@@ -0,0 +1 @@\n+def\n")
        assert (ws.root / "calc.py").read_text() == BROKEN["calc.py"]
        assert not (ws.root / "new.py").exists()
        assert ws.changes() == []


def test_a_diff_is_applied_whole_or_not_at_all(tmp_path: Path) -> None:
    with workspace(tmp_path, {"a.txt": "a\n", "b.txt": "b\n"}) as ws:
        good = "--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-a\n+A\n"
        with pytest.raises(EditConflict, match=r"b\.txt, hunk 1 does not fit"):
            ws.apply_diff(good + "--- a/b.txt\n+++ b/b.txt\n@@ -1 +1 @@\n-x\n+y\n")
        assert ws.read("a.txt") == "a\n"
        gone = "--- a/b.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-b\n"
        new = "--- /dev/null\n+++ b/sub/c.txt\n@@ -0,0 +1 @@\n+c\n"
        assert sorted(one.path for one in ws.apply_diff(good + gone + new)) == ["a.txt", "b.txt", "sub/c.txt"]
        assert ws.list() == ["a.txt", "sub/", "sub/c.txt"]


def test_files_and_folders_are_moved_and_deleted(tmp_path: Path) -> None:
    with workspace(tmp_path, {"a/x.txt": "x", "a/b/y.txt": "y"}) as ws:
        change = ws.move("a", "c/d")
        assert (change.op, change.path, change.source) == ("move", "c/d", "a")
        assert ws.list(depth=9) == ["c/", "c/d/", "c/d/b/", "c/d/b/y.txt", "c/d/x.txt"]
        with pytest.raises(EditConflict, match="exists already"):
            ws.move("c/d/x.txt", "c/d/b/y.txt")
        ws.delete("c")
        assert ws.list() == []
        with pytest.raises(WorkspaceError, match="no such file"):
            ws.delete("c")


PYPROJECT = '[project]\nname = "x"\n\n[tool.pytest.ini_options]\naddopts = "-q"\n'
SUITE = {
    **BROKEN,
    "conftest.py": "",
    "pyproject.toml": PYPROJECT,
    "tests/data.json": "{}",
    "golden.txt": "1\n",
}


def test_tests_and_their_configuration_cannot_be_changed(tmp_path: Path) -> None:
    with workspace(tmp_path, SUITE, protect=["golden.*"]) as ws:
        before = ws.tree_hash()
        attempts = (
            lambda: ws.write("tests/test_calc.py", "def test_add(): pass\n"),
            lambda: ws.edit("tests/test_calc.py", "== 3", "== -1"),
            lambda: ws.delete("tests/test_calc.py"),
            lambda: ws.delete("tests"),
            lambda: ws.move("tests", "old"),
            lambda: ws.move("tests/test_calc.py", "x.py"),
            lambda: ws.write("tests/data.json", "[]"),
            lambda: ws.write("conftest.py", "x = 1\n"),
            lambda: ws.write("tests/conftest.py", "x = 1\n"),
            lambda: ws.write("pytest.ini", "[pytest]\n"),
            lambda: ws.write("tox.ini", "[pytest]\n"),
            lambda: ws.write("setup.cfg", "[tool:pytest]\naddopts = -k nothing\n"),
            lambda: ws.edit("pyproject.toml", '"-q"', '"-k nothing"'),
            lambda: ws.delete("pyproject.toml"),
            lambda: ws.write("pytest.py", "print('1 passed')\n"),
            lambda: ws.write("_pytest/__init__.py", ""),
            lambda: ws.write("golden.txt", "2"),
            lambda: ws.write("Tests/Test_Calc.py", "def test(): pass\n"),
            lambda: ws.apply_diff(
                "diff --git a/tests/test_calc.py b/t.py\nrename from tests/test_calc.py\nrename to t.py\n"
            ),
        )
        for attempt in attempts:
            with pytest.raises(WorkspaceError, match="cannot be changed"):
                attempt()
        assert ws.tree_hash() == before
        assert ws.protected_changes() == []


@pytest.mark.parametrize(
    "path",
    [
        *(
            "packaging.py",
            "pygments/__init__.py",
            "iniconfig.py",
            "pluggy.py",
            "_pytest/x.py",
            "ast.py",
            "src/pluggy.so",
        ),
        *(
            "sitecustomize.py",
            "a/usercustomize.py",
            "tests/pygments.py",
            "tests/__init__.py",
            "a/b/conftest.py",
        ),
        "x-1.dist-info/entry_points.txt",
    ],
)
def test_nothing_new_may_stand_in_the_place_of_what_pytest_loads(tmp_path: Path, path: str) -> None:
    with workspace(tmp_path, SUITE) as ws:
        with pytest.raises(WorkspaceError, match="cannot be changed"):
            ws.write(path, "x = 1\n")
        (ws.root / path).parent.mkdir(parents=True, exist_ok=True)
        (ws.root / path).write_text("")
        assert ws.protected_changes() == [path]


@pytest.mark.parametrize(
    "path",
    [
        "app/packaging.py",
        "app/ast.py",
        "app/__init__.py",
        "packaging/deb.sh",
        "logging.yaml",
        "types.ts",
        "src/x.py",
    ],
)
def test_modules_of_those_names_elsewhere_are_the_programs_own(tmp_path: Path, path: str) -> None:
    with workspace(tmp_path, SUITE) as ws:
        ws.write(path, "")
        assert ws.protected_changes() == []


def test_what_is_not_protected_beside_it_can_be_changed(tmp_path: Path) -> None:
    with workspace(tmp_path, SUITE) as ws:
        ws.write("tests/test_more.py", "def test_more():\n    assert True\n")
        ws.edit("tests/test_more.py", "True", "1")
        ws.edit("pyproject.toml", '"x"', '"y"')
        assert ws.protected("tests/test_more.py") == ""
        assert "test that was there" in ws.protected("tests/test_calc.py")
    with workspace(tmp_path, {}) as again:  # the same run, after a restart: its own tests are still its own
        again.edit("tests/test_more.py", "assert 1", "assert 2")
    with (
        workspace(tmp_path, {}, run="another") as other,
        pytest.raises(WorkspaceError, match="cannot be changed"),
    ):
        other.edit("tests/test_more.py", "assert 2", "assert 3")


def test_someone_elses_change_of_a_test_is_told(tmp_path: Path) -> None:
    with workspace(tmp_path, SUITE) as ws:
        (ws.root / "tests" / "test_calc.py").write_text("")
        (ws.root / "pyproject.toml").write_text("[project]\n")
        assert ws.protected_changes() == ["pyproject.toml", "tests/test_calc.py"]


def test_a_key_makes_a_change_once(tmp_path: Path) -> None:
    with workspace(tmp_path, {"a.txt": "a\n"}) as ws:
        first = ws.edit("a.txt", "a", "aa", key="k")
        assert ws.edit("a.txt", "a", "aa", key="k") == first
        assert ws.read("a.txt") == "aa\n"
        assert len(ws.changes()) == 1
        with pytest.raises(EditConflict, match="another change"):
            ws.write("b.txt", "b", key="k")
        ws.undo("r")
        ws.edit("a.txt", "a", "aa", key="k")
        assert ws.read("a.txt") == "aa\n"
        (ws.root / "a.txt").write_text("else\n")
        with pytest.raises(EditConflict, match="someone else"):
            ws.edit("a.txt", "a", "aa", key="k")


def test_reading_listing_and_searching(tmp_path: Path) -> None:
    with workspace(tmp_path, {"a/b/c.txt": "1\n2\n3\n", ".venv/x.py": "two", "d.txt": "2.\n"}) as ws:
        assert ws.read("a/b/c.txt", start=2, lines=1) == "2\n"
        assert ws.list() == [".venv/", "a/", "a/b/", "d.txt"]
        assert [(one.path, one.line) for one in ws.search("2")] == [("a/b/c.txt", 2), ("d.txt", 1)]
        assert [one.path for one in ws.search(r"^2\.$", regex=True)] == ["d.txt"]
        with pytest.raises(WorkspaceError, match="no regular expression"):
            ws.search("(", regex=True)
