"""The run context: who runs, where in the tree, until when, at whose cost. It knows nothing of models or storage.

`ctx.call(step, x)` is the one seam. Durability, money and agents hang on it: a `Caller` may stand between the call and
the step, a `Budget` and an `Asker` are protocols that other folders implement (see `scope.py`).
"""

from __future__ import annotations

import math
import re
from collections.abc import AsyncGenerator, Coroutine, Mapping
from datetime import timedelta
from random import getrandbits
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from tidyllm import clock
from tidyllm.core.ambient import get_current, reset_current, set_current
from tidyllm.core.events import Event, Hook, Progress, default_hooks, deliver
from tidyllm.core.named import call, split_answer, stream
from tidyllm.core.names import check_name
from tidyllm.core.place import Place
from tidyllm.core.record import record, record_stream
from tidyllm.core.scope import NO_TAGS, Asker, Budget, Caller, Reservation, RunID, Scope
from tidyllm.core.trace import new_trace_id, parse_traceparent
from tidyllm.core.trace_state import checked_tracestate
from tidyllm.core.watch import Switch
from tidyllm.errors import NobodyToAsk, StepError

if TYPE_CHECKING:
    from tidyllm.core.step import Step

__all__ = [
    "Asker",
    "Budget",
    "Caller",
    "Context",
    "Reservation",
    "RunID",
    "get_current",
    "reset_current",
    "set_current",
]

I = TypeVar("I")  # noqa: E741 - the field's name for an input type
O = TypeVar("O")  # noqa: E741

_RUN_ID = re.compile(r"(?!0{32})[0-9a-fA-F]{32}")


