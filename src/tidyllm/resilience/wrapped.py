"""What may stand inside a wrapper, as types, and how a wrapper is written down. It runs nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

from tidyllm.core import Context, Step

__all__ = ["Wrapped", "renamed"]

I = TypeVar("I")  # noqa: E741 - the field's name for an input type
O = TypeVar("O")  # noqa: E741

Wrapped: TypeAlias = (
    Step[I, O]
    | Callable[[I], Awaitable[O]]
    | Callable[[I], O]
    | Callable[[I, Context], Awaitable[O]]
    | Callable[[I, Context], O]
)
"""A step, or a function that becomes one: plain or async, with `ctx` if it declares it."""


def renamed(step: Step[Any, Any], name: str) -> str:
    """What stands behind the expression of a step that would bear `name` if it had not been given another one."""
    return "" if step.name == name else f".named({step.name!r})"
