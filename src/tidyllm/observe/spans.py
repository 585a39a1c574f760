"""The way of finished spans out of the process: a bounded queue whose losses are counted, and a thread that empties it.

OpenTelemetry's own batch processor drops silently but for a line in its log, ends slowly when the collector hangs, and
keeps spans as objects until they are sent; here an exporter may turn each into bytes as it comes (`encode`).
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY  # pyright: ignore[reportPrivateUsage]
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from tidyllm import clock
from tidyllm.errors import ConfigError
from tidyllm.observe.finished import FinishedSpan

__all__ = ["BATCH", "CAPACITY", "DELAY", "SpanQueue"]

CAPACITY = 32_768
"""Spans that may wait; about 25 MB. 10,000 calls in flight can end within one second, with a few spans each."""
BATCH = 1_024
DELAY = 1.0
"""Seconds that a span waits at most for others to travel with."""
_GRACE = 5.0
"""Seconds for what waits at the end: short beside the 30 that orchestrators commonly leave a process to end."""
_WARN_EVERY = 60.0


class SpanQueue(SpanProcessor):
    """Hands spans to `exporter` in batches from a thread of its own; `exported` and `dropped` say how many fared how.

    - `capacity`: spans that may wait; one more is dropped.
    - `batch`: spans in one export, at most.
    - `delay`: seconds that a span waits for others.
    - `grace`: seconds that `shutdown` waits for what is left.
    - `on_drop`: called with a number of spans and `queue_full`, `export_failed` or `shutdown`, from any thread.

    An exporter with a method `encode` (of a `FinishedSpan`) gets what that returns instead of the span. It is called by
    whoever ended the span: better a little work there than much at once in another thread under the interpreter's lock.
    """

    def __init__(
        self,
        exporter: SpanExporter,
        *,
        capacity: int = CAPACITY,
        batch: int = BATCH,
        delay: float = DELAY,
        grace: float = _GRACE,
        on_drop: Callable[[int, str], None] | None = None,
    ) -> None:
        """:raises ConfigError: a number is not positive."""
        for name, number in (("capacity", capacity), ("batch", batch), ("delay", delay)):
            if not number > 0:
                raise ConfigError(f"{name} is a number above 0, not {number!r}.", where="traces")
        self.capacity = capacity
        self.exported = 0
        """Spans that the exporter has taken."""
        self.dropped = 0
        """Spans that were lost."""
        self._batch = min(batch, capacity)
        self._delay = delay
        self._grace = grace
        self._on_drop = on_drop
        self._exporter = exporter
        encode = getattr(exporter, "encode", None)
        self._made: Callable[[FinishedSpan], Any] = FinishedSpan.readable if encode is None else encode
        self._closed = False
        self._warn_at = 0.0
        self._begin()
        again = weakref.WeakMethod(self._begin)
        os.register_at_fork(after_in_child=lambda: (begin := again()) and begin())

    def _begin(self) -> None:
        """Start empty; in a forked child the thread is gone, and what waited is the parent's to send."""
        self._waiting: deque[Any] = deque()
        self._leaving = 0
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tidyllm-spans", daemon=True)
        if not self._closed:
            self._thread.start()

    @property
    def waiting(self) -> int:
        """Spans in the queue."""
        return len(self._waiting)

    def put(self, span: FinishedSpan) -> None:
        """Take a span of ours."""
        self._take(self._made(span))

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span of OpenTelemetry's."""
        self._take(span)

    def _take(self, item: object) -> None:
        with self._lock:
            count = len(self._waiting) + 1
            reason = "shutdown" if self._closed else "queue_full" if count > self.capacity else None
            if reason is None:
                self._waiting.append(item)
        if reason is not None:
            self._lost(1, reason)
        elif count == self._batch:
            self._wake.set()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Export what waits now, in the calling thread; False when that of a batch before takes too long."""
        if not self._sending.acquire(timeout=timeout_millis / 1000):
            return False
        try:
            while self._waiting:
                self._send()
        finally:
            self._sending.release()
        return True

    def shutdown(self) -> None:
        """Export what waits, for at most `grace` seconds; what is left then is dropped, and counted."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._wake.set()
        self._thread.join(self._grace)
        with self._lock:
            left = len(self._waiting) + self._leaving
            self._leaving = 0
            self._waiting.clear()
        self._exporter.shutdown()
        if left:
            self._lost(left, "shutdown")

    # -- in the thread

    def _run(self) -> None:
        while not self._closed:
            full = self._wake.wait(self._delay)
            self._wake.clear()
            if self._closed:
                break
            with self._sending:
                if not full:
                    self._send()
                while len(self._waiting) >= self._batch:
                    self._send()
        self.force_flush()

    def _send(self) -> None:
        """Export one batch. Whatever the exporter raises, the thread lives on."""
        with self._lock:
            items = [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]
            self._leaving = len(items)
        if not items:
            return
        arrived = False
        token = otel_context.attach(otel_context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        try:
            arrived = self._exporter.export(items) is SpanExportResult.SUCCESS
        except Exception:
            logging.getLogger("tidyllm.observe").exception("an exporter of spans failed")
        finally:
            otel_context.detach(token)
            self._left(arrived=arrived)

    def _left(self, *, arrived: bool) -> None:
        # Says nothing of what `shutdown` has given up, and counted, meanwhile.
        with self._lock:
            count, self._leaving = self._leaving, 0
            if arrived:
                self.exported += count
        if count and not arrived:
            self._lost(count, "export_failed")

    def _lost(self, count: int, reason: str) -> None:
        """So many spans are gone: counted, told to the log at most once a minute."""
        now = clock.monotonic()
        with self._lock:
            self.dropped += count
            total = self.dropped
            speak = now >= self._warn_at
            if speak:
                self._warn_at = now + _WARN_EVERY
        if self._on_drop is not None:
            self._on_drop(count, reason)
        if speak:
            logging.getLogger("tidyllm.observe").warning(
                "%d trace spans were lost so far (%s)", total, reason
            )
