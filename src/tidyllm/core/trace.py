"""W3C trace context: the `traceparent` header, read and written. It knows nothing of spans or exporters."""

from __future__ import annotations

import re

__all__ = ["format_traceparent", "parse_traceparent"]

# Version 00 has exactly these four fields; a later version may add more after another dash; ff is forbidden.
_HEADER = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


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
