"""Intervals that hold at every moment, however often somebody looks. They know sums by cluster, not what they mean.

A mixture of normal martingales bounds the running mean at all times at once (Robbins; "asymptotic confidence
sequences"). Observations of one user belong together, so the variance is that of users, not of single answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf, log, sqrt

import msgspec

__all__ = ["ArmSums", "Interval", "always_valid", "difference"]


class ArmSums(msgspec.Struct, kw_only=True):
    """What is known of one arm: for each cluster its number of observations and their sum."""

    clusters: dict[str, tuple[int, float]] = {}

    def add(self, cluster: str, value: float) -> None:
        """Count one observation."""
        count, total = self.clusters.get(cluster, (0, 0.0))
        self.clusters[cluster] = count + 1, total + value

    @property
    def observations(self) -> int:
        return sum(count for count, _ in self.clusters.values())

    @property
    def mean(self) -> float:
        """NaN while there is none."""
        count = self.observations
        return sum(total for _, total in self.clusters.values()) / count if count else float("nan")

    @property
    def variance(self) -> float:
        """Of the mean, clusters taken as independent; infinite below two clusters."""
        clusters, count = len(self.clusters), self.observations
        if clusters < 2:
            return inf
        mean = self.mean
        spread = sum((total - mean * number) ** 2 for number, total in self.clusters.values())
        # A cluster of all equal answers has shown no spread yet; half an answer of each kind keeps it from being none.
        spread = max(spread, 0.25)
        return spread / count**2 * clusters / (clusters - 1)


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """`estimate` and the bounds that hold at all times with the stated confidence."""

    estimate: float
    low: float
    high: float


def always_valid(error: float, clusters: float, *, tightest: float, alpha: float) -> float:
    """Half the width of the interval around an estimate with this standard error, from this many clusters.

    It is tightest, for its confidence, when there are `tightest` clusters.
    """
    tuned = (-2 * log(alpha) + log(-2 * log(alpha) + 1)) / tightest
    spread = clusters * tuned
    return error * sqrt(2 * (spread + 1) / spread * log(sqrt(spread + 1) / alpha))


def difference(arm: ArmSums, control: ArmSums, *, tightest: float, alpha: float) -> Interval:
    """The mean of `arm` less that of `control`; without bounds while either has fewer than two clusters."""
    estimate = arm.mean - control.mean
    variance = arm.variance + control.variance
    if variance == inf:
        return Interval(estimate=estimate, low=-inf, high=inf)
    clusters = len(arm.clusters) + len(control.clusters)
    half = always_valid(sqrt(variance), clusters, tightest=tightest, alpha=alpha)
    return Interval(estimate=estimate, low=estimate - half, high=estimate + half)


def sums(observed: Iterable[tuple[str, str, float]]) -> dict[str, ArmSums]:
    """Arms by name from (arm, cluster, value)."""
    found: dict[str, ArmSums] = {}
    for arm, cluster, value in observed:
        found.setdefault(arm, ArmSums(clusters={})).add(cluster, value)
    return found
