"""Runs that nobody made a context for: `await step(x)` outside of any step. It knows only how such a run begins."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from random import getrandbits
from typing import TYPE_CHECKING, Any, TypeVar

from tidyllm.core.ambient import reset_current, set_current
from tidyllm.core.context import Context
from tidyllm.core.events import default_hooks
from tidyllm.core.record import record, record_stream
from tidyllm.core.scope import PLAIN, Scope
from tidyllm.core.trace import new_trace_id

if TYPE_CHECKING:
    from tidyllm.core.step import Step

__all__ = ["run_watched", "stream_root"]

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741


async def run_watched(step: Step[I, O], x: I) -> O:
    """Run a step that was called without any context, as a run of its own, and tell the installed hooks."""
    run = Scope(default_hooks(), False, new_trace_id())
    root = Context(run, None, step.name, getrandbits(64) or 1)
    token = set_current(root)
    try:
        return await record(root, step, x)
    finally:
        reset_current(token)


def stream_root(step: Step[I, Any], x: I) -> AsyncGenerator[Any, None]:
    """The pieces of a step that was called without any context, as a run of its own."""
    hooks = default_hooks()
    run = Scope(hooks, False, new_trace_id()) if hooks else PLAIN
    return record_stream(Context(run, None, step.name, getrandbits(64) or 1 if hooks else 0), step, x)
