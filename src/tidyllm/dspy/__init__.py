"""DSPy programs through tidyllm: an engine inside `dspy.LM`, and one wrapper for modules.

Names load when they are first used: importing DSPy takes more than a second.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidyllm.dspy.ambient import scope
    from tidyllm.dspy.configs import CacheConfig, RetryConfig, UnifiedConfig, ValidationConfig
    from tidyllm.dspy.engine import AsyncEngine, Engine
    from tidyllm.dspy.language_model import LM, lm
    from tidyllm.dspy.meter import ModuleMetrics
    from tidyllm.dspy.module import UnifiedModule
    from tidyllm.dspy.source import register
    from tidyllm.dspy.unified import UnifiedDSPyWrapper

__all__ = [
    "LM",
    "AsyncEngine",
    "CacheConfig",
    "Engine",
    "ModuleMetrics",
    "RetryConfig",
    "UnifiedConfig",
    "UnifiedDSPyWrapper",
    "UnifiedModule",
    "ValidationConfig",
    "lm",
    "register",
    "scope",
]

_HOMES = {
    "tidyllm.dspy.ambient": ("scope",),
    "tidyllm.dspy.configs": ("CacheConfig", "RetryConfig", "UnifiedConfig", "ValidationConfig"),
    "tidyllm.dspy.engine": ("AsyncEngine", "Engine"),
    "tidyllm.dspy.language_model": ("LM", "lm"),
    "tidyllm.dspy.meter": ("ModuleMetrics",),
    "tidyllm.dspy.module": ("UnifiedModule",),
    "tidyllm.dspy.source": ("register",),
    "tidyllm.dspy.unified": ("UnifiedDSPyWrapper",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value: object = getattr(import_module(_HOME_OF[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "dspy":
            raise
        hint = "tidyllm.dspy needs DSPy 3.4 or newer: pip install 'tidyllm[dspy]'."
        raise ModuleNotFoundError(hint, name="dspy") from error
    globals()[name] = value  # the next use does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
