"""A hook that makes OpenTelemetry spans of finished events. It knows spans and sampling; names are in `semconv`.

Spans are built after the call, from its record, with the ids and times of our own events: nothing is started, kept
or looked up while a call runs. A processor therefore hears `on_end` only, and never `on_start`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeAlias

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event as SpanEvent
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import TraceFlags

from tidyllm import clock
from tidyllm.core import AttemptFinished, BreakerChanged, CallFinished, Context, Event, FellBack, Retrying
from tidyllm.errors import ConfigError
from tidyllm.observe import semconv
from tidyllm.observe.finished import FinishedSpan, Origin
from tidyllm.observe.redact import short
from tidyllm.observe.spans import SpanQueue

__all__ = ["Otel"]

Mark: TypeAlias = Retrying | FellBack | BreakerChanged

_LOW = (1 << 64) - 1
_OPEN_CALLS = 20_000
"""Calls whose span events wait for their end. Beyond that the events are lost, and counted; the spans are not."""
_DRIFT = 10.0
"""Seconds after which the wall clock is asked again what the monotonic one means."""


class Otel:
    """One span for each call of a step and, below it, one for each attempt on the wire.

    - `processor`: gets every sampled span; a `BatchSpanProcessor` of yours, or a `SpanQueue`, which counts losses.
    - `ratio`: the part of the traces that is kept, 0 to 1; by trace id, as OpenTelemetry's own sampler decides, so that
      services with the same ratio keep the same traces.
    - `parent_based`: a run that continues somebody's trace (`traceparent`) is kept if and only if that one is.
    - `resource`: what runs here; default: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, else `tidyllm`.

    - `content`: record what goes into models and comes out, on the spans of attempts. It may hold what nobody else
      should read, so it is off unless asked for.

    Safe to be called from several threads.
    """

    def __init__(
        self,
        processor: SpanProcessor,
        *,
        ratio: float = 1.0,
        parent_based: bool = True,
        resource: Resource | None = None,
        version: str = "",
        content: bool = False,
    ) -> None:
        """:raises ConfigError: `ratio` is not between 0 and 1."""
        if not 0.0 <= ratio <= 1.0:
            raise ConfigError(f"the ratio of traces kept is between 0 and 1, not {ratio!r}.", where="ratio")
        self.wants_content = content
        self.processor = processor
        # As opentelemetry.sdk.trace.sampling.TraceIdRatioBased computes it.
        self._bound = round(ratio * (1 << 64))
        self._parent_based = parent_based
        self._origin = Origin(
            _resource() if resource is None else resource,
            InstrumentationScope("tidyllm", version, semconv.SCHEMA_URL),
        )
        # Our queue takes spans as they are; others take OpenTelemetry's.
        self._put: Callable[[FinishedSpan], None] = (
            processor.put
            if isinstance(processor, SpanQueue)
            else lambda span: processor.on_end(span.readable())
        )
        self._marks: dict[int, list[SpanEvent]] = {}
        self._marks_lock = threading.Lock()
        self.lost_marks = 0
        """Span events that were lost because too many calls with events were running."""
        self._offset = 0
        self._offset_until = 0.0
        self._offset_from = 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, CallFinished):
            self._call(event)
        elif isinstance(event, AttemptFinished):
            if self._sampled(event.ctx):
                self._attempt(event)
        elif isinstance(event, Retrying | FellBack | BreakerChanged) and self._sampled(event.ctx):
            self._mark(event)

    def keeps_trace(self, ctx: Context) -> bool:
        """Whether the spans of this run are kept. What is called from it is told by the flags of `traceparent`."""
        return self._sampled(ctx)

    def close(self) -> None:
        """Hand over what waits, and stop the processor. Blocks for as long as the processor's `shutdown` does."""
        self.processor.shutdown()

    # -- spans

    def _call(self, event: CallFinished) -> None:
        ctx = event.ctx
        if not self._sampled(ctx):
            return
        parent = ctx.parent_span_id
        root = parent == ctx.scope.parent_span
        offset = self._epoch(event.ended)
        self._put(
            FinishedSpan(
                self._origin,
                semconv.valid(event.step.name),
                False,
                ctx.trace_id,
                ctx.span_id,
                parent,
                root,
                int(event.started * 1e9) + offset,
                int(event.ended * 1e9) + offset,
                semconv.call_attributes(event, root=root),
                self._marks.pop(ctx.span_id, ()) if self._marks else (),
                None if event.error is None else _failure(event.error),
            )
        )

    def _attempt(self, event: AttemptFinished) -> None:
        ctx = event.ctx
        offset = self._epoch(event.ended)
        self._put(
            FinishedSpan(
                self._origin,
                semconv.attempt_name(event),
                True,
                ctx.trace_id,
                event.span_id,
                ctx.span_id,
                False,
                int(event.started * 1e9) + offset,
                int(event.ended * 1e9) + offset,
                semconv.attempt_attributes(event),
                (),
                None if event.error is None else _failure(event.error),
            )
        )

    def _mark(self, event: Mark) -> None:
        now = clock.monotonic()
        name, attributes = semconv.mark(event)
        mark = SpanEvent(name, attributes, int(now * 1e9) + self._epoch(now))
        with self._marks_lock:
            marks = self._marks.get(event.ctx.span_id)
            if marks is not None:
                marks.append(mark)
            elif len(self._marks) < _OPEN_CALLS:
                self._marks[event.ctx.span_id] = [mark]
            else:
                self.lost_marks += 1

    # -- decisions

    def _sampled(self, ctx: Context) -> bool:
        if self._parent_based and ctx.scope.parent_span:
            return bool(ctx.scope.trace_flags & TraceFlags.SAMPLED)
        return (ctx.trace_id & _LOW) < self._bound

    def _epoch(self, moment: float) -> int:
        """Nanoseconds to add to `clock.monotonic()` nanoseconds to get the time since 1970.

        The same for some seconds, so that the spans of one trace lie within each other.
        """
        if not self._offset_from <= moment < self._offset_until:
            now = clock.monotonic()
            self._offset = int(clock.now() * 1e9) - int(now * 1e9)
            self._offset_from = min(now, moment)
            self._offset_until = now + _DRIFT
        return self._offset


def _failure(error: BaseException) -> str | None:
    # Cancelled is not failed: whoever had asked does not want the answer any more.
    return None if isinstance(error, asyncio.CancelledError) else semconv.valid(short(error))


def _resource() -> Resource:
    resource = Resource.create()
    name = str(resource.attributes.get("service.name", ""))
    # OpenTelemetry's own default for a service that nobody named.
    return (
        resource.merge(Resource({"service.name": "tidyllm"}))
        if name.startswith("unknown_service")
        else resource
    )
