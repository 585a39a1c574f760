"""The Prometheus metrics themselves: names, units, labels, buckets. It knows nothing of events.

Import it only once `PROMETHEUS_MULTIPROC_DIR` is what it shall be: prometheus_client reads that variable when it is
imported, and keeps all numbers in files from then on, or in memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import cast

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.values import ValueClass

from tidyllm.errors import ConfigError

__all__ = ["Instruments"]

# A step may be a function of microseconds or an agent of minutes.
CALLS = (
    0.001,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
)
# As the GenAI conventions advise for the duration of an operation, with two more for long reasoning.
ATTEMPTS = (
    0.01,
    0.02,
    0.04,
    0.08,
    0.16,
    0.32,
    0.64,
    1.28,
    2.56,
    5.12,
    10.24,
    20.48,
    40.96,
    81.92,
    163.84,
    327.68,
)
# As they advise for the time to the first token.
FIRST_PIECE = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
    30.0,
)

_OF_TARGET = ("provider", "target", "model")


class Instruments:
    """All metrics, in a registry of their own: several of these, and other libraries, do not collide.

    Where `PROMETHEUS_MULTIPROC_DIR` names a directory, numbers live in files there and `page` shows the sums of all
    processes that count into it. Then there can be one of these at a time in a process: a second one would overwrite
    what the first has counted.
    """

    def __init__(self) -> None:
        """:raises ConfigError: prometheus_client was imported before the variable was set, or names no directory."""
        self.directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR") or None
        _check(self.directory)
        registry = self.registry = CollectorRegistry()

        self.calls = Histogram(
            "tidyllm_call_duration_seconds",
            "Calls of steps; outcome is ok, cancelled or the class of the error.",
            ("step", "outcome"),
            buckets=CALLS,
            registry=registry,
        )
        self.attempts = Histogram(
            "tidyllm_attempt_duration_seconds",
            "Attempts on the wire; outcome is ok, cancelled or the class of the error.",
            (*_OF_TARGET, "outcome"),
            buckets=ATTEMPTS,
            registry=registry,
        )
        self.first_piece = Histogram(
            "tidyllm_first_piece_seconds",
            "From the start of a streamed attempt to its first piece.",
            _OF_TARGET,
            buckets=FIRST_PIECE,
            registry=registry,
        )
        self.tokens = Counter(
            "tidyllm_tokens",
            "Tokens by kind; input and output are totals, the other kinds are parts of them.",
            (*_OF_TARGET, "kind"),
            registry=registry,
        )
        self.cost = Counter(
            "tidyllm_cost_usd", "What attempts cost, in US dollars.", _OF_TARGET, registry=registry
        )
        self.cache_saved = Counter(
            "tidyllm_provider_cache_usd",
            "What attempts were cheaper (saved) or dearer (extra) for the provider's cache of prompts, in US dollars.",
            (*_OF_TARGET, "kind"),
            registry=registry,
        )
        self.unpriced = Counter(
            "tidyllm_unpriced_attempts",
            "Attempts that used tokens whose price is not known; their cost is missing above.",
            _OF_TARGET,
            registry=registry,
        )
        self.retries = Counter(
            "tidyllm_retries",
            "Failures after which the same step was tried again.",
            ("step", "error"),
            registry=registry,
        )
        self.fallbacks = Counter(
            "tidyllm_fallbacks",
            "Failures after which the next target was tried.",
            ("source", "target"),
            registry=registry,
        )
        self.breakers = Gauge(
            "tidyllm_breaker_state",
            "How many processes have this circuit breaker in this state, of those in which it ever changed.",
            ("breaker", "state"),
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.requests = Histogram(
            "tidyllm_gateway_request_duration_seconds",
            "Requests that the gateway answered; status 499 means that the caller had gone.",
            ("path", "status"),
            buckets=CALLS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "tidyllm_gateway_requests_in_flight",
            "Requests for models that are being answered.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.limits_degraded = Gauge(
            "tidyllm_limits_degraded",
            "Processes that cannot count the limits of keys together with the others.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.stopped_arms = Gauge(
            "tidyllm_experiment_arm_stopped",
            "1: an arm of an experiment was surely worse, and gets no traffic any more.",
            ("experiment", "arm"),
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.dropped_spans = Counter(
            "tidyllm_spans_dropped",
            "Trace spans lost, because the queue was full or the collector refused.",
            ("reason",),
            registry=registry,
        )
        if self.directory is None:
            ProcessCollector(
                registry=registry
            )  # memory, CPU, files; of many processes they would be those of any one

    def page(self) -> tuple[str, bytes]:
        """Content type and text of all metrics, in Prometheus' text format. Reads files, and may take long."""
        source: Collector = self.registry
        if self.directory is not None:
            source = _Files(self.directory)
        return CONTENT_TYPE_PLAIN_0_0_4, generate_latest(_Plain(source))


# Untyped there.
_merge = cast("Callable[[list[str]], Iterable[Metric]]", MultiProcessCollector.merge)  # pyright: ignore[reportUnknownMemberType]


class _Plain(Collector):
    """Without the moment at which each series was created: it doubles the page, and Prometheus makes no use of it."""

    def __init__(self, source: Collector) -> None:
        self._source = source

    def collect(self) -> Iterable[Metric]:
        for metric in self._source.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


class _Files(Collector):
    """What all processes have counted, read from their files."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)

    def collect(self) -> Iterable[Metric]:
        while True:
            try:
                # A process that has just started, or was killed while it did, has a file without a head.
                files = [str(file) for file in self._directory.glob("*.db") if file.stat().st_size]
                return _merge(files)
            except FileNotFoundError:
                continue  # a process ended meanwhile, and its file is gone: the next list is without it


def _check(directory: str | None) -> None:
    in_files: bool = getattr(ValueClass, "_multiprocess", False)
    if (directory is not None) != in_files:
        raise ConfigError(
            "prometheus_client was imported before the variable was "
            + ("set: numbers of this process would be missing." if directory else "taken away."),
            where="PROMETHEUS_MULTIPROC_DIR",
            hint="Set it before the first import of prometheus_client, best before the process starts.",
        )
    if directory is not None and not Path(directory).is_dir():
        raise ConfigError(
            f"{directory!r} is no directory.",
            where="PROMETHEUS_MULTIPROC_DIR",
            hint="Make it, empty, before the workers start.",
        )
