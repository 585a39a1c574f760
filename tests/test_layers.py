"""The map of the house: which folder may import which. It reads syntax trees and runs nothing of ours.

Arrows point down only. Imports inside functions, for type checkers and by `import_module("...")` count too.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.shared_data import ROOT

PACKAGE = "tidyllm"

# Every row but `migrate` and `audit` may import these as well; they know only the standard library.
GROUND = {"errors", "clock", "lazy"}

HOUSE: dict[str, set[str]] = {
    "core": set(),
    "resilience": {"core"},
    "observe": {"core"},
    "store": {"core"},
    "sandbox": {"core"},
    "models": {"core"},
    "tokens": {"core", "store", "models"},
    "cache": {"core", "store", "models"},
    "routing": {"core", "store", "models"},
    "money": {"core", "store", "models"},
    "access": {"core", "store"},
    "durable": {"core", "store"},
    "agents": {"core", "models", "tokens", "sandbox"},
    "config": {"core", "resilience", "observe", "store", "models", "tokens", "cache", "routing", "money"},
    "dspy": {"core", "models", "config"},
    "lab": {"core", "models", "tokens", "store", "sandbox", "config"},
    "gateway": {"core", "models", "observe", "access", "money", "routing", "config", "store"},
    "console": {"core", "models", "observe", "access", "money", "routing", "config", "store", "gateway"},
    "legacy": {"dspy", "resilience", "models", "cache", "config"},
    "migrate": set(),
    "audit": set(),
}

# These may import anything of ours and nobody imports them, but `python -m tidyllm` starts the command line.
TOP = {"cli", "testing", "__init__", "__main__"}
MAY_IMPORT_TOP = {("__main__", "cli")}

# Rows that also promise which packages of others they use, beside the standard library.
FOREIGN: dict[str, set[str]] = {"errors": set(), "clock": set(), "migrate": {"libcst"}}


def allowed(row: str) -> set[str]:
    """What of ours `row` may import beside itself."""
    if row in TOP:
        return set(HOUSE) | GROUND
    if row in GROUND:
        return set()
    return HOUSE[row] | (set() if row in {"migrate", "audit"} else GROUND)


@dataclass(frozen=True)
class Import:
    """One import in one file: the dotted name of what is taken, wherever it was written."""

    line: int
    target: str


def imports(tree: ast.AST, package: str) -> Iterator[Import]:
    """All imports of a module that lies in `package`, at any depth, relative ones resolved."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for name in names:
                    yield Import(node.lineno, name.name)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = absolute(level, module or "", package)
                for name in names:
                    yield Import(node.lineno, f"{base}.{name.name}")
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(text)), *_],
            ):
                dots = len(text) - len(text.lstrip("."))
                yield Import(node.lineno, absolute(dots, text[dots:], package))
            case _:
                pass


def absolute(level: int, module: str, package: str) -> str:
    """The dotted name behind `level` leading dots; without any, `module` itself."""
    if level == 0:
        return module
    above = package.split(".")[: len(package.split(".")) - (level - 1)]
    return ".".join([*above, module] if module else above)


def row_of(target: str, rows: set[str]) -> str:
    """The row of the map that a dotted name of ours lies in; a name of the root package is `__init__`."""
    parts = target.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in rows else "__init__"


def complaints(package: Path) -> list[str]:
    """Everything in the source tree `package` that the map does not allow, one sentence each."""
    files = sorted(package.rglob("*.py"))
    if not files:
        return [f"{package} holds no Python file: nothing was checked"]
    known = set(HOUSE) | GROUND | TOP
    rows = {path.stem if path.is_file() else path.name for path in package.iterdir()} | known
    found = [
        f"{entry.name}: the map does not list it; add a row for it, or move it into one"
        for entry in sorted(package.iterdir())
        if (entry.is_dir() or entry.suffix == ".py") and entry.stem not in known | {"__pycache__"}
    ]
    for file in files:
        inside = file.relative_to(package)
        row = inside.parts[0].removesuffix(".py")
        if row not in known:
            continue  # complained of above
        tree = ast.parse(file.read_bytes(), filename=str(file))
        for one in imports(tree, ".".join([PACKAGE, *inside.parts[:-1]])):
            found.extend(f"{inside}:{one.line}: {reason}" for reason in _judge(row, one.target, rows))
    return found


def _judge(row: str, target: str, rows: set[str]) -> Iterator[str]:
    first = target.split(".", maxsplit=1)[0]
    if first != PACKAGE:
        if row in FOREIGN and first not in FOREIGN[row] | sys.stdlib_module_names:
            others = ", ".join(["the standard library", *sorted(FOREIGN[row])])
            yield f"{row} may not import {first!r}; it may import {others}"
        return
    other = row_of(target, rows)
    if other != row and other not in allowed(row) and (row, other) not in MAY_IMPORT_TOP:
        ours = ", ".join(sorted(allowed(row))) or "nothing of ours"
        yield f"{row} may not import {other} ({target}); it may import {ours}"


