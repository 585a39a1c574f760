"""Server-sent events, pure. (interface; the parser follows)"""

from __future__ import annotations

import msgspec

__all__ = ["Event"]


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event: `name` is the `event:` field ("" when absent), `data` its data lines joined by newlines."""

    data: str
    name: str = ""
