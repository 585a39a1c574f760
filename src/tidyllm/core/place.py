"""Where a call is: at which place of which run, until when, under which labels. Read only; it runs nothing."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from random import getrandbits
from typing import TYPE_CHECKING, cast

import msgspec

from tidyllm import clock
from tidyllm.core.names import Calls
from tidyllm.core.scope import Budget, RunID, Scope
from tidyllm.core.trace import format_traceparent

if TYPE_CHECKING:
    from tidyllm.core.context import Context

__all__ = ["Place"]

_making = threading.Lock()


class Place(msgspec.Struct, frozen=True, eq=False):
    """The fields of a `Context`, and what can be read from them."""

    scope: Scope
    """What is shared with the other contexts of the run. For combinators; read the properties below instead."""
    parent: Context | None = None
    segment: str = ""
    """The last part of `path`."""
    span_id: int = 0
    """Id of this call in the trace, 64 bits; 0 when nobody watches."""
    deadline: float | None = None
    """When everything here must be done (`clock.monotonic()` seconds); None for no limit."""
    _calls: Calls | Place | None = None
    """The named calls made here, once there are some; a changed copy refers to the context it was made from."""

    @property
    def run_id(self) -> RunID:
        """Id of the whole run, 32 hexadecimal digits; also the trace id, unless it goes on with somebody's trace."""
        return RunID(f"{self.run_number:032x}")

    @property
    def trace_id(self) -> int:
        """The trace that its spans belong to, 128 bits: the one that came in, which many runs may share, or its own."""
        return self.scope.trace or self.run_number

    @property
    def run_number(self) -> int:
        """`run_id` as a number of 128 bits."""
        if self.scope.id:
            return self.scope.id
        root: Place = self
        while root.parent is not None:
            root = root.parent
        return root.calls.trace_id

    @property
    def parent_span_id(self) -> int:
        """Id of the call around this one; 0 for none."""
        at: Place = self
        while at.parent is not None:
            if at.parent.span_id != self.span_id:
                return at.parent.span_id
            at = at.parent
        return self.scope.parent_span

    @property
    def trace_flags(self) -> int:
        """Flags of the trace that goes on from here, 8 bits; bit 0 says that it is sampled.

        Where a hook keeps traces, it says whether it keeps this one: it then has `keeps_trace(ctx)`. Where none does,
        the flags are those that came in, and 1 for a new trace.
        """
        flags = self.scope.trace_flags
        asked = [getattr(hook, "keeps_trace", None) for hook in self.scope.hooks]
        kept = [keeps(self) for keeps in asked if keeps is not None]
        return flags if not kept else flags | 1 if any(kept) else flags & ~1

    @property
    def trace_parent(self) -> str:
        """The W3C `traceparent` header for a call made from here."""
        # A call that nobody watches has no span: what comes next belongs to the span that came in.
        span = self.span_id or self.scope.parent_span or getrandbits(64) or 1
        return format_traceparent(self.trace_id, span, self.trace_flags)

    @property
    def path(self) -> tuple[str, ...]:
        """Where in the tree of calls, outermost first."""
        parts: list[str] = []
        at: Place | None = self
        while at is not None:
            if at.segment:
                parts.append(at.segment)
            at = at.parent
        return tuple(reversed(parts))

    @property
    def remaining(self) -> float | None:
        """Seconds until the deadline, never negative; None for no limit."""
        return None if self.deadline is None else max(self.deadline - clock.monotonic(), 0.0)

    @property
    def tags(self) -> Mapping[str, str]:
        """Labels put on the run by its caller."""
        return self.scope.tags

    @property
    def idempotency_key(self) -> str | None:
        """Stable over retries and resumed runs; a step hands it to services that can tell repeated calls apart."""
        return self.scope.idempotency_key

    @property
    def budget(self) -> Budget | None:
        """The cap that attempts reserve from."""
        return self.scope.budget

    @property
    def entered(self) -> bool:
        """Whether a call is under way that watches this context's deadline and can be cancelled."""
        return self.scope.entered

    @property
    def recorded(self) -> bool:
        """Whether calls below are records: someone hears events, or a runtime stands in between."""
        return not self.scope.plain

    @property
    def watched(self) -> bool:
        """Whether anyone hears events; when not, none need be made."""
        return bool(self.scope.hooks)

    @property
    def records_content(self) -> bool:
        """Whether a hook asks for what goes into models and comes out: it then has `wants_content = True`."""
        return any(getattr(hook, "wants_content", False) for hook in self.scope.hooks)

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called for this run."""
        return self.scope.switch is not None and self.scope.switch.reason is not None

    def __repr__(self) -> str:
        return f"<Context {self.where} of run {self.run_id}>"

    @property
    def where(self) -> str:
        """The path for people: `outer/inner`."""
        return "/".join(self.path) or "root"

    @property
    def calls(self) -> Calls:
        """The named calls made from here: the same for all changed copies of one context."""
        origin: Place = self
        while isinstance(origin._calls, Place):
            origin = origin._calls
        if origin._calls is None:
            with _making:  # threads may call from one place
                if origin._calls is None:
                    msgspec.structs.force_setattr(origin, "_calls", Calls())
        return cast("Calls", origin._calls)
