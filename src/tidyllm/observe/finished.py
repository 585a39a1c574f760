"""One span that has ended, as plain values. It knows how to become one of OpenTelemetry's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

__all__ = ["FinishedSpan", "Origin"]

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSET = Status(StatusCode.UNSET)


class Origin(msgspec.Struct, frozen=True, eq=False):
    """Where spans come from: compared by identity, for one hook has one of them."""

    resource: Resource
    scope: InstrumentationScope


class FinishedSpan(msgspec.Struct, frozen=True, gc=False):
    """What an exporter must know. It is sampled: no other is made."""

    origin: Origin
    name: str
    client: bool
    """Whether it called another service; else it is the process's own affair."""
    trace_id: int
    span_id: int
    parent_id: int
    """0: it has none."""
    parent_is_remote: bool
    started: int
    """Nanoseconds since 1970; `ended` too."""
    ended: int
    attributes: Mapping[str, str | bool | int | float | tuple[str, ...]]
    events: Sequence[Event] = ()
    error: str | None = None
    """What went wrong; None: nothing did."""

    def readable(self) -> ReadableSpan:
        """The same as OpenTelemetry's processors and exporters take it."""
        parent = self.parent_id
        return ReadableSpan(
            self.name,
            SpanContext(self.trace_id, self.span_id, False, _SAMPLED),
            SpanContext(self.trace_id, parent, self.parent_is_remote, _SAMPLED) if parent else None,
            self.origin.resource,
            self.attributes,
            self.events,
            kind=SpanKind.CLIENT if self.client else SpanKind.INTERNAL,
            status=_UNSET if self.error is None else Status(StatusCode.ERROR, self.error),
            start_time=self.started,
            end_time=self.ended,
            instrumentation_scope=self.origin.scope,
        )
