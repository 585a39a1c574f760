"""W3C trace context: the `traceparent` header, read and written. It knows nothing of spans or exporters."""

from __future__ import annotations

import re
from random import getrandbits

from tidyllm import clock

__all__ = ["begun_at", "format_traceparent", "new_trace_id", "parse_traceparent"]

_RANDOM_BITS = 80

# Version 00 has exactly these four fields; a later version may add more after another dash; ff is forbidden.
_HEADER = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


def new_trace_id() -> int:
    """An id for a trace that begins here, 128 bits, never 0: milliseconds since 1970, then 80 random bits.

    With the time in front a store finds what belongs to it without an index of its own. What samplers look at, the last
    64 bits, is as random as the standard wants it.
    """
    return (int(clock.now() * 1000) & 0xFFFFFFFFFFFF) << _RANDOM_BITS | getrandbits(_RANDOM_BITS) or 1


def begun_at(trace: int) -> float:
    """When a trace began, in seconds since 1970, if `new_trace_id` made it; else any number."""
    return (trace >> _RANDOM_BITS) / 1000


def parse_traceparent(header: str | None) -> tuple[int, int, int] | None:
    """Trace id, span id and flags; None for a missing or malformed header, which the standard asks to ignore."""
    found = _HEADER.fullmatch(header.strip()) if header else None
    if found is None:
        return None
    version, trace, span, flags, more = found.groups()
    if (version == "00" and more) or not int(trace, 16) or not int(span, 16):
        return None
    return int(trace, 16), int(span, 16), int(flags, 16)


def format_traceparent(trace: int, span: int, flags: int) -> str:
    """The header for a call below `span`."""
    return f"00-{trace:032x}-{span:016x}-{flags & 0xFF:02x}"
