"""Dollars from usage. Pure arithmetic on what the catalogue says; it knows no provider and keeps no
records.

The result is exact or None, never a guess:

- Tokens that no other rate covers cost `input`: the prompt less cache reads, cache writes and sound.
  Counts that the provider left out count as none, because providers leave out what is zero.
- Reasoning is part of the output and costs the same.
- A kind of token that occurs and has no rate makes the cost unknown. So does a count below 0, parts that
  are more than the whole, a service tier without a known price, and a price list past its last day.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Context, Decimal

from tidyllm import clock
from tidyllm.models.model_info import ModelInfo, Prices, Rates
from tidyllm.models.response import Response, Usage

__all__ = ["at_most_usd", "cost_usd", "served_tier"]

STANDARD = frozenset({"default", "standard", "on_demand", "global", "not_available"})
"""What providers call the tier (or region) of their list price. `auto` is not among them: it says nothing."""

_EXACT = Context(prec=60, traps=[])  # enough for any count of tokens; a user's own context may round


def cost_usd(
    usage: Usage, info: ModelInfo | None, *, tier: str | Iterable[str] | None = None, at: float | None = None
) -> Decimal | None:
    """What this usage of this model costs in US dollars; None when that is not known.

    `tier` is the service tier the provider said it served (`flex`, `priority`, `batch`, …), or several
    that apply together (`batch` and the region `us`); None is the list price. `at` is the time of the
    call in seconds since 1970, for models whose price depends on it; None is now.
    """
    if info is None or info.prices is None:
        return None
    tariff = _tariff(info, info.prices, tier, at)
    counts = _counts(usage, writes_text="embeddings" not in info.abilities)
    if tariff is None or counts is None:
        return None
    prices, factor = tariff
    rates: Rates = prices
    for long in prices.long:
        if (usage.input_tokens or 0) > long.above_tokens:
            rates = long
    return _sum(counts, rates, factor)


def at_most_usd(
    input_tokens: int,
    output_tokens: int,
    info: ModelInfo | None,
    *,
    tier: str | Iterable[str] | None = None,
    at: float | None = None,
) -> Decimal | None:
    """The most that a call with so many tokens can cost, whichever of them are written to a cache or are
    sound.

    For reserving before a call: no usage with at most these counts costs more at this tier and time. None
    when a price is not known; kinds of token without a rate are left out, since their cost would be
    unknown anyway.
    """
    if info is None or info.prices is None or input_tokens < 0 or output_tokens < 0:
        return None
    tariff = _tariff(info, info.prices, tier, at)
    if tariff is None:
        return None
    prices, factor = tariff
    lists = [prices, *(long for long in prices.long if input_tokens > long.above_tokens)]
    into = [rate for rates in lists for kind in _INTO if (rate := getattr(rates, kind)) is not None]
    out = [rate for rates in lists for kind in _OUT if (rate := getattr(rates, kind)) is not None]
    dearest = Rates(input=max(into, default=None), output=max(out, default=None))
    if "embeddings" in info.abilities:
        output_tokens = 0
    return _sum({"input": input_tokens, "output": output_tokens}, dearest, factor)


def served_tier(response: Response) -> tuple[str, ...]:
    """What the answer says of how it was served and therefore billed, for `cost_usd(tier=...)`.

    OpenAI and those like it say `service_tier` beside the answer; Anthropic says `service_tier`, `speed` and
    `inference_geo` in its usage. Empty when the answer says nothing.
    """
    said = (
        response.extra.get("service_tier"),
        *(response.usage.raw.get(field) for field in ("service_tier", "speed", "inference_geo")),
    )
    return tuple(name for name in said if isinstance(name, str))


_INTO = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "audio_input")
_OUT = ("output", "audio_output")


def _tariff(
    info: ModelInfo, prices: Prices, tier: str | Iterable[str] | None, at: float | None
) -> tuple[Prices, Decimal] | None:
    """The price list in force and a factor on it; None when it is not known."""
    factor = Decimal(1)
    for name in (tier,) if isinstance(tier, str) else tier or ():
        service = None if name in STANDARD else info.service.get(name)
        if isinstance(service, Prices):
            prices = service
        elif service is not None:
            factor = _EXACT.multiply(factor, service)
        elif name not in STANDARD and not info.local:
            return None
    if info.hours or info.valid_until:
        when = dt.datetime.fromtimestamp(clock.now() if at is None else at, dt.UTC)
        if info.valid_until is not None and when.date() > info.valid_until:
            return None
        for hours in info.hours:
            if when.isoweekday() in hours.days and hours.start <= when.time() < hours.end:
                factor = _EXACT.multiply(factor, hours.factor)
    return prices, factor


def _counts(usage: Usage, *, writes_text: bool) -> dict[str, int] | None:
    """Tokens by the rate that covers them; None when the counts are missing or contradict each other."""
    total_output = usage.output_tokens if writes_text else usage.output_tokens or 0
    if usage.input_tokens is None or total_output is None:
        return None
    counts = {
        "cache_read": usage.cache_read_tokens or 0,
        "cache_write_5m": usage.cache_write_5m_tokens or 0,
        "cache_write_1h": usage.cache_write_1h_tokens or 0,
        "audio_input": usage.audio_input_tokens or 0,
    }
    counts["input"] = usage.input_tokens - sum(counts.values())
    counts["audio_output"] = usage.audio_output_tokens or 0
    counts["output"] = total_output - counts["audio_output"]
    return None if min(counts.values()) < 0 else counts


def _sum(counts: dict[str, int], rates: Rates, factor: Decimal) -> Decimal | None:
    total = Decimal(0)
    for kind, tokens in counts.items():
        if tokens:
            rate: Decimal | None = getattr(rates, kind)
            if rate is None:
                return None
            total = _EXACT.fma(rate, tokens, total)
    return _EXACT.scaleb(_EXACT.multiply(total, factor), -6)
