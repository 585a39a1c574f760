"""Dollars from usage. Arithmetic on what the catalogue says; it keeps no records and asks nobody.

The result is exact or `Unpriced` with its reason, never a guess:

- What the provider says that it charged is the cost, where the catalogue says that its word counts (`bill`).
- Otherwise tokens cost the rate of their kind, and those that no other rate covers cost `input` or `output`. Counts
  that the provider left out count as none, because providers leave out what is zero.
- Things billed by the piece cost their fee; turns of other models inside the call cost what those models cost.
- What occurs and has no rate makes the cost unknown. So does a count below 0, parts that are more than the whole, a
  service tier without a known price, and a price list past its last day.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Context, Decimal
from typing import Literal, TypeAlias

import msgspec

from tidyllm import clock
from tidyllm.models.catalog import Catalog
from tidyllm.models.model_info import ModelInfo, Prices, Rates
from tidyllm.models.pricing_extra import charged_usd, more_turns, uses
from tidyllm.models.response import Response, Usage

__all__ = ["Cost", "CostLine", "Unpriced", "Why", "at_most_usd", "cost_usd", "price", "served_tier"]

STANDARD = frozenset({"default", "standard", "on_demand", "global", "not_available"})
"""What providers call the tier (or region) of their list price. `auto` is not among them: it says nothing."""

Why: TypeAlias = Literal["model", "price", "usage", "tier", "expired", "rate"]
"""Why there is no cost: the model is not in the catalogue, or has no price there; the counts are missing or contradict
each other; the tier is unknown; the prices are past their last day; something that was used has no rate."""

_NONE = Decimal(0)
_EXACT = Context(prec=60, traps=[])  # enough for any count of tokens; a user's own context may round


class Unpriced(msgspec.Struct, frozen=True):
    """There is no known cost, which is not 0. `message` says it with names and numbers."""

    why: Why
    message: str


class CostLine(msgspec.Struct, frozen=True):
    """One part of a cost: `amount` tokens at `rate_usd` per million, tiers included, or `amount` uses at that fee.

    `kind` is a field of `Rates`, a use of `ModelInfo.fees`, or `bill`; a turn of another model has its name in front
    (`anthropic/claude-opus-4-8:input`).
    """

    kind: str
    amount: int
    rate_usd: Decimal
    usd: Decimal


class Cost(msgspec.Struct, frozen=True):
    """What a call costs, and why: `usd` is the sum of the `lines`. Lines without an amount are left out."""

    usd: Decimal
    lines: tuple[CostLine, ...] = ()


def cost_usd(
    usage: Usage,
    info: ModelInfo | None,
    *,
    tier: str | Iterable[str] | None = None,
    at: float | None = None,
    catalog: Catalog | None = None,
) -> Decimal | None:
    """What this usage of this model costs in US dollars; None when that is not known. `price` says why."""
    found = price(usage, info, tier=tier, at=at, catalog=catalog)
    return found.usd if isinstance(found, Cost) else None


def price(
    usage: Usage,
    info: ModelInfo | None,
    *,
    tier: str | Iterable[str] | None = None,
    at: float | None = None,
    catalog: Catalog | None = None,
) -> Cost | Unpriced:
    """What this usage of this model costs, part by part, or why that is not known.

    `tier` is the service tier the provider said it served (`flex`, `priority`, `batch`, …), or several
    that apply together (`batch` and the region `us`); None is the list price. `at` is the time of the
    call in seconds since 1970, for models whose price depends on it; None is now. `catalog` has the other
    models that may take a turn inside the call; None is the default one.
    """
    if info is None:
        return Unpriced("model", "the model is not in the catalogue")
    raw = usage.raw
    if info.bill is not None and (charged := charged_usd(raw, info.bill)) is not None:
        return Cost(charged, (CostLine("bill", 1, charged, charged),))
    names = (tier,) if isinstance(tier, str) else tuple(tier or ())
    lines: list[CostLine] = []
    wrong = _add_tokens(lines, usage, info, names, at)
    if wrong is None and raw:
        wrong = _add_uses(lines, raw, info) or _add_turns(lines, raw, info, names, at, catalog=catalog)
    if wrong is not None:
        return wrong
    total = _NONE
    for line in lines:
        total = _EXACT.add(total, line.usd)
    return Cost(total, tuple(lines))


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
    unknown anyway, and so is what is billed by the piece (`ModelInfo.fees`).
    """
    if info is None or info.prices is None or input_tokens < 0 or output_tokens < 0:
        return None
    tariff = _tariff(info, (tier,) if isinstance(tier, str) else tuple(tier or ()), at)
    if isinstance(tariff, Unpriced):
        return None
    into = out = None
    for above, most_into, most_out in tariff.most:
        if input_tokens > above:
            into, out = most_into, most_out
    if "embeddings" in info.abilities:
        output_tokens = 0
    if (input_tokens and into is None) or (output_tokens and out is None):
        return None
    total = _EXACT.fma(into or _NONE, input_tokens, _EXACT.multiply(out or _NONE, output_tokens))
    return _EXACT.scaleb(total if tariff.factor is None else _EXACT.multiply(total, tariff.factor), -6)


