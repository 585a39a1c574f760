"""What a call brought, on its way to the store and to those who wait. Records only."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from tidyllm.cache.entry import Entry

__all__ = ["Landed", "Packed"]


class Packed(msgspec.Struct, frozen=True):
    """An answer ready to be kept."""

    kind: str
    body: bytes
    saved_usd: Decimal | None = None
    facts: dict[str, Any] = {}


class Landed(msgspec.Struct, frozen=True):
    """What one call brought: the answer as it came, and its entry, if it could be written as one."""

    answer: Any
    entry: Entry | None
    outcome: str = "miss"
