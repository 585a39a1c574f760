"""The run context: who runs, where in the tree, until when, at whose cost. It knows nothing of models or storage.

`ctx.call(step, x)` is the one seam. Durability, money and agents hang on it: a `Caller` may stand between the call and
the step, a `Budget` and an `Asker` are protocols that other folders implement.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextvars import ContextVar
from datetime import timedelta
from decimal import Decimal
from random import getrandbits
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NewType, Protocol, TypeVar

import msgspec

from tidyllm import clock
from tidyllm.core.alarm import Alarm
from tidyllm.core.events import CallFinished, Event, Hook, Progress, default_hooks, deliver
from tidyllm.errors import NobodyToAsk, StepError, TimeoutExceeded

if TYPE_CHECKING:
    from tidyllm.core.step import Step

__all__ = ["Asker", "Budget", "Caller", "Context", "Reservation", "RunID"]

I = TypeVar("I")  # noqa: E741 - the field's name for an input type
O = TypeVar("O")  # noqa: E741

RunID = NewType("RunID", str)


class Reservation(Protocol):
    """Money put aside for one attempt."""

    async def settle(self, cost_usd: Decimal | None) -> None:
        """Say what it really cost, in US dollars; None when that cannot be known (it stays in doubt)."""
        ...


class Budget(Protocol):
    """A cap on what may be spent. Implemented by `money`."""

    async def reserve(self, at_most_usd: Decimal | None, *, what: str) -> Reservation:
        """Put aside the most that an attempt can cost; None when its price is unknown.

        :raises TidyllmError: the cap would be passed, or the price is unknown; the attempt is then not made.
        """
        ...


class Asker(Protocol):
    """Someone who answers questions of a running step: a person, a rule."""

    async def __call__(self, question: str, ctx: Context, /) -> str: ...


class Caller(Protocol):
    """Stands between `ctx.call` and the step; a durable runtime is one. To run the step: `await child.record(step, x)`."""

    def __call__(self, step: Step[I, O], x: I, child: Context, /) -> Coroutine[Any, Any, O]: ...


_NO_TAGS: Mapping[str, str] = MappingProxyType({})


class Scope(msgspec.Struct, eq=False):
    """What the contexts of one run share. Replaced, never changed, but for `id`, made when it is first asked for."""

    hooks: tuple[Hook, ...] = ()
    plain: bool = True
    """Neither hooks nor a caller: children are called directly."""
    id: int = 0
    tasks: set[asyncio.Task[Any]] | None = None
    cancelled: list[str] | None = None
    tags: Mapping[str, str] = _NO_TAGS
    idempotency_key: str | None = None
    budget: Budget | None = None
    asker: Asker | None = None
    caller: Caller | None = None
    parent_span: int = 0
    entered: bool = True


_current: ContextVar[Context | None] = ContextVar("tidyllm_context", default=None)
get_current = _current.get
set_current = _current.set
"""Makes a context the ambient one. `invoke(x, ctx)` is always called with `ctx` ambient: whoever makes a context for a
step sets it before and restores it after (`reset_current`); in a task of its own there is nothing to restore."""
reset_current = _current.reset


class Context(msgspec.Struct, frozen=True, eq=False, weakref=True):
    """Immutable: every `with_…` gives a new one. Make a root with `Context.new()`; inside a step declare `ctx`."""

    scope: Scope
    """What is shared with the other contexts of the run. For combinators; read the properties below instead."""
    parent: Context | None = None
    segment: str = ""
    """The last part of `path`."""
    span_id: int = 0
    """Id of this call in the trace, 64 bits; 0 when nobody watches."""
    deadline: float | None = None
    """When everything here must be done (`clock.monotonic()` seconds); None for no limit."""
    _calls: dict[str, list[int]] | None = None

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
    ) -> Context:
        """A new root.

        - `run_id`: 32 hexadecimal digits (it is also the trace id); default: random.
        - `deadline`: seconds from now for everything below; default: none.
        - `hooks`: default: those installed for the process (`tidyllm.core.install`); `()` turns them off.
        - `trace_parent`: a W3C `traceparent` header to continue; a malformed one is ignored, as that standard asks.

        :raises StepError: `run_id` is not 32 hexadecimal digits.
        """
        trace, span = _parse_traceparent(trace_parent)
        if run_id is not None:
            try:
                trace = int(run_id, 16) if len(run_id) == 32 else 0
            except ValueError:
                trace = 0
            if not trace:
                raise StepError(f"run_id {run_id!r} is not a number of 32 hexadecimal digits, not all zero.")
        chosen = default_hooks() if hooks is None else tuple(hooks)
        run = Scope(
            chosen,
            not chosen and caller is None,
            trace or getrandbits(128),
            tasks=set(),
            cancelled=[],
            tags=MappingProxyType(dict(tags)) if tags else _NO_TAGS,
            idempotency_key=idempotency_key,
            budget=budget,
            asker=asker,
            caller=caller,
            parent_span=span,
            entered=False,
        )
        until = None if deadline is None else clock.monotonic() + clock.seconds(deadline)
        return cls(run, None, "", span, until)

    @staticmethod
    def current() -> Context | None:
        """The context of the step that is running in this task or thread; None outside of any."""
        return _current.get()

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
        """The same place with something changed. A later `deadline` than today's changes nothing; `tags` are added."""
        changes: dict[str, Any] = {}
        if tags is not None:
            changes["tags"] = MappingProxyType({**self.scope.tags, **tags})
        for name, value in (
            ("idempotency_key", idempotency_key), ("budget", budget), ("asker", asker), ("caller", caller)
        ):  # fmt: skip
            if value is not None:
                changes[name] = value
        if caller is not None:
            changes["plain"] = False
        until = self.deadline
        if deadline is not None:
            until = clock.monotonic() + clock.seconds(deadline)
            if self.deadline is not None and self.deadline <= until:
                until = self.deadline
            else:
                changes["entered"] = False
        run = msgspec.structs.replace(self.scope, **changes) if changes else self.scope
        return Context(run, self.parent, self.segment, self.span_id, until)

    def until(self, moment: float) -> Context:
        """The same place with the deadline at `moment` (`clock.monotonic()`), if that is earlier.

        For wrappers that watch the clock themselves; anyone else wants `with_(deadline=…)`, which also rings.
        """
        if self.deadline is not None and self.deadline <= moment:
            return self
        return Context(self.scope, self.parent, self.segment, self.span_id, moment)

    # -- reading it

    @property
    def run_id(self) -> RunID:
        """Id of the whole run, 32 hexadecimal digits; also the trace id."""
        return RunID(f"{self._trace_id():032x}")

    def _trace_id(self) -> int:
        if not self.scope.id:
            self.scope.id = getrandbits(128) or 1
        return self.scope.id

    @property
    def parent_span_id(self) -> int:
        """Id of the call around this one; 0 for none."""
        return self.scope.parent_span if self.parent is None else self.parent.span_id

    @property
    def trace_parent(self) -> str:
        """The W3C `traceparent` header for a call made from here."""
        return f"00-{self._trace_id():032x}-{self.span_id or getrandbits(64) or 1:016x}-01"

    @property
    def path(self) -> tuple[str, ...]:
        """Where in the tree of calls, outermost first."""
        parts: list[str] = []
        at: Context | None = self
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
        """Whether calls below go through `perform`: someone hears events, or a runtime stands in between."""
        return not self.scope.plain

    @property
    def watched(self) -> bool:
        """Whether anyone hears events; when not, none need be made."""
        return bool(self.scope.hooks)

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called for this run."""
        return bool(self.scope.cancelled)

    def __repr__(self) -> str:
        return f"<Context {'/'.join(self.path) or 'root'} of run {self.run_id}>"

    # -- the seam

    def call(self, step: Step[I, O], x: I, name: str | None = None) -> Coroutine[Any, Any, O]:
        """Run `step` on `x` as a named, recorded call below this place.

        Its path ends with `name` (default: the step's own), the second and later ones in a row with `#2`, `#3`.

        :raises StepError: a call of that name is still running here; give each its own `name`.
        """
        return self._named(step, x, name or step.name)

    def stream(self, step: Step[I, Any], x: I, name: str | None = None) -> AsyncGenerator[Any, None]:
        """The pieces of `step` on `x`, as a named, recorded call. Close it (`contextlib.aclosing`) when leaving early."""
        return self._named_stream(step, x, name or step.name)

    async def ask(self, question: str) -> str:
        """Ask whoever stands behind this run.

        :raises NobodyToAsk: the context was made without `asker`.
        """
        if self.scope.asker is None:
            raise NobodyToAsk(question, path="/".join(self.path))
        return await self.scope.asker(question, self)

    def progress(self, done: float, total: float | None = None) -> None:
        """Tell whoever watches that `done` of `total` is done."""
        if self.scope.hooks:
            deliver(self.scope.hooks, Progress(self, done, total))

    def cancel(self, reason: str = "cancelled") -> None:
        """Stop the run: every task that runs under its root is cancelled. Calls started later end at once.

        :raises StepError: the run was started without a context (`await step(x)`); cancel its task instead.
        """
        run = self.scope
        if run.cancelled is None or run.tasks is None:
            raise StepError(
                f"run {self.run_id} was started without a context, so there is nothing to cancel it by.",
                hint="Start it with ctx = Context.new(); await step(x, ctx).",
            )
        run.cancelled.append(reason)
        for task in run.tasks:
            task.cancel(reason)

    def emit(self, event: Event) -> None:
        """Hand an event to the hooks of this run."""
        if self.scope.hooks:
            deliver(self.scope.hooks, event)

    # -- for combinators and runtimes

    def child(self, segment: str) -> Context:
        """The place `segment` below this one."""
        run = self.scope
        return Context(run, self, segment, getrandbits(64) or 1 if run.hooks else 0, self.deadline)

    async def run_child(self, step: Step[I, O], x: I, segment: str) -> O:
        """Run `step` at the place `segment`, which the caller keeps unique. What combinators use for their children."""
        run = self.scope
        child = Context(run, self, segment, 0, self.deadline) if run.plain else self.child(segment)
        token = set_current(child)
        try:
            if run.plain:
                return await step.invoke(x, child)
            return await child.perform(step, x)
        finally:
            reset_current(token)

    def stream_child(self, step: Step[I, Any], x: I, segment: str) -> AsyncGenerator[Any, None]:
        """The pieces of `step` at the place `segment`."""
        child = self.child(segment)
        return step.invoke_stream(x, child) if self.scope.plain else child.perform_stream(step, x)

    def perform(self, step: Step[I, O], x: I) -> Coroutine[Any, Any, O]:
        """Run `step` at this very place, through the run's caller if there is one, and record it."""
        if self.scope.caller is not None:
            return self.scope.caller(step, x, self)
        return self.record(step, x)

    async def record(self, step: Step[I, O], x: I) -> O:
        """Run `step` at this very place and tell the hooks when it ended."""
        started = clock.monotonic()
        try:
            result = await step.invoke(x, self)
        except BaseException as error:
            deliver(self.scope.hooks, CallFinished(self, step, started, clock.monotonic(), error))
            raise
        deliver(self.scope.hooks, CallFinished(self, step, started, clock.monotonic()))
        return result

    async def perform_stream(self, step: Step[I, Any], x: I) -> AsyncGenerator[Any, None]:
        """The pieces of `step` at this very place, recorded when the stream ends."""
        started = clock.monotonic()
        first: float | None = None
        count = 0
        failure: BaseException | None = None
        pieces = step.invoke_stream(x, self)
        try:
            async for piece in pieces:
                if first is None:
                    first = clock.monotonic()
                count += 1
                yield piece
        except BaseException as error:
            failure = error
            raise
        finally:
            await pieces.aclose()
            if isinstance(failure, GeneratorExit):
                failure = asyncio.CancelledError("the reader left the stream")
            deliver(
                self.scope.hooks, CallFinished(self, step, started, clock.monotonic(), failure, first, count)
            )

    async def _named(self, step: Step[I, O], x: I, name: str) -> O:
        segment = self._begin(name)
        try:
            if self.scope.entered:
                return await self.run_child(step, x, segment)
            return await self._enter(step, x, segment)
        finally:
            self._end(name)

    async def _named_stream(self, step: Step[I, Any], x: I, name: str) -> AsyncGenerator[Any, None]:
        segment = self._begin(name)
        here = self if self.scope.entered else self._entered()
        pieces = here.stream_child(step, x, segment)
        try:
            while True:
                with self._watch(step.name):
                    try:
                        piece = await anext(pieces)
                    except StopAsyncIteration:
                        return
                yield piece
        finally:
            self._end(name)
            await pieces.aclose()

    async def _enter(self, step: Step[I, O], x: I, segment: str) -> O:
        with self._watch(step.name):
            return await self._entered().run_child(step, x, segment)

    def _entered(self) -> Context:
        run = msgspec.structs.replace(self.scope, entered=True)
        return Context(run, self.parent, self.segment, self.span_id, self.deadline)

    def _watch(self, what: str) -> _Watch:
        return _Watch(self, what)

    def _begin(self, name: str) -> str:
        calls = self._calls
        if calls is None:
            calls = {}
            msgspec.structs.force_setattr(self, "_calls", calls)
        state = calls.setdefault(name, [0, 0])
        if state[1]:
            raise StepError(
                f"{name!r} is already running in {'/'.join(self.path) or 'the root'!r}; calls at the same time "
                "need different names.",
                hint="Pass name=… to ctx.call, one for each.",
            )
        state[0] += 1
        state[1] = 1
        return name if state[0] == 1 else f"{name}#{state[0]}"

    def _end(self, name: str) -> None:
        if self._calls is not None:
            self._calls[name][1] = 0


class _Watch:
    """Guards one entry into a context made by hand: its deadline rings, and `cancel` finds the task."""

    __slots__ = ("_alarm", "_ctx", "_task", "_what")

    def __init__(self, ctx: Context, what: str) -> None:
        self._ctx = ctx
        self._what = what
        self._alarm: Alarm | None = None

    def __enter__(self) -> None:
        run, deadline = self._ctx.scope, self._ctx.deadline
        if run.entered:
            return
        self._task = None
        if run.cancelled:
            raise asyncio.CancelledError(run.cancelled[-1])
        if deadline is not None:
            left = deadline - clock.monotonic()
            if left <= 0:
                raise TimeoutExceeded("deadline", 0.0, what=f"step {self._what!r}")
            self._alarm = Alarm(left, "deadline", left, f"step {self._what!r}")
            self._alarm.__enter__()
        self._task = asyncio.current_task()
        if run.tasks is not None and self._task is not None:
            run.tasks.add(self._task)

    def __exit__(self, *error: Any) -> None:
        run = self._ctx.scope
        if run.entered:
            return
        if run.tasks is not None and self._task is not None:
            run.tasks.discard(self._task)
        if self._alarm is not None:
            self._alarm.__exit__(*error)


async def run_root(step: Step[I, O], x: I) -> O:
    """Run a step that was called without any context, as a run of its own."""
    hooks = default_hooks()
    if hooks:
        root = Context(Scope(hooks, False, getrandbits(128)), None, step.name, getrandbits(64) or 1)
        token = set_current(root)
        try:
            return await root.record(step, x)
        finally:
            reset_current(token)
    root = Context(Scope(), None, step.name)
    token = set_current(root)
    try:
        return await step.invoke(x, root)
    finally:
        reset_current(token)


def stream_root(step: Step[I, Any], x: I) -> AsyncGenerator[Any, None]:
    """The pieces of a step that was called without any context, as a run of its own."""
    hooks = default_hooks()
    if hooks:
        root = Context(Scope(hooks, False, getrandbits(128)), None, step.name, getrandbits(64) or 1)
        return root.perform_stream(step, x)
    return step.invoke_stream(x, Context(Scope(), None, step.name))


async def run_in(ctx: Context, step: Step[I, O], x: I) -> O:
    """Run a step in a context given by hand that is not the ambient one."""
    token = set_current(ctx)
    try:
        return await step.invoke(x, ctx)
    finally:
        reset_current(token)


def _parse_traceparent(header: str | None) -> tuple[int, int]:
    parts = (header or "").strip().split("-")
    if len(parts) < 4 or [len(part) for part in parts[:4]] != [2, 32, 16, 2] or parts[0] == "ff":
        return 0, 0
    try:
        trace, span = int(parts[1], 16), int(parts[2], 16)
    except ValueError:
        return 0, 0
    return (trace, span) if trace and span else (0, 0)
