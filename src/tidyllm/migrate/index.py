"""What files of one tree say about each other: their module names, and which classes they define. It converts nothing.

A class that the tree defines itself under a legacy name is legacy only when it can be called in the legacy way: one
that needs a parameter that the rules do not know is something else of the same name.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tidyllm.migrate.rules import Rules

__all__ = ["foreign_names", "imported_names", "module_names", "package_of"]


def package_of(path: Path, root: Path) -> str:
    """The dotted package that a file lies in."""
    names = module_names(path, root)
    longest = max(names, key=len)
    return longest if path.name == "__init__.py" else longest.rpartition(".")[0]


def module_names(path: Path, root: Path) -> list[str]:
    """The names that a file can be imported under: from the root, and from each folder that is no package."""
    parts = list(path.relative_to(root).with_suffix("").parts)
    if parts and parts[-1] == "__init__":
        parts.pop()
    if not parts:
        return [root.name]
    return [".".join(parts[start:]) for start in range(len(parts))]


def foreign_names(
    paths: Iterable[Path], root: Path, library: Sequence[Rules], contents: Mapping[Path, bytes]
) -> tuple[frozenset[str], frozenset[Path]]:
    """Dotted names in the tree that only look legacy, and the files that define legacy classes themselves."""
    foreign: set[str] = set()
    defining: set[Path] = set()
    for path in paths:
        if path.suffix != ".py":
            continue
        names = module_names(path, root)
        for rules in library:
            if not any(rules.module(name) for name in names):
                continue
            found = _classes(contents.get(path) or _bytes_of(path))
            ours = {name: needs for name, needs in found.items() if name in rules.names}
            for name, needs in ours.items():
                known = set(rules.names[name].arguments) | set(rules.names[name].drop)
                if needs - known:
                    foreign.update(f"{module}.{name}" for module in names)
                else:
                    defining.add(path)
            if found and not ours:
                # The tree has a module of that name, and none of the legacy names is in it.
                foreign.update(f"{module}.{name}" for module in names for name in (*found, *rules.names))
    return frozenset(foreign), frozenset(defining)


_IMPORTS = re.compile(rb"^[ \t]*(?:from|import)[ \t]+([\w.]+)", re.MULTILINE)


def imported_names(
    path: Path, root: Path, names: Sequence[bytes], modules: frozenset[bytes]
) -> frozenset[str]:
    """The dotted names that a file imports, made absolute.

    Nothing when none of `names` is in it, or when it imports none of `modules` (nor anything relative).

    `import a.b` counts as every attribute of `a.b` that the file reads.
    """
    try:
        data = path.read_bytes()
        if not any(name in data for name in names):
            return frozenset()
        heads = set(_IMPORTS.findall(data))
        if not heads & modules and not any(head.startswith(b".") for head in heads):
            return frozenset()
        tree = ast.parse(data)
    except (OSError, SyntaxError, ValueError):
        return frozenset()
    package = package_of(path, root).split(".")
    found: set[str] = set()
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    texts = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    # `patch("app.core.Name")`, and `setattr(app.core, "Name", …)`
    found.update(text for text in texts if "." in text and text.replace(".", "a").isidentifier())
    attributes |= {text for text in texts if text.encode() in names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(f"{alias.name}.{name}" for alias in node.names for name in attributes)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                if alias.name == "*":
                    found.update(f"{module}.{name.decode()}" for name in names)
                found.add(f"{module}.{alias.name}")
                found.update(f"{module}.{alias.name}.{name}" for name in attributes)
    return frozenset(found)


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _classes(data: bytes) -> dict[str, set[str]]:
    """The classes and functions of a module and the parameters that each needs."""
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError):
        return {}
    found: dict[str, set[str]] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found[node.name] = _needed(node, 0)
        elif isinstance(node, ast.ClassDef):
            makers = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
            found[node.name] = _needed(makers[0], 1) if makers else set()
    return found


def _needed(node: ast.FunctionDef | ast.AsyncFunctionDef, skip: int) -> set[str]:
    plain = [one.arg for one in (*node.args.posonlyargs, *node.args.args)]
    with_default = len(node.args.defaults)
    needed = set(plain[skip : len(plain) - with_default] if with_default else plain[skip:])
    for one, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        if default is None:
            needed.add(one.arg)
    return needed
