"""What one subject used in the last minute, and how many places it holds. Pure: it is told the time.

The minute slides in steps of a second. What came is counted in the second in which it came, and forgotten when all of
that second is at least a minute old. So in any 60 seconds never more is let through than the limit, at the price that
a subject which always asks for all gets it every 61 seconds (98.4 % of it).

The scripts of `limits_scripts` do the same sums; a property test holds the two together.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import msgspec

from tidyllm.access.key import Subject

__all__ = ["SPAN", "Denied", "Window"]

SPAN = 61
"""Seconds for which a second's count is kept: itself and the 60 after it."""

What = Literal["requests_per_minute", "tokens_per_minute", "concurrency"]


class Denied(NamedTuple):
    """Why there is no room. `retry_after`: seconds until there is; None when that depends on others, or is never."""

    subject: str
    what: What
    used: int
    limit: int
    retry_after: float | None


class Window(msgspec.Struct, array_like=True):
    """The state of one subject. It is short in JSON, because the store keeps it so."""

    seconds: list[int] = []
    requests: list[int] = []
    tokens: list[int] = []
    places: dict[str, float] = {}
    """Who is inside, each until when, if nobody says otherwise before."""

    def deny(self, subject: Subject, now: float, tokens: int) -> Denied | None:
        """Why one more request with `tokens` has no room now; None when it has. Forgets what is over."""
        self.forget(now)
        limit = subject.requests_per_minute
        if limit is not None and (used := sum(self.requests)) + 1 > limit:
            return Denied(
                subject.name,
                "requests_per_minute",
                used,
                limit,
                self._wait(self.requests, used + 1 - limit, now),
            )
        limit = subject.tokens_per_minute
        if limit is not None and (used := sum(self.tokens)) + tokens > limit:
            wait = None if tokens > limit else self._wait(self.tokens, used + tokens - limit, now)
            return Denied(subject.name, "tokens_per_minute", used, limit, wait)
        limit = subject.concurrency
        if limit is not None and (used := len(self.places)) + 1 > limit:
            return Denied(subject.name, "concurrency", used, limit, None)
        return None

    def take(self, subject: Subject, now: float, tokens: int, place: str, until: float) -> int:
        """Count a request that was let in; returns the second in which it is counted."""
        second = self._present(now)
        self.requests[-1] += 1
        self.tokens[-1] += tokens
        if subject.concurrency is not None:
            self.places[place] = until
        return second

    def settle(self, now: float, second: int, place: str, counted: int, used: int) -> None:
        """Leave. What was counted too much is given back where it was counted; what is missing is counted now."""
        self.places.pop(place, None)
        self.forget(now)
        if used < counted and second in self.seconds:
            at = self.seconds.index(second)
            self.tokens[at] -= min(counted - used, self.tokens[at])
        elif used > counted:
            self._present(now)
            self.tokens[-1] += used - counted

    def renew(self, place: str, until: float) -> None:
        """Stay until `until`. Somebody whose place was lost comes back: the call is in flight, whatever was stored."""
        self.places[place] = until

    def forget(self, now: float) -> None:
        """Drop the seconds that are over, and places whose holder is not heard of any more."""
        oldest = math.floor(now) - SPAN + 1
        over = 0
        for second in self.seconds:
            if second >= oldest:
                break
            over += 1
        if over:
            del self.seconds[:over], self.requests[:over], self.tokens[:over]
        # Places of one process have no end; then none has.
        if self.places and next(iter(self.places.values())) != math.inf:
            self.places = {place: until for place, until in self.places.items() if until > now}

    @property
    def idle(self) -> bool:
        """Nothing in it matters any more, if `forget` was called."""
        return not self.seconds and not self.places

    def _present(self, now: float) -> int:
        """The second that is now; a clock that was put back counts on in the newest one."""
        second = math.floor(now)
        if not self.seconds or self.seconds[-1] < second:
            self.seconds.append(second)
            self.requests.append(0)
            self.tokens.append(0)
        return self.seconds[-1]

    def _wait(self, counts: list[int], excess: int, now: float) -> float | None:
        """Seconds until `excess` of `counts` is forgotten."""
        for second, count in zip(self.seconds, counts, strict=True):
            excess -= count
            if excess <= 0:
                return second + SPAN - now
        return None
