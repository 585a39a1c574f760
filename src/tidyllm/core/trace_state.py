"""W3C trace context: the `tracestate` header, what other systems note about a trace. It is passed on, never read."""

from __future__ import annotations

import re

__all__ = ["MOST_CHARACTERS", "checked_tracestate"]

MOST_CHARACTERS = 512
"""What the standard asks everyone to pass on at least; more is dropped as a whole, which it allows."""
_PRINTABLE = re.compile(r"[\x20-\x7e\t]+")


def checked_tracestate(header: str | None) -> str:
    """The header as it may be sent on; "" for none, and for one that is too long or could not stand in a header."""
    state = (header or "").strip()
    return state if len(state) <= MOST_CHARACTERS and _PRINTABLE.fullmatch(state) and "=" in state else ""
