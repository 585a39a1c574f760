"""A hook that counts events as Prometheus metrics. It knows events and label values, not how numbers are kept.

An event costs one lookup of a child that is bound already, and one `inc` or `observe`. Names that callers choose are
bounded (see `labels`), and a name that its provider does not know takes no place among them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

from tidyllm.core import (
    AttemptFinished,
    BreakerChanged,
    CallFinished,
    Event,
    FellBack,
    Retrying,
)
from tidyllm.errors import ModelNotFound
from tidyllm.observe.instruments import Instruments
from tidyllm.observe.labels import OTHER, Labels
from tidyllm.observe.semconv import error_type

__all__ = ["Metrics"]

Number: TypeAlias = Callable[[float], None]

_STATES = ("closed", "half_open", "open")
_KINDS = (
    ("input_tokens", "input"),
    ("output_tokens", "output"),
    ("cache_read_tokens", "cache_read"),
    ("cache_write_5m_tokens", "cache_write_5m"),
    ("cache_write_1h_tokens", "cache_write_1h"),
    ("reasoning_tokens", "reasoning"),
    ("audio_input_tokens", "audio_input"),
    ("audio_output_tokens", "audio_output"),
    ("audio_cache_read_tokens", "audio_cache_read"),
)
_REMEMBERED = 20_000
"""Bound children in one table; beyond that they are looked up by their labels each time, which is only slower."""


class _Target:
    """The children of one provider, target and model."""

    __slots__ = ("cost", "durations", "first_piece", "labels", "tokens", "unpriced")

    def __init__(self, instruments: Instruments, labels: tuple[str, str, str]) -> None:
        self.labels = labels
        self.durations: dict[type[BaseException] | None, Number] = {}
        self.first_piece: Number | None = None  # made by the first stream: most targets are not streamed
        self.tokens: dict[str, Number] = {}
        self.cost: Number | None = None  # made by the first known cost: 0 would say that it was free
        self.unpriced: Number = instruments.unpriced.labels(*labels).inc


class Metrics:
    """Counts what happens; `exposition()` is the page that Prometheus reads.

    Safe to be called from several threads. `registry` is prometheus_client's, for those who serve it themselves.

    `cap`: how many values one label may have before further ones are counted as `other`.
    """

    def __init__(self, *, cap: int = 200) -> None:
        """:raises ConfigError: `PROMETHEUS_MULTIPROC_DIR` was set too late, or names no directory."""
        self._instruments = Instruments()
        self.registry = self._instruments.registry
        self._cap = cap
        self._labels: dict[str, Labels] = {}
        self._calls: dict[tuple[str, type[BaseException] | None], Number] = {}
        self._targets: dict[tuple[str, str, str], _Target] = {}
        self._requests: dict[tuple[str, int], Number] = {}
        self._breakers: dict[str, str] = {}

    # -- events

    def __call__(self, event: Event) -> None:
        if isinstance(event, CallFinished):
            error = event.error
            key = (event.step.name, None if error is None else type(error))
            observe = self._calls.get(key)
            if observe is None:
                observe = self._call(key, error)
            observe(event.ended - event.started)
        elif isinstance(event, AttemptFinished):
            self._attempt(event)
        elif isinstance(event, Retrying):
            step = self._asked("step", event.name, event.error)
            self._instruments.retries.labels(step, self._outcome(event.error)).inc()
        elif isinstance(event, FellBack):
            source = self._asked("fallback", event.source, event.error)
            self._instruments.fallbacks.labels(source, self._label("fallback", event.target)).inc()
        elif isinstance(event, BreakerChanged):
            self._breaker(event)

    def _call(self, key: tuple[str, type[BaseException] | None], error: BaseException | None) -> Number:
        step = self._asked("step", key[0], error)
        observe = self._instruments.calls.labels(step, self._outcome(error)).observe
        if step != OTHER and len(self._calls) < _REMEMBERED:
            self._calls[key] = observe
        return observe

    def _attempt(self, event: AttemptFinished) -> None:
        error, attributes = event.error, event.attributes
        at = self._targets.get((event.provider, event.target, event.model))
        if at is None:
            at = self._target(event)
        kind = None if error is None else type(error)
        observe = at.durations.get(kind)
        if observe is None:
            observe = self._instruments.attempts.labels(*at.labels, self._outcome(error)).observe
            if len(at.durations) < _REMEMBERED:
                at.durations[kind] = observe
        observe(event.ended - event.started)
        if event.first_piece is not None:
            if at.first_piece is None:
                at.first_piece = self._instruments.first_piece.labels(*at.labels).observe
            at.first_piece(event.first_piece - event.started)
        used = False
        for name, label in _KINDS:
            tokens = attributes.get(name)
            if tokens:
                used = True
                add = at.tokens.get(label)
                if add is None:
                    add = at.tokens[label] = self._instruments.tokens.labels(*at.labels, label).inc
                add(max(tokens, 0))
        cost = attributes.get("cost_usd")
        if cost is not None:
            if at.cost is None:
                at.cost = self._instruments.cost.labels(*at.labels).inc
            at.cost(float(cost))
            saved = attributes.get("cache_saved_usd")
            if saved:
                kind_of = "saved" if saved > 0 else "extra"
                self._instruments.cache_saved.labels(*at.labels, kind_of).inc(abs(float(saved)))
        elif used or error is None:
            at.unpriced(1)

    def _target(self, event: AttemptFinished) -> _Target:
        key = event.provider, event.target, event.model
        model = self._asked("model", event.model, event.error)
        at = _Target(
            self._instruments, (self._label("provider", key[0]), self._label("target", key[1]), model)
        )
        if model != OTHER and len(self._targets) < _REMEMBERED:
            self._targets[key] = at
        return at

    def _breaker(self, event: BreakerChanged) -> None:
        name = self._label("breaker", event.name)
        if name == OTHER:
            return  # states of several breakers cannot be told apart under one name
        before = self._breakers.get(name)
        self._breakers[name] = event.state
        if before is None:
            for state in _STATES:
                self._instruments.breakers.labels(name, state)  # so that each state is there, at 0
        elif before != event.state:
            self._instruments.breakers.labels(name, before).set(0)
        self._instruments.breakers.labels(name, self._label("state", event.state)).set(1)

    # -- the gateway's own

    def request(self, path: str, status: int, seconds: float) -> None:
        """One request was answered."""
        observe = self._requests.get((path, status))
        if observe is None:
            observe = self._instruments.requests.labels(self._label("path", path), str(status)).observe
            if len(self._requests) < _REMEMBERED:
                self._requests[path, status] = observe
        observe(seconds)

    def in_flight(self, change: int) -> None:
        """So many requests more are running; fewer, if it is negative."""
        self._instruments.in_flight.inc(change)

    def limits_degraded(self, degraded: bool) -> None:
        """Whether the limits of keys cannot be counted together with other processes now."""
        self._instruments.limits_degraded.set(int(degraded))

    def arm_stopped(self, experiment: str, arm: str) -> None:
        """An arm of an experiment gets no traffic any more."""
        self._instruments.stopped_arms.labels(experiment, arm).set(1)

    def dropped_spans(self, count: int, reason: str) -> None:
        """So many trace spans were lost."""
        self._instruments.dropped_spans.labels(reason).inc(count)

    def exposition(self) -> tuple[str, bytes]:
        """Content type and text of all metrics, of all worker processes together.

        It takes milliseconds to tenths of a second, so call it in a thread: `await asyncio.to_thread(m.exposition)`.
        """
        return self._instruments.page()

    # -- labels

    def _labels_of(self, name: str) -> Labels:
        labels = self._labels.get(name)
        if labels is None:
            labels = self._labels.setdefault(name, Labels(name, cap=self._cap))
        return labels

    def _label(self, name: str, value: str) -> str:
        return self._labels_of(name)(value)

    def _asked(self, name: str, value: str, error: BaseException | None) -> str:
        """The label of a name that a caller may have made up: one that its provider does not know takes no place."""
        labels = self._labels_of(name)
        return labels.known(value) if isinstance(error, ModelNotFound) else labels(value)

    def _outcome(self, error: BaseException | None) -> str:
        if error is None:
            return "ok"
        if isinstance(error, asyncio.CancelledError):
            return "cancelled"
        return self._label("error", error_type(error))