def served_tier(response: Response) -> tuple[str, ...]:
    """What the answer says of how it was served and therefore billed, for `cost_usd(tier=...)`.

    OpenAI and those like it say `service_tier` beside the answer; Anthropic says `service_tier`, `speed` and
    `inference_geo` in its usage, Gemini `serviceTier`. Empty when the answer says nothing.
    """
    raw = response.usage.raw
    said = (response.extra.get("service_tier"), *(raw.get(field) for field in _SAID))
    return tuple(name for name in said if isinstance(name, str) and name)


_SAID = ("service_tier", "speed", "inference_geo", "serviceTier")
_INTO = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "audio_input", "audio_cache_read")
_OUT = ("output", "audio_output", "reasoning")


class _Tariff:
    """A price list in force, and what follows from it."""

    __slots__ = ("factor", "info", "most", "prices")

    def __init__(self, info: ModelInfo, prices: Prices, factor: Decimal) -> None:
        self.info = info
        self.prices = prices
        self.factor = None if factor == 1 else factor
        lists: list[Rates] = [prices]
        self.most: list[tuple[int, Decimal | None, Decimal | None]] = [(-1, *_most(lists))]
        """Of prompts with more than so many tokens: the highest rates for input and output."""
        for long in prices.long:
            lists.append(long)
            self.most.append((long.above_tokens, *_most(lists)))


def _most(lists: Iterable[Rates]) -> tuple[Decimal | None, Decimal | None]:
    """The highest rate of input, and of output, in these lists."""
    into = [rate for rates in lists for kind in _INTO if (rate := getattr(rates, kind)) is not None]
    out = [rate for rates in lists for kind in _OUT if (rate := getattr(rates, kind)) is not None]
    return max(into, default=None), max(out, default=None)


_MANY = 2_000
_tariffs: dict[tuple[int, tuple[str, ...]], _Tariff] = {}
"""By the identity of a model, which a tariff keeps alive, and the tiers: callers name those, so it is bounded."""


def _tariff(info: ModelInfo, tiers: tuple[str, ...], at: float | None) -> _Tariff | Unpriced:
    """The price list in force and a factor on it; `info` has prices."""
    known = _tariffs.get((id(info), tiers))
    if known is not None:
        return known
    found = _work_out(info, tiers, at)
    if isinstance(found, _Tariff) and not info.hours and info.valid_until is None:
        if len(_tariffs) >= _MANY:
            _tariffs.clear()
        _tariffs[id(info), tiers] = found
    return found


def _work_out(info: ModelInfo, tiers: tuple[str, ...], at: float | None) -> _Tariff | Unpriced:
    prices = info.prices
    assert prices is not None
    factor = Decimal(1)
    for name in (*info.always, *tiers):
        service = None if name in STANDARD else info.service.get(name)
        if isinstance(service, Prices):
            prices = service
        elif service is not None:
            factor = _EXACT.multiply(factor, service)
        elif name not in STANDARD and not info.local:
            return Unpriced("tier", f"no price of {info.name} is known for the tier or region {name!r}")
    if info.hours or info.valid_until:
        when = dt.datetime.fromtimestamp(clock.now() if at is None else at, dt.UTC)
        if info.valid_until is not None and when.date() > info.valid_until:
            return Unpriced("expired", f"the known prices of {info.name} ended on {info.valid_until}")
        for hours in info.hours:
            if when.isoweekday() in hours.days and hours.start <= when.time() < hours.end:
                factor = _EXACT.multiply(factor, hours.factor)
    return _Tariff(info, prices, factor)


