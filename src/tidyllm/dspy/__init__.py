"""DSPy programs through tidyllm: an engine inside `dspy.LM`, and one wrapper for modules.

Names load when they are first used: importing DSPy takes more than a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidyllm.lazy import lazily

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


def _missing(error: ModuleNotFoundError) -> ModuleNotFoundError:
    if error.name != "dspy":
        return error
    return ModuleNotFoundError(
        "tidyllm.dspy needs DSPy 3.4 or newer: pip install 'tidyllm[dspy]'.", name="dspy"
    )


__getattr__, __dir__ = lazily(__name__, _HOMES, _missing)
