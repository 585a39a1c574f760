"""When a failed call is tried again. Pure: it is told what time is left, it does not wait and knows no errors.

The pause after attempt n is drawn evenly from 0 to min(cap, base * multiplier**(n-1)) seconds ("full jitter": callers
that failed together do not come back together), or is just that bound where there is no jitter. When the target asked
for a pause, that comes first and the drawn one is added to it, for the same reason.
(Keep in sync with docs/concepts/resilience.md.)
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

__all__ = ["GiveUp", "Schedule", "bound", "delay"]


def bound(attempt: int, base: float, cap: float, multiplier: float = 2.0) -> float:
    """The most seconds after attempt number `attempt` (from 1): `min(cap, base * multiplier**(attempt-1))`."""
    if not base:
        return 0.0
    try:
        return min(cap, base * multiplier ** (attempt - 1))
    except OverflowError:  # more seconds than a float can say: the cap decides
        return cap


def delay(attempt: int, base: float, cap: float, rng: Callable[[], float], multiplier: float = 2.0) -> float:
    """Seconds to pause after attempt number `attempt` (from 1) failed: between 0 and `bound` of the same arguments.

    `rng` gives floats from 0 to 1.
    """
    return rng() * bound(attempt, base, cap, multiplier)


class GiveUp(msgspec.Struct, frozen=True):
    """There is no further attempt; `reason` is a phrase for people."""

    reason: str


class Schedule(msgspec.Struct, frozen=True):
    """The plan of one `Retry`."""

    attempts: int
    """Tries in all, the first one included."""
    base: float
    """Upper bound of the first pause, in seconds."""
    cap: float
    """Upper bound of every drawn pause, in seconds."""
    longest_wait: float
    """The longest pause that a target may ask for, in seconds; beyond it the error goes to the caller at once."""
    multiplier: float = 2.0
    """By which the bound grows with each attempt; at least 1."""
    jitter: bool = True
    """Whether pauses are drawn below their bound; else they are just that long."""

    def after(
        self, attempt: int, *, asked: float | None, remaining: float | None, rng: Callable[[], float]
    ) -> float | GiveUp:
        """Seconds to pause after attempt number `attempt` failed, or why there is no next one.

        `asked` is the pause that the target asked for (`Retry-After`), `remaining` the time to the deadline, both in
        seconds; None where there is none.
        """
        if attempt >= self.attempts:
            return GiveUp(f"{attempt} of {self.attempts} attempts failed")
        draw = rng if self.jitter else _whole
        pause = delay(attempt, self.base, self.cap, draw, self.multiplier)
        if asked is not None:
            if asked > self.longest_wait:
                return GiveUp(
                    f"it asks for a pause of {asked:g} s, at most {self.longest_wait:g} s are waited"
                )
            pause += asked
        if remaining is not None and pause >= remaining:
            return GiveUp(
                f"the next attempt would start in {pause:.2f} s, the deadline is in {remaining:.2f} s"
            )
        return pause


def _whole() -> float:
    return 1.0
