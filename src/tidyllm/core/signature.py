"""What can be told from looking at a function: how it is called and what it is called. It calls nothing."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from tidyllm.errors import StepError

__all__ = ["check_signature", "is_async", "is_generator", "name_of", "takes_ctx"]


def check_signature(function: Callable[..., Any]) -> None:
    """:raises StepError: the function cannot be called with one argument (and `ctx`, if it names that)."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions tell nothing: they are called with one argument
        return
    try:
        signature.bind(None, **({"ctx": None} if "ctx" in signature.parameters else {}))
    except TypeError as error:
        raise StepError(
            f"{name_of(function)}{signature} cannot be a step: {error}.",
            hint="A step takes one argument, and a second one only if it is named ctx.",
        ) from None


def takes_ctx(function: Callable[..., Any]) -> bool:
    """Whether it declares a parameter `ctx`."""
    try:
        return "ctx" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine: an async function, or an object with an async `__call__`."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(_call_of(function))


def is_generator(function: Callable[..., Any]) -> bool:
    """Whether calling it gives an async generator."""
    return inspect.isasyncgenfunction(function) or inspect.isasyncgenfunction(_call_of(function))


def _call_of(function: Callable[..., Any]) -> object:
    return None if isinstance(function, type) else getattr(type(function), "__call__", None)  # noqa: B004 - what it is, not whether


def name_of(function: Callable[..., Any]) -> str:
    """The function's own name, that of the function inside a `partial`, or that of the object's class."""
    name = getattr(function, "__name__", None) or getattr(getattr(function, "func", None), "__name__", None)
    return "lambda" if name == "<lambda>" else name or type(function).__name__
