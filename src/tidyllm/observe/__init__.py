"""What happened, for those who watch: metrics, traces and logs of every run. Hooks on core's events, nothing more.

`observe()` turns them on for a process, `recording()` keeps spans in memory for a test or a notebook. Importing this
loads neither Prometheus nor OpenTelemetry nor structlog; what needs one of them is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidyllm.lazy import lazily
from tidyllm.observe.recorder import Counts, Recorder, Span, recording
from tidyllm.observe.setup import Observing, missing, observe

if TYPE_CHECKING:
    from tidyllm.observe.logging import Logs
    from tidyllm.observe.metrics import Metrics
    from tidyllm.observe.otel import Otel
    from tidyllm.observe.spans import SpanQueue

__all__ = [
    "Counts",
    "Logs",
    "Metrics",
    "Observing",
    "Otel",
    "Recorder",
    "Span",
    "SpanQueue",
    "observe",
    "recording",
]

_HOMES = {
    "tidyllm.observe.logging": ("Logs",),
    "tidyllm.observe.metrics": ("Metrics",),
    "tidyllm.observe.otel": ("Otel",),
    "tidyllm.observe.spans": ("SpanQueue",),
}
__getattr__, __dir__ = lazily(__name__, _HOMES, missing)
