"""Whether code under test reaches for the tests: names parts of pytest, or ends the process. It runs nothing.

Such code shares a process with its tests and can make all of them pass. It is found by what it names; code that hides
the name is not.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tidyllm.sandbox import Workspace
from tidyllm.sandbox.protect import is_test

__all__ = ["reached", "reaches"]

_NAMES = re.compile(r"\b(_?pytest|pluggy|_exit)\b")
_IN_TESTS = re.compile(
    r"\b(_pytest|pluggy|_exit|pluginmanager|runtest\w*|"
    r"pytest_(?:runtest|make|collection|session|report|plugins)\w*)\b"
)
"""Tests use pytest, but not what it is made of."""
_MOST = 2_000_000
"""Bytes: no larger source is read."""


def reached(workspace: Workspace) -> str:
    """Which file changed in this run reaches for the tests now and did not before, in words; "" for none."""
    paths = {one.path for one in workspace.changes(workspace.run_id) if one.path.endswith(".py")}
    for path in sorted(paths):
        place = workspace.root / path
        if place.is_symlink() or not place.is_file() or place.stat().st_size > _MOST:
            continue
        before = workspace.original(path)
        test = is_test(path)
        new = reaches(place.read_bytes(), test=test) - reaches(before or b"", test=test)
        if new:
            return f"{path} reaches for {', '.join(sorted(new))}, with which tests can be made to pass"
    return ""


def reaches(source: bytes, *, test: bool = False) -> set[str]:
    """What of pytest's parts a source names, in code or in texts that are no docstrings. `test`: it is one itself."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    names = _IN_TESTS if test else _NAMES
    return {match[1] for text in _named(tree) for match in names.finditer(text)}


def _named(tree: ast.AST) -> Iterator[str]:
    said = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)
    }  # docstrings, and texts that stand alone
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (one.name for one in names)
            case ast.ImportFrom(module=module, names=names):
                yield module or ""
                yield from (one.name for one in names)
            case ast.Attribute(attr=name) | ast.Name(id=name):
                yield name
            case ast.Constant(value=str(text)) if id(node) not in said:
                yield text
            case _:
                pass
