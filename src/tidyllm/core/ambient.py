"""The ambient context: at which place of which run this task or thread is. It knows nothing of what a context holds.

`invoke(x, ctx)` is always called with `ctx` ambient: whoever makes a context for a step sets it before and restores the
former after. In a task of its own there is nothing to restore. A generator shares the variables of its reader, so for
a stream it is set around each piece, and only there.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidyllm.core.context import Context

__all__ = ["get_current", "reset_current", "set_current"]

_current: ContextVar[Context | None] = ContextVar("tidyllm_context", default=None)
# Bound once: these run several times in each call.
get_current = _current.get
set_current = _current.set
reset_current = _current.reset
