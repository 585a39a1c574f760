"""Counting the gateway's own requests, and giving all metrics out. It knows numbers, not what requests are about."""

from __future__ import annotations

import asyncio
from typing import Protocol

__all__ = ["Exposition", "Traffic"]


class Exposition(Protocol):
    """Where requests are counted and metrics come from; `observe.metrics` has one on Prometheus."""

    def request(self, path: str, status: int, seconds: float) -> None:
        """One request was answered."""
        ...

    def in_flight(self, change: int) -> None:
        """One request more, or one less, is running."""
        ...

    def limits_degraded(self, degraded: bool) -> None:
        """Limits are not shared with other processes now, or are again."""
        ...

    def arm_stopped(self, experiment: str, arm: str) -> None:
        """An arm of an experiment gets no traffic any more."""
        ...

    def exposition(self) -> tuple[str, bytes]:
        """Content type and text of all metrics. May take long: it is called in a thread."""
        ...


class Traffic:
    """Counts requests; `running` is how many calls to models are being answered now."""

    def __init__(self, metrics: Exposition | None = None) -> None:
        self._metrics = metrics
        self.running = 0

    def begin(self) -> None:
        """A call to a model has come in."""
        self.running += 1
        if self._metrics is not None:
            self._metrics.in_flight(1)

    def end(self, path: str, status: int, seconds: float) -> None:
        """It was answered, or its caller is gone (499)."""
        self.running -= 1
        if self._metrics is not None:
            self._metrics.in_flight(-1)
            self._metrics.request(path, status, seconds)

    def simple(self, path: str, status: int) -> None:
        """Anything else that was refused."""
        if self._metrics is not None:
            self._metrics.request(path, status, 0.0)

    def limits_degraded(self, degraded: bool) -> None:
        """Limits are not shared with other processes now, or are again."""
        if self._metrics is not None:
            self._metrics.limits_degraded(degraded)

    def arm_stopped(self, experiment: str, arm: str) -> None:
        """An arm of an experiment gets no traffic any more."""
        if self._metrics is not None:
            self._metrics.arm_stopped(experiment, arm)

    async def exposition(self) -> tuple[str, bytes]:
        """Content type and text for `GET /metrics`, made in a thread: the loop goes on meanwhile."""
        if self._metrics is None:
            return "text/plain; version=0.0.4; charset=utf-8", b""
        return await asyncio.to_thread(self._metrics.exposition)
