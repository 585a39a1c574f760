"""The production layer for LLM programs: the dozen names that most programs need.

Everything else is imported from the folder of its concept (`tidyllm.core`, `tidyllm.models`...). A name is
loaded when it is first used, so `import tidyllm` alone loads none of the parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidyllm.config import load
    from tidyllm.core import Branch, Context, Parallel, Sequence, Step, step
    from tidyllm.models import Request, Response, Tool
    from tidyllm.models.factory import model
    from tidyllm.resilience import CircuitBreaker, Fallback, Hedge, Limit, Retry, Saga, Timeout

    __version__: str

__all__ = [
    "Branch",
    "CircuitBreaker",
    "Context",
    "Fallback",
    "Hedge",
    "Limit",
    "Parallel",
    "Request",
    "Response",
    "Retry",
    "Saga",
    "Sequence",
    "Step",
    "Timeout",
    "Tool",
    "__version__",
    "load",
    "model",
    "step",
]

_HOMES = {
    "tidyllm.config": ("load",),
    "tidyllm.core": ("Branch", "Context", "Parallel", "Sequence", "Step", "step"),
    "tidyllm.models": ("Request", "Response", "Tool"),
    "tidyllm.models.factory": ("model",),
    "tidyllm.resilience": ("CircuitBreaker", "Fallback", "Hedge", "Limit", "Retry", "Saga", "Timeout"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        value: object = version("tidyllm")
    elif name in _HOME_OF:
        from importlib import import_module

        value = getattr(import_module(_HOME_OF[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value  # the next use does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
