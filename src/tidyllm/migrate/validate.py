"""Looking at a tree without writing: does it parse, compile, import what there is, and is anything legacy left?"""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tidyllm.migrate.discover import files
from tidyllm.migrate.errors import MigrateError
from tidyllm.migrate.index import module_names, package_of
from tidyllm.migrate.notebook import Notebook
from tidyllm.migrate.plan import Plan
from tidyllm.migrate.source import Source

__all__ = ["Flaw", "validate"]


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that is wrong with a file."""

    path: str
    line: int
    kind: str
    """`unreadable`, `syntax`, `import` or `legacy`."""
    text: str


def validate(path: Path, plan: Plan) -> list[Flaw]:
    """The flaws of a tree. `plan` is one of the tree as it is now: what it still finds is legacy that is left.

    Imports are looked up without running the modules; those under `try` are allowed to fail.
    """
    found: list[Flaw] = []
    paths = files(path)
    local = {name for one in paths for name in module_names(one, plan.root)}
    for one in paths:
        name = one.relative_to(plan.root).as_posix()
        try:
            source = Source.decode(one.read_bytes())
            text = Notebook.read(source.text).module() if one.suffix == ".ipynb" else source.text
        except OSError as error:
            found.append(Flaw(name, 1, "unreadable", f"it cannot be read: {error.strerror}"))
            continue
        except MigrateError as error:
            found.append(Flaw(name, 1, "unreadable", error.message))
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = compile(
                    text, name, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
                )
                compile(text, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError) as error:
            line = getattr(error, "lineno", None) or 1
            found.append(Flaw(name, line, "syntax", getattr(error, "msg", None) or str(error)))
            continue
        package = package_of(one, plan.root)
        found += [
            Flaw(name, line, "import", f"there is no {what}")
            for line, what in _broken_imports(tree, package, local)
            if what
        ]
    for result in plan.results:
        found += [
            Flaw(result.path, one.line, "legacy", f"{one.name} is left ({one.pattern})")
            for one in result.findings
        ]
    return sorted(found, key=lambda flaw: (flaw.path, flaw.line))


def _broken_imports(tree: ast.AST, package: str, local: set[str]) -> Iterator[tuple[int, str]]:
    for node, guarded in _imports(tree, False):
        if guarded:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, "" if _is_there(alias.name, local) else f"module {alias.name!r}"
            continue
        module = node.module or ""
        if node.level:
            parts = package.split(".") if package else []
            base = parts[: len(parts) - node.level + 1]
            module = ".".join([*base, module]) if module else ".".join(base)
            if module and module not in local:
                yield node.lineno, f"module {module!r}"
            continue
        if not _is_there(module, local):
            yield node.lineno, f"module {module!r}"
        elif module.split(".")[0] == "tidyllm":
            yield from _missing_names(node, module)


def _imports(node: ast.AST, guarded: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, guarded
        elif isinstance(child, ast.Try):
            yield from _imports(child, True)
        else:
            yield from _imports(child, guarded)


def _is_there(module: str, local: set[str]) -> bool:
    if module in local or module.split(".", maxsplit=1)[0] in sys.stdlib_module_names:
        return True
    top = module.partition(".")[0]
    if any(name == top or name.startswith(f"{top}.") for name in local):
        return module in local
    try:
        if importlib.util.find_spec(top) is None:
            return False
        # Below the top a lookup would run the packages above: what is installed is looked at as files.
        return _file_of(module)
    except (ImportError, ValueError, AttributeError):
        return False


def _file_of(module: str) -> bool:
    top, _, rest = module.partition(".")
    spec = importlib.util.find_spec(top)
    if spec is None or not rest:
        return spec is not None
    places: Sequence[str] = spec.submodule_search_locations or ()
    tail = Path(*rest.split("."))
    for place in places:
        base = Path(place) / tail
        if base.is_dir() or any(base.parent.glob(f"{base.name}.*")):
            return True
    return top != "tidyllm"  # packages that make their modules up while they run


def _missing_names(node: ast.ImportFrom, module: str) -> Iterator[tuple[int, str]]:
    """Names that a module of ours does not offer; read from its text, nothing is run."""
    spec = importlib.util.find_spec("tidyllm")
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        base = Path(place, *module.split(".")[1:])
        file = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
        if not file.is_file():
            continue
        text = file.read_text("utf-8")
        for alias in node.names:
            below = (base / alias.name).exists() or (base / f"{alias.name}.py").exists()
            if (
                alias.name != "*"
                and not below
                and json.dumps(alias.name) not in text
                and alias.name not in _names(text)
            ):
                yield node.lineno, f"name {alias.name!r} in {module}"


def _names(text: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign):
            found.update(one.id for one in node.targets if isinstance(one, ast.Name))
    return found
