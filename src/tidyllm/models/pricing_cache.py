"""What the cache of a provider saved on a call, in dollars. Arithmetic on usage and prices; it asks nobody."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from tidyllm.models.model_info import ModelInfo
from tidyllm.models.pricing import cost_usd
from tidyllm.models.response import Usage

__all__ = ["prompt_cache_saved_usd", "used_cache"]


def used_cache(usage: Usage) -> bool:
    """Whether the provider read from its cache, or wrote to it."""
    return bool(usage.cache_read_tokens or usage.cache_write_5m_tokens or usage.cache_write_1h_tokens)


def prompt_cache_saved_usd(
    usage: Usage, info: ModelInfo | None, *, tier: str | Iterable[str] | None = None, at: float | None = None
) -> Decimal | None:
    """Dollars that the provider's cache saved on this call: what it would have cost without, less what it cost.

    That is, for tokens read the price of input less that of reading, and from this what writing cost beyond the price
    of input. Below 0 when writing cost more than reading saved. None when a price is not known.
    """
    tiers = tier if tier is None or isinstance(tier, str) else tuple(tier)
    plain = msgspec.structs.replace(
        usage, cache_read_tokens=None, cache_write_5m_tokens=None, cache_write_1h_tokens=None
    )
    without, paid = cost_usd(plain, info, tier=tiers, at=at), cost_usd(usage, info, tier=tiers, at=at)
    return None if without is None or paid is None else without - paid
