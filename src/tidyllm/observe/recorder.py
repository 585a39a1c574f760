"""Calls and attempts kept in memory, for tests, notebooks and benchmarks. It knows no exporter and writes nothing."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Generator, Mapping
from typing import Any, Literal

import msgspec

from tidyllm.core import (
    AttemptFinished,
    BreakerChanged,
    CallFinished,
    Context,
    Event,
    FellBack,
    Retrying,
    install,
)

__all__ = ["Counts", "Recorder", "Span", "recording"]


class Span(msgspec.Struct, frozen=True, eq=False):
    """One finished call of a step, or one attempt on the wire. Times are `clock.monotonic()` seconds.

    `error` is the class of the error that ended it, None on success. It keeps no error and no value that went in or
    came out, so that records hold nothing alive but their contexts.
    """

    kind: Literal["call", "attempt"]
    name: str
    """The step's name, or the model that was asked for."""
    ctx: Context
    """Where: of a call its own place, of an attempt that of the call around it."""
    span_id: int
    started: float
    ended: float
    error: str | None = None
    first_piece: float | None = None
    attributes: Mapping[str, Any] = {}

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.started

    @property
    def trace_id(self) -> int:
        """Id of the whole run, 128 bits."""
        return self.ctx.trace_id

    @property
    def parent_id(self) -> int:
        """Span id of the call around it; 0 for none."""
        return self.ctx.parent_span_id if self.kind == "call" else self.ctx.span_id

    @property
    def path(self) -> tuple[str, ...]:
        """Where in the tree of calls, outermost first."""
        return self.ctx.path

    def __repr__(self) -> str:
        end = f" {self.error}" if self.error else ""
        return f"<{self.kind} {self.name} {self.seconds:.6f} s{end}>"


class Counts(msgspec.Struct):
    """How often what happened, the spans included that the ring has lost since."""

    calls: int = 0
    failed_calls: int = 0
    attempts: int = 0
    failed_attempts: int = 0
    retries: int = 0
    fallbacks: int = 0
    breaker_changes: int = 0


class Recorder:
    """A hook that keeps the last `size` spans, and counts.

    10,000 spans are about 4 MB. Counts are exact on one event loop; threads of their own loops may lose one in a race.
    """

    def __init__(self, size: int = 10_000) -> None:
        self.counts = Counts()
        self._ring: deque[Span] = deque(maxlen=size)
        self._keep = self._ring.append

    def __call__(self, event: Event) -> None:
        counts = self.counts
        if isinstance(event, CallFinished):
            ctx, error = event.ctx, event.error
            counts.calls += 1
            failure = None
            if error is not None:
                counts.failed_calls += 1
                failure = type(error).__name__
            self._keep(
                Span(
                    "call",
                    event.step.name,
                    ctx,
                    ctx.span_id,
                    event.started,
                    event.ended,
                    failure,
                    event.first_piece,
                )
            )
        elif isinstance(event, AttemptFinished):
            self._attempt(event)
        elif isinstance(event, Retrying):
            counts.retries += 1
        elif isinstance(event, FellBack):
            counts.fallbacks += 1
        elif isinstance(event, BreakerChanged):
            counts.breaker_changes += 1

    def _attempt(self, event: AttemptFinished) -> None:
        self.counts.attempts += 1
        failure = None
        if event.error is not None:
            self.counts.failed_attempts += 1
            failure = type(event.error).__name__
        self._keep(
            Span(
                "attempt",
                event.model,
                event.ctx,
                event.span_id,
                event.started,
                event.ended,
                failure,
                event.first_piece,
                {
                    "operation": event.operation,
                    "provider": event.provider,
                    "target": event.target,
                    **event.attributes,
                },
            )
        )

    @property
    def spans(self) -> tuple[Span, ...]:
        """What is kept, in the order in which it finished: children before what is around them."""
        return tuple(self._ring)

    @property
    def calls(self) -> tuple[Span, ...]:
        """The kept calls of steps."""
        return tuple(span for span in self._ring if span.kind == "call")

    @property
    def attempts(self) -> tuple[Span, ...]:
        """The kept attempts on the wire."""
        return tuple(span for span in self._ring if span.kind == "attempt")

    def clear(self) -> None:
        """Forget all spans and start the counts anew."""
        self._ring.clear()
        self.counts = Counts()

    def tree(self) -> str:
        """What is kept as indented text, each span below the one around it, in the order in which they began."""
        spans = sorted(self._ring, key=lambda span: span.started)
        known = {(span.trace_id, span.span_id) for span in spans}
        below: dict[tuple[int, int], list[Span]] = {}
        for span in spans:
            above = (span.trace_id, span.parent_id)
            below.setdefault(above if above in known else (0, 0), []).append(span)
        lines: list[str] = []
        waiting = [(span, 0) for span in reversed(below.get((0, 0), []))]
        while waiting:
            span, depth = waiting.pop()
            end = f"  {span.error}" if span.error else ""
            lines.append(f"{'  ' * depth}{span.name}  {span.seconds * 1000:.3f} ms{end}")
            children = below.get((span.trace_id, span.span_id), [])
            waiting.extend((child, depth + 1) for child in reversed(children))
        return "\n".join(lines)


@contextlib.contextmanager
def recording(size: int = 10_000) -> Generator[Recorder]:
    """Record every run that begins within the block: `with recording() as calls: ...; print(calls.tree())`."""
    recorder = Recorder(size)
    remove = install(recorder)
    try:
        yield recorder
    finally:
        remove()
