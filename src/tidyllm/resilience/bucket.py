"""A token bucket. Pure: it is told the time; it does not wait and knows no callers."""

from __future__ import annotations

__all__ = ["TokenBucket"]

_ROUNDING = 1e-9
"""Tokens. What is lost to rounding while the bucket fills must not keep anyone waiting."""


class TokenBucket:
    """`rate` tokens a second drip into a bucket of `burst` tokens, which is full at first.

    In any stretch of t seconds at most `burst + rate * t` tokens are given out. Times are seconds on one clock that
    never goes back.
    """

    __slots__ = ("_at", "_level", "burst", "rate")

    def __init__(self, rate: float, burst: int) -> None:
        self.rate = rate
        self.burst = burst
        self._level = float(burst)
        """Tokens in the bucket at the moment `_at`."""
        self._at = float("-inf")

    def take(self, now: float) -> bool:
        """Take a token if there is one."""
        level = self._level_at(now)
        there = level >= 1.0 - _ROUNDING
        self._level = level - 1.0 if there else level
        self._at = now
        return there

    def give_back(self) -> None:
        """A token that was taken was not used."""
        self._level += 1.0

    def wait(self, now: float, ahead: int = 0) -> float:
        """Seconds until there is a token for the caller who has `ahead` others before him; 0 when it is there."""
        missing = 1.0 + ahead - self._level_at(now)
        return missing / self.rate if missing > _ROUNDING else 0.0

    def _level_at(self, now: float) -> float:
        return min(self._level + (now - self._at) * self.rate, float(self.burst))
