"""Names of a package that are loaded when they are first used, so that importing it costs next to nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping

__all__ = ["lazily"]


def lazily(
    package: str,
    homes: Mapping[str, Iterable[str]],
    missing: Callable[[ModuleNotFoundError], BaseException] | None = None,
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of `package`. `homes`: by module, the names that are taken from it.

    `missing` gives the error to raise where something that a module needs is not installed; the same
    error stays as it is.
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def __getattr__(name: str) -> object:  # noqa: N807 - what the package calls it
        home = home_of.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from importlib import import_module

        try:
            value: object = getattr(import_module(home), name)
        except ModuleNotFoundError as error:
            if missing is None:
                raise
            told = missing(error)
            if told is error:
                raise
            raise told from error
        vars(sys.modules[package])[name] = value  # the next use does not come here
        return value

    def __dir__() -> list[str]:  # noqa: N807 - see above
        return sorted({*vars(sys.modules[package]), *home_of})

    return __getattr__, __dir__
