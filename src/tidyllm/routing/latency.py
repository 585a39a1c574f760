"""How fast each route answered lately. It knows names and seconds, and chooses nothing."""

from __future__ import annotations

from math import exp

from tidyllm import clock
from tidyllm.errors import ConfigError

__all__ = ["Latencies"]


class Latencies:
    """Mean seconds to the first piece (or to the whole answer) by route, recent ones counting more.

    - `memory`: seconds after which a measurement counts a third.
    - `stale`: seconds without a new measurement after which a route counts as not measured, so that it is tried again.
    """

    def __init__(self, *, memory: float = 60.0, stale: float = 300.0) -> None:
        """:raises ConfigError: a time is not above 0."""
        if not (memory > 0 and stale > 0):
            raise ConfigError(f"`memory` and `stale` must be above 0 seconds, got {memory:g} and {stale:g}.")
        self.memory = memory
        self.stale = stale
        self._known: dict[str, tuple[float, float, float]] = {}

    def observe(self, route: str, seconds: float) -> None:
        """Count one answer."""
        now = clock.monotonic()
        total, weight, at = self._known.get(route, (0.0, 0.0, now))
        kept = exp((at - now) / self.memory)
        self._known[route] = total * kept + seconds, weight * kept + 1, now

    def of(self, route: str) -> float | None:
        """Mean seconds; None when there is no recent measurement."""
        known = self._known.get(route)
        if known is None or clock.monotonic() - known[2] > self.stale:
            return None
        return known[0] / known[1]
