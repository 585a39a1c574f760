"""The steps inside a step: what wrappers, routes and groups hold. It calls none of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from tidyllm.core.step import Step

__all__ = ["steps_within"]


def steps_within(step: Step[Any, Any]) -> Iterator[Step[Any, Any]]:
    """`step` and every step inside it, each once, in the order in which they are written.

    What a step holds is found under the names that all of ours use for it: `inner` for one, `steps` for a tuple.
    """
    return _within(step, set())


def _within(step: Step[Any, Any], seen: set[int]) -> Iterator[Step[Any, Any]]:
    if id(step) in seen:
        return
    seen.add(id(step))
    yield step
    steps: object = getattr(step, "steps", ())
    held = cast("tuple[object, ...]", steps) if isinstance(steps, tuple) else ()
    for one in (getattr(step, "inner", None), *held):
        if isinstance(one, Step):
            yield from _within(cast("Step[Any, Any]", one), seen)
