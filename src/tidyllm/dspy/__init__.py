"""DSPy programs through tidyllm: an engine inside `dspy.LM`, and one wrapper for modules.

Names load when they are first used: importing DSPy takes more than a second.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidyllm.dspy.ambient import scope
    from tidyllm.dspy.engine import AsyncEngine, Engine
    from tidyllm.dspy.language_model import LM, lm
    from tidyllm.dspy.source import register

__all__ = ["LM", "AsyncEngine", "Engine", "lm", "register", "scope"]

_HOMES = {
    "tidyllm.dspy.ambient": ("scope",),
    "tidyllm.dspy.engine": ("AsyncEngine", "Engine"),
    "tidyllm.dspy.language_model": ("LM", "lm"),
    "tidyllm.dspy.source": ("register",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value  # the next use does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