def test_every_import_follows_the_map() -> None:
    assert complaints(ROOT / "src" / PACKAGE) == []


def test_arrows_of_the_map_point_down_only() -> None:
    TopologicalSorter(HOUSE).prepare()  # raises on a circle


def test_the_map_names_no_row_that_it_does_not_list() -> None:
    assert set().union(*HOUSE.values()) <= set(HOUSE)


# The checker itself, on small made-up trees: it must be able to fail.


def tree(folder: Path, files: dict[str, str]) -> Path:
    """A source tree of the package with these files."""
    package = folder / PACKAGE
    for name, text in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    return package


FORBIDDEN = {
    "a plain import": ("core/a.py", "import tidyllm.models"),
    "a plain import under another name": ("core/a.py", "import tidyllm.models.types as types"),
    "a name from a folder": ("core/a.py", "from tidyllm.models import Request"),
    "a folder from the root": ("core/a.py", "from tidyllm import models"),
    "a relative import": ("core/a.py", "from ..models import Request"),
    "a relative import of a folder": ("core/a.py", "from .. import models"),
    "a relative import from a package's own file": ("core/__init__.py", "from ..models import Request"),
    "a relative import from deeper down": ("models/openai/a.py", "from ...resilience import Retry"),
    "an import inside a function": ("core/a.py", "def f():\n    from tidyllm import gateway"),
    "an import for types only": (
        "core/a.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from tidyllm.models import Request",
    ),
    "an import by name": ("core/a.py", "import importlib\nimportlib.import_module('tidyllm.models')"),
    "a relative import by name": (
        "core/a.py",
        "from importlib import import_module\nimport_module('..models', __package__)",
    ),
    "a name of the root": ("core/a.py", "from tidyllm import step"),
    "the root itself": ("gateway/a.py", "import tidyllm"),
    "the doubles": ("gateway/a.py", "from tidyllm.testing import FakeClock"),
    "the command line": ("config/a.py", "import tidyllm.cli"),
    "neighbours": ("resilience/a.py", "import tidyllm.models"),
    "the ground from a row without it": ("audit/a.py", "import tidyllm.clock"),
    "one ground file from the other": ("clock.py", "import tidyllm.errors"),
    "a foreign package in the ground": ("errors/base.py", "import msgspec"),
    "a foreign package that migrate does not name": ("migrate/a.py", "import rich"),
}


@pytest.mark.parametrize(("name", "text"), FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_the_checker_refuses(tmp_path: Path, name: str, text: str) -> None:
    package = tree(tmp_path, {"models/__init__.py": "", "resilience/__init__.py": "", name: text})
    (complaint,) = complaints(package)
    assert complaint.startswith(f"{name}:")


ALLOWED = {
    "its own folder": ("core/a.py", "from tidyllm.core import b\nfrom . import b\nfrom .b import c"),
    "the ground": ("core/a.py", "from tidyllm import clock\nfrom tidyllm.errors import StepError"),
    "a row below": ("gateway/a.py", "from tidyllm.config import load\nfrom ..models import Request"),
    "packages of others": ("core/a.py", "import asyncio\nimport msgspec"),
    "anything from the root": ("__init__.py", "from tidyllm.core import step\nfrom .config import load"),
    "the command line from -m": ("__main__.py", "from tidyllm.cli import main"),
    "libcst in migrate": ("migrate/a.py", "import libcst\nimport ast"),
    "a package whose name only begins like ours": ("core/a.py", "import tidyllm_extra"),
}


@pytest.mark.parametrize(("name", "text"), ALLOWED.values(), ids=ALLOWED.keys())
def test_the_checker_allows(tmp_path: Path, name: str, text: str) -> None:
    assert complaints(tree(tmp_path, {"config/__init__.py": "", name: text})) == []


def test_a_folder_that_the_map_does_not_list_is_refused(tmp_path: Path) -> None:
    (complaint,) = complaints(tree(tmp_path, {"utils/__init__.py": "", "core/a.py": ""}))
    assert complaint.startswith("utils: the map does not list it")


def test_a_root_module_that_the_map_does_not_list_is_refused(tmp_path: Path) -> None:
    (complaint,) = complaints(tree(tmp_path, {"helpers.py": "", "core/a.py": ""}))
    assert complaint.startswith("helpers.py: the map does not list it")


@pytest.mark.parametrize("files", [{}, {"core/readme.txt": ""}])
def test_an_empty_tree_is_no_success(tmp_path: Path, files: dict[str, str]) -> None:
    (complaint,) = complaints(tree(tmp_path, files))
    assert "holds no Python file" in complaint
