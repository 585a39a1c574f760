"""What the arguments of a wrapper must be. It knows numbers and durations, not what they are for."""

from __future__ import annotations

import math
from datetime import timedelta

from tidyllm import clock
from tidyllm.errors import ConfigError

__all__ = ["count", "duration", "factor", "optional_duration"]


def duration(where: str, value: float | timedelta, *, zero: bool = False) -> float:
    """Seconds of a finite duration above 0, or from 0 on when `zero` is allowed.

    :raises ConfigError: it is none; `where` names the argument (`Retry.base`).
    """
    least = "0 or more" if zero else "above 0"
    if isinstance(value, bool) or not isinstance(value, int | float | timedelta):  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
        raise ConfigError(
            f"{value!r} is no duration; expected seconds ({least}) or a timedelta.", where=where
        )
    seconds = clock.seconds(value)
    if not math.isfinite(seconds) or seconds < 0 or (seconds == 0 and not zero):
        raise ConfigError(f"{seconds:g} s is out of range; expected a finite duration, {least}.", where=where)
    return seconds


def optional_duration(where: str, value: float | timedelta | None, *, zero: bool = False) -> float | None:
    """`duration`, or None for "no such limit"."""
    return None if value is None else duration(where, value, zero=zero)


def count(where: str, value: int) -> int:
    """A whole number from 1 on.

    :raises ConfigError: it is none; `where` names the argument (`Retry.attempts`).
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
        raise ConfigError(f"{value!r} is out of range; expected a whole number from 1 on.", where=where)
    return value


def factor(where: str, value: float) -> float:
    """A finite number from 1 on, by which something grows.

    :raises ConfigError: it is none; `where` names the argument (`Retry.multiplier`).
    """
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
    if not math.isfinite(number) or number < 1:
        raise ConfigError(f"{value!r} is out of range; expected a finite number from 1 on.", where=where)
    return float(number)
