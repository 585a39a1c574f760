"""What the contexts of one run share, and the protocols that other folders implement. It runs nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NewType, Protocol, TypeVar

import msgspec

if TYPE_CHECKING:
    from tidyllm.core.context import Context
    from tidyllm.core.events import AttemptFinished, AttemptStarted, Hook
    from tidyllm.core.step import Step
    from tidyllm.core.watch import Switch, Watch

__all__ = [
    "Asker",
    "Booking",
    "Bookkeeper",
    "Budget",
    "Caller",
    "Reservation",
    "RunID",
    "Scope",
    "StreamCaller",
]

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


class Booking(Reservation, Protocol):
    """Money put aside for one attempt, by someone who also writes down how it went."""

    def close(self, cost_usd: Decimal | None, ended: AttemptFinished | None) -> None:
        """As `settle`, with the whole record of the attempt (None: nothing was sent). It never waits."""
        ...


class Bookkeeper(Budget, Protocol):
    """A budget that keeps books. An attempt calls `book` in place of `reserve` where a budget has it."""

    async def book(self, at_most_usd: Decimal | None, attempt: AttemptStarted) -> Booking:
        """As `reserve`, with who asks whom, and from where. The span id is the one the attempt is going to have.

        :raises TidyllmError: as `reserve`.
        """
        ...


class Asker(Protocol):
    """Someone who answers questions of a running step: a person, a rule. `ctx.path` tells questions apart."""

    async def __call__(self, question: str, ctx: Context, /) -> str: ...


class Caller(Protocol):
    """Stands between the seam and every step below it; a durable runtime is one.

    It is called exactly once for each call: of a child of a combinator, by name, from the root, or of a step inside a
    step. `child.path` is unique in the run. To run the step: `await child.record(step, x)`.

    A streamed step passes through here as well: it is then run whole, and its answer comes as the pieces that
    `step.split(answer)` makes of it. A caller that can do better is a `StreamCaller`.
    """

    def __call__(self, step: Step[I, O], x: I, child: Context, /) -> Coroutine[Any, Any, O]: ...


class StreamCaller(Caller, Protocol):
    """A `Caller` that also stands between the seam and streams."""

    def stream(self, step: Step[I, Any], x: I, child: Context, /) -> AsyncGenerator[Any, None]:
        """The pieces of `step`. To run it: `child.record_stream(step, x)`, which must be closed when left early."""
        ...


NO_TAGS: Mapping[str, str] = MappingProxyType({})


class Scope(msgspec.Struct, frozen=True, eq=False):
    """What the contexts of one run share. Replaced, never changed."""

    hooks: tuple[Hook, ...] = ()
    plain: bool = True
    """Neither hooks nor a caller: children are called directly."""
    id: int = 0
    """Of the run, 128 bits; 0: made when it is first asked for."""
    switch: Switch | None = None
    """Cancels the run; None for a run that was started without a context."""
    tags: Mapping[str, str] = NO_TAGS
    idempotency_key: str | None = None
    budget: Budget | None = None
    asker: Asker | None = None
    caller: Caller | None = None
    parent_span: int = 0
    trace_flags: int = 1
    entered: bool = True
    """A call is under way that watches the deadline and can be cancelled."""
    watch: Watch | None = None
    """What watches, if this run was entered by a context made by hand."""
    trace_state: str = ""
    """The `tracestate` that came with the trace."""
    trace: int = 0
    """The trace that came in, which goes on here, 128 bits; 0: the run's id is its trace's."""


PLAIN = Scope()
"""Of all runs that were started without a context and are not watched."""