class Context(Place, frozen=True, eq=False):
    """Immutable: every `with_…` gives a new one. Make a root with `Context.new()`; inside a step declare `ctx`."""

    # -- making one

    @classmethod
    def new(
        cls,
        *,
        run_id: str | None = None,
        deadline: float | timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        budget: Budget | None = None,
        asker: Asker | None = None,
        caller: Caller | None = None,
        hooks: tuple[Hook, ...] | None = None,
        trace_parent: str | None = None,
        trace_state: str | None = None,
    ) -> Context:
        """A new root.

        - `run_id`: 32 hexadecimal digits (also the trace id, where no trace came in); default: random.
        - `deadline`: seconds from now for everything below; default: none. 0 or less has passed already.
        - `hooks`: default: those installed for the process (`tidyllm.core.install`); `()` turns them off.
        - `trace_parent`: a W3C `traceparent` header to continue; a malformed one is ignored, as that standard asks.
        - `trace_state`: the `tracestate` header beside it, to be passed on; without a `trace_parent` it means nothing.

        :raises StepError: `run_id` is not 32 hexadecimal digits, or `deadline` is not a number.
        """
        trace, span, flags = parse_traceparent(trace_parent) or (0, 0, 1)
        number = 0
        if run_id is not None:
            if not _RUN_ID.fullmatch(run_id):
                raise StepError(f"run_id {run_id!r} is not a number of 32 hexadecimal digits, not all zero.")
            number = int(run_id, 16)
        chosen = default_hooks() if hooks is None else tuple(hooks)
        run = Scope(
            chosen,
            not chosen and caller is None,
            number or new_trace_id(),
            Switch(),
            MappingProxyType(dict(tags)) if tags else NO_TAGS,
            idempotency_key,
            budget,
            asker,
            caller,
            span,
            flags,
            entered=False,
            trace_state=checked_tracestate(trace_state) if span else "",
            trace=trace,
        )
        return cls(run, None, "", span, None if deadline is None else _moment(deadline))

    @staticmethod
    def current() -> Context | None:
        """The context of the step that is running in this task or thread; None outside of any."""
        return get_current()

    def with_(
        self,
        *,
        deadline: float | timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        budget: Budget | None = None,
        asker: Asker | None = None,
        caller: Caller | None = None,
    ) -> Context:
        """The same place with something changed. A later `deadline` changes nothing; `tags` are added.

        :raises StepError: `deadline` is not a number.
        """
        given = {"idempotency_key": idempotency_key, "budget": budget, "asker": asker, "caller": caller}
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if tags is not None:
            changes["tags"] = MappingProxyType({**self.scope.tags, **tags})
        if caller is not None:
            changes["plain"] = False
        until = self.deadline
        if deadline is not None:
            moment = _moment(deadline)
            if moment is not None and (until is None or moment < until):
                until = moment
                changes["entered"] = False  # so that the next call rings at the new deadline
        return self._copy(msgspec.structs.replace(self.scope, **changes) if changes else self.scope, until)

    def until(self, moment: float) -> Context:
        """The same place with the deadline at `moment` (`clock.monotonic()`), if that is earlier.

        For wrappers that watch the clock themselves; anyone else wants `with_(deadline=…)`, which also rings.
        """
        if self.deadline is not None and self.deadline <= moment:
            return self
        return self._copy(self.scope, moment)

    def shielded(self, deadline: float | timedelta) -> Context:
        """The same place, for undoing what was done: neither the deadline nor the cancellation of the run ends it.

        They end after `deadline` seconds of their own: nothing waits for ever. This is the one exception to the rule
        that a deadline only shrinks.
        """
        run = msgspec.structs.replace(self.scope, entered=False, watch=None, switch=None)
        return self._copy(run, _moment(deadline))

    def detached(self) -> Context:
        """The same place for calls from another event loop, which must watch deadline and cancellation anew."""
        return self._copy(msgspec.structs.replace(self.scope, entered=False), self.deadline)

    def place(self, segment: str) -> Context:
        """The place `segment` below this one, no call of its own: what happens there belongs to this call's record.

        A wrapper that runs its step once more does so in a place of its own, and sets it ambient (`run_here`): the
        calls below then have other paths than those of the first time, and nothing is taken for its former self.
        """
        return Context(self.scope, self, segment, self.span_id, self.deadline)

    def _copy(self, scope: Scope, deadline: float | None) -> Context:
        # Calls of the copy and of the original are calls of one place: both are counted together.
        return Context(scope, self.parent, self.segment, self.span_id, deadline, self._calls or self)

    # -- the seam

    def call(self, step: Step[I, O], x: I, name: str | None = None) -> Coroutine[Any, Any, O]:
        """Run `step` on `x` as a named, recorded call below this place.

        Its path ends with `name` (default: the step's own), the second and later ones in a row with `#2`, `#3`.

        :raises StepError: a call of that name is still running here; give each its own `name`.
        """
        return call(self, step, x, _name_of(step) if name is None else check_name(name), True)

    def stream(self, step: Step[I, Any], x: I, name: str | None = None) -> AsyncGenerator[Any, None]:
        """The pieces of `step` on `x`, as a named, recorded call. Close it (`contextlib.aclosing`) to leave early."""
        return stream(self, step, x, _name_of(step) if name is None else check_name(name), True)

    def nested(self, step: Step[I, O], x: I) -> Coroutine[Any, Any, O]:
        """What `await step(x)` does inside a step: `call` without a name.

        Several of them at the same time are told apart by number, in the order they start. A runtime that resumes runs
        cannot rely on that order: with a `caller` the second one is refused, as it is by `call`.
        """
        return call(self, step, x, step.name, self.scope.caller is not None)

    def nested_stream(self, step: Step[I, Any], x: I) -> AsyncGenerator[Any, None]:
        """What `step.stream(x)` does inside a step; see `nested`."""
        return stream(self, step, x, step.name, self.scope.caller is not None)

    async def ask(self, question: str) -> str:
        """Ask whoever stands behind this run.

        :raises NobodyToAsk: the context was made without `asker`.
        """
        asker = self.scope.asker
        if asker is None:
            raise NobodyToAsk(question, path=self.where)
        calls = self.calls
        segment = calls.begin("ask", self.scope.caller is not None, self)
        try:
            return await asker(question, self.place(segment))
        finally:
            calls.end("ask", segment)

    def progress(self, done: float, total: float | None = None) -> None:
        """Tell whoever watches that `done` of `total` is done."""
        if self.scope.hooks:
            deliver(self.scope.hooks, Progress(self, done, total))

    def cancel(self, reason: str = "cancelled") -> None:
        """Stop the run, from inside or outside, from any thread: all that runs under its root is cancelled.

        Calls started later from a root end at once. The run ends with `asyncio.CancelledError`, also when a step
        swallowed the cancellation.

        :raises StepError: the run was started without a context (`await step(x)`); cancel its task instead.
        """
        if self.scope.switch is None:
            raise StepError(
                f"run {self.run_id} was started without a context, so there is nothing to cancel it by.",
                hint="Start it with ctx = Context.new(); await step(x, ctx).",
            )
        self.scope.switch.cancel(reason)

    def emit(self, event: Event) -> None:
        """Hand an event to the hooks of this run."""
        if self.scope.hooks:
            deliver(self.scope.hooks, event)

    # -- for combinators, wrappers and runtimes

    def child(self, segment: str) -> Context:
        """The place `segment` below this one."""
        run = self.scope
        return Context(run, self, segment, getrandbits(64) or 1 if run.hooks else 0, self.deadline)

    async def run_child(self, step: Step[I, O], x: I, segment: str) -> O:
        """Run `step` at the place `segment`, which the caller keeps unique. What combinators use for their children."""
        run = self.scope
        # `child` without its frame.
        child = Context(run, self, segment, getrandbits(64) or 1 if run.hooks else 0, self.deadline)
        token = set_current(child)
        try:
            if run.plain:
                return await step.invoke(x, child)
            if run.caller is None:
                return await record(child, step, x)
            return await run.caller(step, x, child)
        finally:
            reset_current(token)

    def stream_child(self, step: Step[I, Any], x: I, segment: str) -> AsyncGenerator[Any, None]:
        """The pieces of `step` at the place `segment`."""
        return self.child(segment).perform_stream(step, x)

    def perform_stream(self, step: Step[I, Any], x: I) -> AsyncGenerator[Any, None]:
        """The pieces of `step` at this very place, through the run's caller if there is one, and recorded."""
        caller = self.scope.caller
        if caller is None:
            return record_stream(self, step, x)
        of_stream = getattr(caller, "stream", None)
        return split_answer(caller, step, x, self) if of_stream is None else of_stream(step, x, self)

    def record(self, step: Step[I, O], x: I) -> Coroutine[Any, Any, O]:
        """Run `step` at this very place and tell the hooks when it ended."""
        return record(self, step, x)

    def record_stream(self, step: Step[I, Any], x: I) -> AsyncGenerator[Any, None]:
        """The pieces of `step` at this very place; the hooks are told when the stream ended."""
        return record_stream(self, step, x)

    async def run_here(self, step: Step[I, O], x: I) -> O:
        """Run `step` at this very place, made ambient, with no record. For wrappers that changed the context."""
        token = set_current(self)
        try:
            return await step.invoke(x, self)
        finally:
            reset_current(token)

    def stream_here(self, step: Step[I, Any], x: I) -> AsyncGenerator[Any, None]:
        """The pieces of `step` at this very place, made ambient for each, with no record."""
        return record_stream(self, step, x, hooks=())


def _name_of(step: Step[Any, Any]) -> str:
    try:
        return step.name
    except AttributeError:
        raise StepError(
            f"{step!r} (a {type(step).__name__}) is not a step.", hint="Make one of a function with @step."
        ) from None


def _moment(deadline: float | timedelta) -> float | None:
    """The clock's time after these seconds; None for infinitely many."""
    left = clock.seconds(deadline)
    if math.isnan(left):
        raise StepError("deadline=nan is not a number of seconds.")
    return None if left == math.inf else clock.monotonic() + left