def _add_tokens(
    lines: list[CostLine],
    usage: Usage,
    info: ModelInfo,
    tiers: tuple[str, ...],
    at: float | None,
    *,
    turn: str = "",
) -> Unpriced | None:
    """One line for each kind of token that was used."""
    if info.prices is None:
        return Unpriced("price", f"the catalogue has no price of {info.name}")
    tariff = _tariff(info, tiers, at)
    if isinstance(tariff, Unpriced):
        return tariff
    rates, factor = tariff.prices, tariff.factor
    counts = _counts(usage, rates, writes_text="embeddings" not in info.abilities)
    if isinstance(counts, Unpriced):
        return counts
    chosen: Rates = rates
    for long in rates.long:
        if (usage.input_tokens or 0) > long.above_tokens:
            chosen = long
    for kind, tokens in counts.items():
        if not tokens:
            continue
        rate: Decimal | None = getattr(chosen, kind)
        if rate is None:
            return Unpriced(
                "rate", f"{info.name} used {tokens:,} tokens of {kind}, for which no price is known"
            )
        rate = rate if factor is None else _EXACT.multiply(rate, factor)
        usd = _EXACT.scaleb(_EXACT.multiply(rate, tokens), -6)
        lines.append(CostLine(turn + kind, tokens, rate, usd))
    return None


def _counts(usage: Usage, rates: Rates, *, writes_text: bool) -> dict[str, int] | Unpriced:
    """Tokens by the rate that covers them."""
    given, written = usage.input_tokens, usage.output_tokens
    if written is None and not writes_text:
        written = 0
    if given is None or written is None:
        return Unpriced("usage", "the provider did not say how many tokens the prompt and the answer had")
    read, short, long = usage.cache_read_tokens, usage.cache_write_5m_tokens, usage.cache_write_1h_tokens
    heard, heard_before = usage.audio_input_tokens, usage.audio_cache_read_tokens
    said, thought = usage.audio_output_tokens, None if rates.reasoning is None else usage.reasoning_tokens
    counts: dict[str, int] = {}
    if read or short or long or heard or heard_before:
        counts = {
            "cache_read": read or 0,
            "cache_write_5m": short or 0,
            "cache_write_1h": long or 0,
            "audio_input": heard or 0,
            "audio_cache_read": heard_before or 0,
        }
        given -= sum(counts.values())
    counts["input"] = given
    if said or thought:
        counts["audio_output"] = said or 0
        counts["reasoning"] = thought or 0
        written -= counts["audio_output"] + counts["reasoning"]
    counts["output"] = written
    if min(counts.values()) < 0:
        wrong = next(kind for kind, count in counts.items() if count < 0)
        return Unpriced(
            "usage", f"the counts contradict each other: they leave {counts[wrong]:,} for {wrong}"
        )
    return counts


def _add_uses(lines: list[CostLine], raw: dict[str, object], info: ModelInfo) -> Unpriced | None:
    """One line for each thing billed by the piece."""
    for use, count in uses(raw).items():
        fee = Decimal(0) if info.local else info.fees.get(use)
        if fee is None:
            return Unpriced("rate", f"{info.name} used {use} {count:,} times, for which no price is known")
        lines.append(CostLine(use, count, fee, _EXACT.multiply(fee, count)))
    return None


def _add_turns(
    lines: list[CostLine],
    raw: dict[str, object],
    info: ModelInfo,
    tiers: tuple[str, ...],
    at: float | None,
    *,
    catalog: Catalog | None,
) -> Unpriced | None:
    """Lines for turns that the counts of the call leave out."""
    turns = more_turns(raw)
    if turns is None:
        return Unpriced("usage", f"{info.name} took a turn of a kind whose price is not known")
    for model, usage in turns:
        name = f"{info.name.partition('/')[0]}/{model}"
        other = info if model is None else (catalog or Catalog.default()).find(name)
        if other is None:
            return Unpriced("model", f"{info.name} asked {name}, which is not in the catalogue")
        wrong = _add_tokens(lines, usage, other, tiers, at, turn=f"{other.name}:")
        if wrong is not None:
            return wrong
    return None
