"""Turning observation on for the whole process, by one call, and off again. It knows which hooks there are."""

from __future__ import annotations

import contextlib
import os
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Literal, Protocol, Self, TypeAlias

import msgspec

from tidyllm.core import install
from tidyllm.errors import ConfigError

if TYPE_CHECKING:
    from tidyllm.observe.logging import Logs
    from tidyllm.observe.metrics import Metrics
    from tidyllm.observe.otel import Otel
    from tidyllm.observe.spans import SpanQueue

__all__ = ["Observing", "Settings", "missing", "observe"]

Level: TypeAlias = Literal["debug", "info", "warning", "error"]


class Settings(Protocol):
    """What a configuration says of observation; see `observe` for the meanings."""

    @property
    def metrics(self) -> bool: ...
    @property
    def log(self) -> Literal["json", "console", "off"]: ...
    @property
    def log_level(self) -> Level: ...
    @property
    def traces(self) -> Literal["off", "otlp"]: ...
    @property
    def content(self) -> bool: ...


class _Defaults(msgspec.Struct, frozen=True):
    metrics: bool = True
    log: Literal["json", "console", "off"] = "console"
    log_level: Level = "info"
    traces: Literal["off", "otlp"] = "off"
    content: bool = False


class Observing:
    """What is on. `close()`, or leaving the `with` block, turns it off and sends what waits."""

    def __init__(self) -> None:
        self.metrics: Metrics | None = None
        """Prometheus metrics; None when they are off."""
        self.traces: Otel | None = None
        self.spans: SpanQueue | None = None
        """The queue of spans on their way to the collector, with its counts."""
        self.logs: Logs | None = None
        self._ends = contextlib.ExitStack()

    def start_logs(self, format: Literal["json", "console"], level: Level) -> None:
        """Write lines from now on. What is started here and below ends in reverse order at the close."""
        from tidyllm.observe.logging import Logs

        logs = self.logs = Logs(format=format, level=level)
        self._ends.callback(logs.close)
        self._ends.callback(install(logs))

    def start_metrics(self) -> None:
        """Count from now on."""
        from tidyllm.observe.metrics import Metrics

        self.metrics = Metrics()
        self._ends.callback(install(self.metrics))

    def start_traces(self, *, content: bool = False) -> None:
        """Send spans from now on; with `content` they hold what went into models and came out."""
        from tidyllm.observe.environment import check_protocol, queueing, sampling
        from tidyllm.observe.otel import Otel
        from tidyllm.observe.otlp import Exporter
        from tidyllm.observe.spans import SpanQueue

        check_protocol(os.environ)
        ratio, parent_based = sampling(os.environ)
        on_drop = None if self.metrics is None else self.metrics.dropped_spans
        self.spans = SpanQueue(Exporter(), **queueing(os.environ), on_drop=on_drop)
        traces = self.traces = Otel(
            self.spans, ratio=ratio, parent_based=parent_based, version=_version(), content=content
        )
        self._ends.callback(traces.close)
        self._ends.callback(install(traces))

    def close(self) -> None:
        """Observe no run that begins from now on. Blocks for at most 5 s to send what waits; may be called again."""
        self._ends.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def observe(
    settings: Settings | None = None,
    /,
    *,
    metrics: bool | None = None,
    log: Literal["json", "console", "off"] | None = None,
    log_level: Level | None = None,
    traces: Literal["off", "otlp"] | None = None,
    content: bool | None = None,
) -> Observing:
    """Observe every run that begins from now on in this process.

    What is given goes before what `settings` say, and these before the defaults:

    - `metrics` (True): count for Prometheus; `observing.metrics.exposition()` is the page.
    - `log` (`console`): lines for people, `json` for machines, or `off`; to standard error.
    - `log_level` (`info`): failures, retries, fallbacks and breakers; `debug` adds a line for every run and attempt.
    - `traces` (`off`): `otlp` sends OpenTelemetry spans to where the OTEL_EXPORTER_OTLP_* variables say.
    - `content` (False): spans of attempts hold what went into models and came out.

    :raises ConfigError: a package is missing, an environment variable is wrong, or content is asked for without traces.
    """
    base: Settings = _Defaults() if settings is None else settings
    recorded = base.content if content is None else content
    sent = base.traces if traces is None else traces
    if sent not in ("off", "otlp"):
        raise ConfigError(f"traces are 'off' or 'otlp', not {sent!r}.", where="observe.traces")
    if recorded and sent == "off":
        raise ConfigError(
            "content is recorded on spans, and traces are off.",
            where="observe.content",
            hint="Set traces to otlp.",
        )
    format = base.log if log is None else log
    observing = Observing()
    try:
        if format != "off":
            observing.start_logs(format, base.log_level if log_level is None else log_level)
        if base.metrics if metrics is None else metrics:
            observing.start_metrics()
        if sent == "otlp":
            observing.start_traces(content=recorded)
    except ModuleNotFoundError as error:
        observing.close()
        raise missing(error) from error
    except BaseException:
        observing.close()
        raise
    return observing


def missing(error: ModuleNotFoundError) -> ConfigError:
    """What to say when a package of the extra is not installed."""
    return ConfigError(
        f"observing needs the package {error.name!r}.", hint="Install it with: pip install 'tidyllm[observe]'"
    )


def _version() -> str:
    try:
        return version("tidyllm")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return ""
