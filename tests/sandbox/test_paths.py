# ruff: noqa: RUF001 - such letters are the point
"""No path leads out of the workspace, however it is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sandbox.places import workspace
from tidyllm.errors import EditConflict, OutsideWorkspace, WorkspaceError
from tidyllm.sandbox.paths import Tree

ESCAPES = {
    "the parent": "..",
    "a file of the parent": "../secret.txt",
    "down and up": "tests/../../secret.txt",
    "many up": "a/" + "../" * 40 + "etc/passwd",
    "an absolute path": "/etc/passwd",
    "an absolute path with blanks in between": "//etc///passwd",
    "a home": "~/.ssh/id_rsa",
    "a user's home": "~root/.bashrc",
    "nothing": "",
    "a NUL": "calc.py\0.txt",
    "a line break": "calc.py\n",
    "backslashes": "..\\..\\etc\\passwd",
    "no Unicode": "\udc80x",
    "a very long path": "a/" * 4000,
    "a link to a file outside": "file-link",
    "a link to a folder outside": "folder-link/secret.txt",
    "a link in the middle": "tests/deep/link/secret.txt",
    "a chain of links": "chain",
    "an absolute link to the root": "root-link/etc/passwd",
    "a new file below a link": "folder-link/new.txt",
    "up behind a link": "folder-link/../secret.txt",
    "git's configuration": ".git/config",
    "git's hooks": ".git/hooks/pre-commit",
    "git in capitals": ".GIT/config",
    "git with a dot": ".git./config",
    "git with a blank": ".git /config",
    "git's short name": "git~1/config",
    "git with an invisible sign": ".g\u200cit/config",
    "git in wide letters": "．ｇｉｔ/config",
    "git of a folder below": "tests/.git/config",
    "the process's own root": "/proc/self/root/etc/passwd",
    "the process's own folder": "/proc/self/cwd/../secret.txt",
}


def traps(tmp_path: Path) -> None:
    """Links that lead out of the tree, and what they lead to."""
    (tmp_path / "secret.txt").write_text("secret")
    tree = tmp_path / "tree"
    (tree / "tests" / "deep").mkdir(parents=True, exist_ok=True)
    (tree / ".git").mkdir()
    (tree / ".git" / "config").write_text("[core]\n")
    (tree / "file-link").symlink_to(tmp_path / "secret.txt")
    (tree / "folder-link").symlink_to(tmp_path)
    (tree / "tests" / "deep" / "link").symlink_to("../../..")
    (tree / "chain").symlink_to("file-link")
    (tree / "root-link").symlink_to("/")


@pytest.mark.parametrize("path", ESCAPES.values(), ids=ESCAPES.keys())
def test_no_call_takes_a_path_that_leads_out(tmp_path: Path, path: str) -> None:
    with workspace(tmp_path) as ws:
        traps(tmp_path)
        calls = (
            lambda: ws.resolve(path),
            lambda: ws.read(path),
            lambda: ws.write(path, "x"),
            lambda: ws.edit(path, "secret", "x"),
            lambda: ws.list(path),
            lambda: ws.search("x", path),
            lambda: ws.move("calc.py", path) if "link" not in path and path != "chain" else ws.read(path),
            lambda: ws.apply_diff(f"--- /dev/null\n+++ {path}\n@@ -0,0 +1 @@\n+x\n"),
        )
        for call in calls:
            with pytest.raises(WorkspaceError) as caught:
                call()
            assert isinstance(caught.value, (OutsideWorkspace, EditConflict))
        assert (tmp_path / "secret.txt").read_text() == "secret"
        assert (tmp_path / "tree" / ".git" / "config").read_text() == "[core]\n"


def test_the_error_names_the_path_and_the_root(tmp_path: Path) -> None:
    with workspace(tmp_path) as ws, pytest.raises(OutsideWorkspace) as caught:
        ws.read("../secret.txt")
    assert "../secret.txt" in str(caught.value)
    assert str(ws.root) in str(caught.value)


def test_links_and_absolute_paths_that_stay_inside_are_fine(tmp_path: Path) -> None:
    with workspace(tmp_path) as ws:
        (ws.root / "same.py").symlink_to("calc.py")
        assert ws.resolve("same.py") == ws.root / "calc.py"
        assert ws.read(str(ws.root / "calc.py")) == ws.read("tests/../calc.py")
        ws.edit("same.py", "a - b", "a + b")
        assert (ws.root / "same.py").is_symlink()
        assert "a + b" in (ws.root / "calc.py").read_text()


def test_deleting_a_link_that_leads_out_removes_the_link_alone(tmp_path: Path) -> None:
    with workspace(tmp_path) as ws:
        traps(tmp_path)
        ws.delete("folder-link")
        assert not (ws.root / "folder-link").is_symlink()
        assert (tmp_path / "secret.txt").exists()


def test_a_folder_that_became_a_link_after_it_was_resolved_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    tree = Tree(tmp_path / "tree")
    rel = tree.locate("sub/new.txt")
    (tmp_path / "tree" / "sub").rmdir()
    (tmp_path / "tree" / "sub").symlink_to(tmp_path / "out")
    with pytest.raises(EditConflict):
        tree.put_file(rel, b"x", 0o644)
    assert list((tmp_path / "out").iterdir()) == []
    tree.close()


def test_a_file_that_became_a_link_is_not_read(tmp_path: Path) -> None:
    with workspace(tmp_path) as ws:
        traps(tmp_path)
        tree = Tree(ws.root)
        with pytest.raises(WorkspaceError):
            tree.read("file-link", 1000)
        tree.close()


def test_hard_links_to_files_outside_are_neither_read_nor_written(tmp_path: Path) -> None:
    with workspace(tmp_path) as ws:
        (tmp_path / "secret.txt").write_text("secret")
        os.link(tmp_path / "secret.txt", ws.root / "hard.txt")
        for call in (
            lambda: ws.read("hard.txt"),
            lambda: ws.write("hard.txt", "x"),
            lambda: ws.delete("hard.txt"),
        ):
            with pytest.raises(OutsideWorkspace):
                call()
        assert ws.search("secret") == []


def test_special_files_are_never_opened(tmp_path: Path) -> None:
    with workspace(tmp_path) as ws:
        os.mkfifo(ws.root / "pipe")
        for call in (
            lambda: ws.read("pipe"),
            lambda: ws.write("pipe", "x"),
            lambda: ws.edit("pipe", "a", "b"),
        ):
            with pytest.raises(WorkspaceError, match="special"):
                call()


PIECES = st.sampled_from(
    ["..", ".", "", "a", "tests", "file-link", "folder-link", "link", "~", "/", "etc", "deep", ".git", "é"]
)


@given(st.lists(PIECES, max_size=8).map("/".join))
def test_whatever_is_resolved_lies_inside(tmp_path_factory: pytest.TempPathFactory, path: str) -> None:
    tmp_path = tmp_path_factory.mktemp("paths")
    (tmp_path / "tree").mkdir()
    traps(tmp_path)
    tree = Tree(tmp_path / "tree")
    try:
        rel = tree.locate(path)
    except OutsideWorkspace:
        return
    finally:
        tree.close()
    real = Path(os.path.realpath(tmp_path / "tree" / rel))
    assert real.is_relative_to(tmp_path / "tree")
    assert ".git" not in real.parts
