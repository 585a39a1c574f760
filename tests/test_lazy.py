"""Names of packages that are loaded when they are first used."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from types import ModuleType

import pytest

from tidyllm.lazy import lazily

PACKAGES = [
    "tidyllm",
    *(f"tidyllm.{name}" for name in ("agents", "models", "money", "observe", "store", "testing")),
]


@pytest.mark.parametrize("name", PACKAGES)
def test_every_offered_name_is_there_and_is_listed(name: str) -> None:
    package = import_module(name)
    assert set(package.__all__) <= set(dir(package))
    for offered in package.__all__:
        assert getattr(package, offered) == getattr(package, offered)
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'nothing'"):
        _ = package.nothing


def test_a_package_loads_nothing_before_a_name_is_used() -> None:
    seen = "[name for name in sys.modules if 'sqlalchemy' in name or 'mcp' in name]"
    code = f"import sys, tidyllm.agents, tidyllm.store; print({seen})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_what_is_not_installed_is_told_in_the_packages_own_words() -> None:
    package = ModuleType("lazy_example")
    sys.modules["lazy_example"] = package
    homes = {"no_such_module_anywhere": ("one",), "json": ("dumps",)}
    get, names = lazily("lazy_example", homes, lambda error: RuntimeError(f"install {error.name}"))
    with pytest.raises(RuntimeError, match="install no_such_module_anywhere"):
        get("one")
    plain, _ = lazily("lazy_example", homes)
    with pytest.raises(ModuleNotFoundError):
        plain("one")
    same, _ = lazily("lazy_example", homes, lambda error: error)
    with pytest.raises(ModuleNotFoundError, match="No module named"):
        same("one")
    assert get("dumps") is vars(package)["dumps"]
    assert {"one", "dumps"} <= set(names())
    del sys.modules["lazy_example"]
