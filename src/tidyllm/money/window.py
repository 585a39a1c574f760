"""How long a limit counts: for ever, a day, week or month (UTC), or the last N seconds. Pure arithmetic.

Spend is counted in *slots*, numbered by their first second since 1970. A calendar window is one slot. A rolling one
is cut into sixty; what happened in any of them since `N` seconds ago counts, so it looks back over N to N + N/60
seconds: never less than was asked for. An attempt belongs to the slot in which its money was reserved, also when it
ends later: the attempts begun in one window never cost more than its limit.
"""

from __future__ import annotations

import calendar
import datetime as dt
import math
import re
from difflib import get_close_matches
from typing import Literal, TypeAlias

import msgspec

from tidyllm.errors import ConfigError

__all__ = ["Window", "WindowKind"]

WindowKind: TypeAlias = Literal["none", "day", "week", "month", "rolling"]

_DAY = 86_400
_WEEK = 7 * _DAY
_MONDAY = 4 * _DAY  # 1970-01-05, the first one after the epoch
_SLOTS = 60
_SHORTEST, _LONGEST = 60, 10 * 366 * _DAY
_KINDS = ("none", "day", "week", "month", "rolling:SECONDS")
_NAMES = ("none", "day", "week", "month")
_ROLLING = re.compile(r"rolling:(?P<number>[0-9]{1,12})(?P<unit>[smhd]?)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": _DAY}


class Window(msgspec.Struct, frozen=True):
    """One kind of window; `seconds` is the length of a rolling one, else 0."""

    kind: WindowKind = "none"
    seconds: int = 0

    @classmethod
    def parse(cls, text: str, *, where: str = "window") -> Window:
        """`none`, `day`, `week`, `month` or `rolling:SECONDS` (`rolling:3600`, `rolling:24h`; 60 s to ten years).

        :raises ConfigError: it is none of these; the message says what was probably meant.
        """
        known = next((name for name in _NAMES if name == text), None)
        if known is not None:
            return cls(known)  # pyright: ignore[reportArgumentType]
        found = _ROLLING.fullmatch(text) if isinstance(text, str) else None  # pyright: ignore[reportUnnecessaryIsInstance]
        if found is None:
            near = get_close_matches(str(text)[:40], _KINDS, 1)
            raise ConfigError(
                f"{str(text)[:80]!r} is no window; known are {', '.join(_KINDS)}.",
                where=where,
                hint=f"Did you mean {near[0]!r}?" if near else None,
            )
        seconds = int(found["number"]) * _UNITS[found["unit"]]
        if not _SHORTEST <= seconds <= _LONGEST:
            raise ConfigError(
                f"a rolling window of {seconds} s cannot be kept; expected {_SHORTEST} to {_LONGEST} s.",
                where=where,
            )
        return cls("rolling", seconds)

    @property
    def step(self) -> int:
        """Seconds of one slot of a rolling window."""
        return max(math.ceil(self.seconds / _SLOTS), 1)

    def slot(self, now: float) -> int:
        """The slot that `now` lies in."""
        match self.kind:
            case "none":
                return 0
            case "day":
                return int(now // _DAY) * _DAY
            case "week":
                return int((now - _MONDAY) // _WEEK) * _WEEK + _MONDAY
            case "month":
                return _month(now)[0]
            case "rolling":
                return int(now // self.step) * self.step

    def first(self, now: float) -> int:
        """The first slot that counts at `now`."""
        return self.slot(now - self.seconds) if self.kind == "rolling" else self.slot(now)

    @property
    def reads(self) -> str:
        """How the slots that count stand to the first one, in SQL: of a calendar window there is just that one, and an
        earlier window of the same account may have left others."""
        return ">=" if self.kind == "rolling" else "="

    def ends(self, slot: int) -> float | None:
        """When what was spent in `slot` no longer counts, in seconds since 1970; None: never."""
        match self.kind:
            case "none":
                return None
            case "day":
                return float(slot + _DAY)
            case "week":
                return float(slot + _WEEK)
            case "month":
                return float(_month(slot)[1])
            case "rolling":
                # first(now) > slot once now - seconds has reached the next slot.
                return float(slot + self.step + self.seconds)

    def __str__(self) -> str:
        return f"rolling:{self.seconds}" if self.kind == "rolling" else self.kind


_last_month = (0, 0)


def _month(now: float) -> tuple[int, int]:
    """The first second of the month of `now`, and of the next one."""
    global _last_month  # noqa: PLW0603 - the same month is asked for again and again
    start, end = _last_month
    if start <= now < end:
        return _last_month
    day = dt.datetime.fromtimestamp(now, dt.UTC)
    year, month = day.year, day.month
    after = (year + 1, 1) if month == 12 else (year, month + 1)
    bounds = (calendar.timegm((year, month, 1, 0, 0, 0)), calendar.timegm((*after, 1, 0, 0, 0)))
    _last_month = bounds
    return bounds
