"""A token bucket. Pure: it is told the time; it does not wait and knows no callers.

Instead of a level that is refilled it keeps one moment, when the bucket will be full again: each token taken moves that
moment by 1/rate seconds. A token is there as long as the moment is less than `burst` tokens away.
"""

from __future__ import annotations

__all__ = ["TokenBucket"]


class TokenBucket:
    """`rate` tokens a second drip into a bucket of `burst` tokens, which is full at first.

    In any stretch of t seconds at most `burst + rate * t` tokens are given out. Times are seconds on one clock that
    never goes back.
    """

    __slots__ = ("_full", "_interval", "_slack", "burst", "rate")

    def __init__(self, rate: float, burst: int) -> None:
        self.rate = rate
        self.burst = burst
        self._interval = 1.0 / rate
        # A token is there when the bucket is full again within the time that `burst - 1` tokens take.
        self._slack = (burst - 1) * self._interval
        self._full = float("-inf")

    def take(self, now: float) -> bool:
        """Take a token if there is one."""
        full = max(self._full, now)
        if full - self._slack > now:
            return False
        self._full = full + self._interval
        return True

    def give_back(self) -> None:
        """A token that was taken was not used."""
        self._full -= self._interval

    def wait(self, now: float, ahead: int = 0) -> float:
        """Seconds until there is a token for the caller who has `ahead` others before him; 0 when it is there."""
        full = max(self._full, now)
        return max(full - self._slack + ahead * self._interval - now, 0.0)
