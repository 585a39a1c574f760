"""The production layer for LLM programs: the dozen names that most programs need.

Everything else is imported from the folder of its concept (`tidyllm.core`, `tidyllm.models`...). A name is
loaded when it is first used, so `import tidyllm` alone loads none of the parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidyllm.lazy import lazily

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
_later, _names = lazily(__name__, _HOMES)


def __getattr__(name: str) -> object:
    if name != "__version__":
        return _later(name)
    from importlib.metadata import version

    return version("tidyllm")


def __dir__() -> list[str]:
    return [*_names(), "__version__"]
