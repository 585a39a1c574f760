"""What happened, as frozen records, and who hears of it. Events know where they happened, not what a hook does.

A hook is called on the event loop, inside the program: it must be quick and must not block. One that raises is reported
once to the `tidyllm` logger and cannot break the program. Without hooks no record is made.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import msgspec

if TYPE_CHECKING:
    from tidyllm.core.context import Context
    from tidyllm.core.step import Step

__all__ = [
    "AttemptFinished",
    "AttemptStarted",
    "BreakerChanged",
    "CacheLookup",
    "CacheSaved",
    "CallFinished",
    "Event",
    "FellBack",
    "Hook",
    "Progress",
    "Retrying",
    "default_hooks",
    "install",
]


class CallFinished(msgspec.Struct, frozen=True, eq=False):
    """One call through the seam ended: `ctx.call(step, x)`, a root call, or a child of a combinator.

    Times are `clock.monotonic()` seconds. `first_piece` is None unless the call was streamed and a piece came.
    `error` is None on success; a cancellation is `asyncio.CancelledError`.
    """

    ctx: Context
    step: Step[Any, Any]
    started: float
    ended: float
    error: BaseException | None = None
    first_piece: float | None = None
    pieces: int = 0


class AttemptStarted(msgspec.Struct, frozen=True, eq=False):
    """One attempt on the wire begins: a model is about to send its request to the provider configured as `target`."""

    ctx: Context
    span_id: int
    provider: str
    target: str
    model: str


class AttemptFinished(msgspec.Struct, frozen=True, eq=False):
    """One attempt on the wire ended: a model's request to its provider.

    `span_id` is its own id, its parent is `ctx.span_id`. `attributes` holds what is known, under these names:
    `input_tokens`, `output_tokens`, `cache_read_tokens`, `cache_write_5m_tokens`, `cache_write_1h_tokens`,
    `reasoning_tokens`, `cost_usd` (Decimal), `finish_reason`, `response_id`, `response_model`, `request_id`, `status`,
    `server_address`, `server_port`, `stream`, `max_tokens`, `temperature`, `top_p`; a missing name is unknown.

    Only where a hook asks for content (`wants_content = True`) also `input_messages`, `output_messages` and
    `system_instructions`, as JSON texts in the shape of OpenTelemetry's `gen_ai.input.messages`.
    """

    ctx: Context
    span_id: int
    operation: str
    """`chat`, `embeddings`, … as in OpenTelemetry's `gen_ai.operation.name`."""
    provider: str
    """The provider's kind, as in `gen_ai.provider.name`."""
    target: str
    """The configured name of the provider (`main`), for people."""
    model: str
    started: float
    ended: float
    error: BaseException | None = None
    first_piece: float | None = None
    attributes: Mapping[str, Any] = {}


class Retrying(msgspec.Struct, frozen=True, eq=False):
    """Attempt number `attempt` (from 1) of `name` failed with `error`; the next one starts after `delay` seconds."""

    ctx: Context
    name: str
    attempt: int
    error: BaseException
    delay: float


class FellBack(msgspec.Struct, frozen=True, eq=False):
    """`source` failed with `error`; `target` is tried now."""

    ctx: Context
    source: str
    target: str
    error: BaseException


class BreakerChanged(msgspec.Struct, frozen=True, eq=False):
    """The circuit breaker `name` is now `closed`, `open` or `half_open`."""

    ctx: Context
    name: str
    state: str


class CacheLookup(msgspec.Struct, frozen=True, eq=False):
    """The cache called `name` was asked for an answer.

    `outcome` is `hit` (kept), `joined` (an equal call was under way), `similar` (the kept answer to a question that
    means the same), `miss` (the step was called), or `bypass` (the caller or the request wanted no cache).
    `saved_usd` is what the answer had cost; None when unknown, or for a miss. `attributes` names what is known of the
    answer, as in `AttemptFinished`, and `age` in seconds. Of a stream that was joined nothing is known when it begins:
    then `more` is true, and a `CacheSaved` follows at its end.
    """

    ctx: Context
    name: str
    outcome: str
    saved_usd: Decimal | None = None
    attributes: Mapping[str, Any] = {}
    more: bool = False


class CacheSaved(msgspec.Struct, frozen=True, eq=False):
    """A stream that was joined has ended: what the cache called `name` saved by it.

    `saved_usd` and `attributes` are those of `CacheLookup`; empty when it broke, or was left before its end.
    """

    ctx: Context
    name: str
    saved_usd: Decimal | None = None
    attributes: Mapping[str, Any] = {}


class Progress(msgspec.Struct, frozen=True, eq=False):
    """A step reports that it has done `done` of `total` (None: unknown)."""

    ctx: Context
    done: float
    total: float | None


Event: TypeAlias = (
    CallFinished
    | AttemptStarted
    | AttemptFinished
    | Retrying
    | FellBack
    | BreakerChanged
    | CacheLookup
    | CacheSaved
    | Progress
)


class Hook(Protocol):
    """Anything that takes an event. Unknown events must be ignored, so that new kinds can be added."""

    def __call__(self, event: Event, /) -> None: ...


installed: tuple[Hook, ...] = ()
"""The hooks that every new root context gets. Replaced, never changed: read it through the module."""

# By id, because a hook need not be hashable. The reference makes sure that the id is not given to another hook.
_reported: dict[int, object] = {}


def default_hooks() -> tuple[Hook, ...]:
    """The hooks that every new root context gets."""
    return installed


def install(hook: Hook) -> Callable[[], None]:
    """Let every root context made from now on call `hook`; returns the function that takes it away again."""
    global installed  # noqa: PLW0603 - one tuple for the process, replaced and never changed
    installed = (*installed, hook)
    there = True

    def remove() -> None:
        global installed  # noqa: PLW0603
        nonlocal there
        if there:
            there = False
            at = next(index for index, other in enumerate(installed) if other is hook)
            installed = (*installed[:at], *installed[at + 1 :])

    return remove


def deliver(hooks: tuple[Hook, ...], event: Event) -> None:
    """Hand `event` to each hook in order."""
    for hook in hooks:
        try:
            hook(event)
        except Exception:  # noqa: BLE001 - whoever watches must not break what is watched
            _report(hook, event)


def _report(hook: Hook, event: Event) -> None:
    key = id(hook)
    if key in _reported:
        return
    try:
        _reported[key] = weakref.ref(hook, lambda _: _reported.pop(key, None))
    except TypeError:
        _reported[key] = hook
    logging.getLogger("tidyllm").exception(  # noqa: LOG004 - called by an exception's handler
        "hook %r failed on %s; the program goes on, further failures of this hook are not reported",
        hook,
        type(event).__name__,
    )
