"""The way of finished spans out of the process: a bounded queue whose losses are counted, and where it leads.

OpenTelemetry's batch processor does the work. It drops silently but for a line in its log, and ends slowly when the
collector hangs; this keeps the count and the clock for it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from tidyllm import clock
from tidyllm.errors import ConfigError

__all__ = ["BATCH", "CAPACITY", "DELAY", "SpanQueue"]

CAPACITY = 32_768
"""Spans that may wait; about 35 MB. 10,000 calls in flight can end within one second, each with a few spans."""
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
        self.capacity = capacity
        self._grace = grace
        self._on_drop = on_drop
        self._lock = threading.Lock()
        self._waiting = 0
        self._leaving = 0
        self._closed = False
        self._warn_at = 0.0
        self.exported = 0
        """Spans that the exporter has taken."""
        self.dropped = 0
        """Spans that were lost."""
        self._exporter = _Counting(exporter, self)
        try:
            self._batch = BatchSpanProcessor(
                self._exporter,
                max_queue_size=self.capacity,
                schedule_delay_millis=delay * 1000,
                max_export_batch_size=min(batch, capacity),
            )
        except ValueError as error:
            raise ConfigError(f"{error}.", where="traces") from None

    @property
    def waiting(self) -> int:
        """Spans in the queue."""
        return self._waiting

    def on_end(self, span: ReadableSpan) -> None:
        with self._lock:
            reason = "shutdown" if self._closed else "queue_full" if self._waiting >= self.capacity else None
            if reason is None:
                self._waiting += 1
        if reason is not None:
            self.lost(1, reason)
        else:
            self._batch.on_end(span)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Export what waits now, in the calling thread."""
        return self._batch.force_flush(timeout_millis)

    def shutdown(self) -> None:
        """Export what waits, for at most `grace` seconds; what is left then is dropped, and counted."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        # Its own shutdown waits for half a minute and for the timeout of every batch: not when a process must end.
        ending = threading.Thread(target=self._batch.shutdown, name="tidyllm-spans-end", daemon=True)
        ending.start()
        ending.join(self._grace)
        if ending.is_alive():
            self._exporter.stop()
        with self._lock:
            left, self._waiting, self._leaving = self._waiting + self._leaving, 0, 0
        if left:
            self.lost(left, "shutdown")

    def leaving(self, count: int) -> None:
        """So many spans have left the queue and are on their way."""
        with self._lock:
            self._waiting -= count
            self._leaving = count

    def left(self, *, arrived: bool) -> None:
        """What was on its way arrived, or did not. Says nothing if `shutdown` has given it up meanwhile."""
        with self._lock:
            count, self._leaving = self._leaving, 0
            if arrived:
                self.exported += count
        if count and not arrived:
            self.lost(count, "export_failed")

    def lost(self, count: int, reason: str) -> None:
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


class _Counting(SpanExporter):
    """Tells the queue how each batch fared."""

    def __init__(self, exporter: SpanExporter, queue: SpanQueue) -> None:
        self._exporter = exporter
        self._queue = queue
        self._stopped = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._stopped:
            return SpanExportResult.FAILURE  # counted when it was stopped
        self._queue.leaving(len(spans))
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            self._queue.left(arrived=result is SpanExportResult.SUCCESS)
        return result

    def stop(self) -> None:
        self._stopped = True
        self._exporter.shutdown()

    def shutdown(self) -> None:
        if not self._stopped:
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)
