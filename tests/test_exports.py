"""The public names: what the root offers, that it does so lazily, and that folders say what they offer."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import tidyllm
from tests.shared_data import ROOT

SOURCE = ROOT / "src" / "tidyllm"

# A promise to users: a name that leaves this table is a breaking change.
ROOT_NAMES = {
    "tidyllm.config": {"load"},
    "tidyllm.core": {"Branch", "Context", "Parallel", "Sequence", "Step", "step"},
    "tidyllm.models": {"Request", "Response", "Tool"},
    "tidyllm.models.factory": {"model"},  # `tidyllm.models.model` is the module of the class
    "tidyllm.resilience": {"CircuitBreaker", "Fallback", "Hedge", "Limit", "Retry", "Saga", "Timeout"},
}
PAIRS = sorted((home, name) for home, names in ROOT_NAMES.items() for name in names)
FOLDERS = sorted(path.parent for path in SOURCE.rglob("__init__.py") if path.parent != SOURCE)


def fresh(code: str) -> str:
    """What a new Python prints when it runs `code`."""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


@dataclass
class Names:
    """What the `__init__.py` of a package holds, names with a leading underscore left out."""

    defined: set[str] = field(default_factory=set[str])
    taken: set[str] = field(default_factory=set[str])  # from within tidyllm
    used: set[str] = field(default_factory=set[str])

    @property
    def offered(self) -> set[str]:
        """What can only be there for others: an import that the file itself uses may be an ingredient."""
        return self.defined | (self.taken - self.used)


def names_of(init: Path) -> Names:
    """The names in a package's `__init__.py`, those under `TYPE_CHECKING` included."""
    tree = ast.parse(init.read_bytes(), filename=str(init))
    names = Names(used={node.id for node in ast.walk(tree) if isinstance(node, ast.Name)})

    def look(body: list[ast.stmt]) -> None:
        for node in body:
            match node:
                case ast.ImportFrom(module=module, names=imported, level=level):
                    if level or (module or "").startswith("tidyllm"):
                        names.taken.update(one.asname or one.name for one in imported)
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                    names.defined.add(name)
                case ast.Assign(targets=targets):
                    names.defined.update(target.id for target in targets if isinstance(target, ast.Name))
                case ast.AnnAssign(target=ast.Name(id=name)):
                    names.defined.add(name)
                case ast.If(test=ast.Name(id="TYPE_CHECKING"), body=inner):
                    look(inner)
                case _:
                    pass

    look(tree.body)
    names.defined = {name for name in names.defined if not name.startswith("_")}
    names.taken = {name for name in names.taken if not name.startswith("_")}
    return names


def test_the_root_offers_exactly_these_names() -> None:
    assert set(tidyllm.__all__) == {"__version__"}.union(*ROOT_NAMES.values())


@pytest.mark.parametrize(("home", "name"), PAIRS)
def test_a_root_name_is_the_one_of_its_folder(home: str, name: str) -> None:
    assert getattr(tidyllm, name) is getattr(importlib.import_module(home), name)


@pytest.mark.parametrize(("home", "name"), [("tidyllm.core", "step"), ("tidyllm.models", "model")])
def test_a_module_of_the_same_name_does_not_hide_a_root_name(home: str, name: str) -> None:
    assert fresh(f"import {home}.{name}, tidyllm; print(callable(tidyllm.{name}))") == "True"


def test_type_checkers_see_the_same_names_as_programs() -> None:
    assert names_of(SOURCE / "__init__.py").offered | {"__version__"} == set(tidyllm.__all__)


def test_the_version_is_the_installed_one() -> None:
    assert tidyllm.__version__ == importlib.metadata.version("tidyllm")


def test_an_unknown_root_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'tidyllm' has no attribute 'Retri'"):
        getattr(tidyllm, "Retri")  # noqa: B009 - a plain access would not pass the type checker


def test_dir_lists_names_that_are_not_loaded_yet() -> None:
    assert fresh("import tidyllm; print(set(tidyllm.__all__) <= set(dir(tidyllm)))") == "True"


def test_importing_the_root_loads_none_of_the_parts() -> None:
    code = "import sys, tidyllm; print(sorted(name for name in sys.modules if name.startswith('tidyllm')))"
    assert fresh(code) == "['tidyllm', 'tidyllm.lazy']"


def test_using_a_step_loads_no_network_and_no_server() -> None:
    heavy = "{'aiohttp', 'uvicorn', 'opentelemetry', 'prometheus_client'}"
    assert fresh(f"import sys, tidyllm; tidyllm.Retry; print({heavy} & set(sys.modules))") == "set()"


def test_every_folder_with_code_is_a_package() -> None:
    assert sorted({path.parent for path in SOURCE.rglob("*.py")}) == [SOURCE, *FOLDERS]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_folder_lists_exactly_what_it_offers(folder: Path) -> None:
    module = importlib.import_module(".".join(["tidyllm", *folder.relative_to(SOURCE).parts]))
    listed: list[str] = module.__all__
    names = names_of(folder / "__init__.py")
    assert names.offered <= set(listed) <= names.defined | names.taken
    assert [name for name in listed if not hasattr(module, name)] == []
    assert len(set(listed)) == len(listed)
