"""What happened, for those who watch: metrics, traces and logs of every run. Hooks on core's events, nothing more.

`observe()` turns them on for a process, `recording()` keeps spans in memory for a test or a notebook. Importing this
loads neither Prometheus nor OpenTelemetry nor structlog; what needs one of them is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    "Logs": "tidyllm.observe.logging",
    "Metrics": "tidyllm.observe.metrics",
    "Otel": "tidyllm.observe.otel",
    "SpanQueue": "tidyllm.observe.spans",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    try:
        value: object = getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        raise missing(error) from error
    globals()[name] = value  # the next use does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
