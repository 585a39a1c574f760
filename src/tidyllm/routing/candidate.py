"""What may be chosen, and what a choice must keep to. It knows facts and limits, not how to choose."""

from __future__ import annotations

from decimal import Decimal
from math import isfinite

import msgspec

from tidyllm.models.model_info import Ability, ModelInfo
from tidyllm.routing.text import Asked

__all__ = ["Candidate", "Needs", "objections"]


class Candidate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A route that may be chosen.

    - `name`: the route's. `info`: what the catalogue knows of its first model; None for an unknown one.
    - `weight`: how often it is chosen among others by weight.
    - `region`: where it runs (`eu-west-1`); `residency`: places that data sent to it never leaves (`eu`).
    """

    name: str
    info: ModelInfo | None = None
    weight: float = 1.0
    region: str | None = None
    residency: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("`name` is empty")
        if not (isfinite(self.weight) and self.weight >= 0):
            raise ValueError(f"`weight` of {self.name!r} must be 0 or more, got {self.weight:g}")

    @property
    def price(self) -> Decimal | None:
        """Dollars for a million tokens, three in for each one out; None when a price is not known."""
        prices = self.info.prices if self.info else None
        if prices is None or prices.input is None or prices.output is None:
            return None
        return (3 * prices.input + prices.output) / 4


class Needs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every choice must keep to. A fact that is not known does not meet a need, but for the measured latency.

    - `window_tokens`: at least this window. `usd_per_million`: at most this price, three tokens in for each one out.
    - `latency`: at most these mean seconds to the first piece, once they are measured.
    - `abilities`: all of them. `regions`: one of them. `residency`: data stay in this place.
    """

    window_tokens: int | None = None
    usd_per_million: Decimal | None = None
    latency: float | None = None
    abilities: frozenset[Ability] = frozenset()
    regions: frozenset[str] = frozenset()
    residency: str | None = None

    def __post_init__(self) -> None:
        if self.window_tokens is not None and self.window_tokens <= 0:
            raise ValueError(f"`window_tokens` must be greater than 0, got {self.window_tokens}")
        if self.usd_per_million is not None and not (
            self.usd_per_million.is_finite() and self.usd_per_million >= 0
        ):
            raise ValueError(f"`usd_per_million` must be 0 or more, got {self.usd_per_million}")
        if self.latency is not None and not (isfinite(self.latency) and self.latency > 0):
            raise ValueError(f"`latency` must be above 0 seconds, got {self.latency:g}")


def objections(one: Candidate, needs: Needs, asked: Asked, latency: float | None) -> list[str]:
    """Why this candidate may not be chosen; empty when it may. `latency`: as measured, in seconds."""
    found: list[str] = []
    info = one.info
    window = info.context_window_tokens if info else None
    if needs.window_tokens is not None and (window is None or window < needs.window_tokens):
        found.append(f"window {_known(window)}, {needs.window_tokens:,} needed")
    elif window is not None and asked.tokens > window:
        found.append(f"window {window:,}, the request takes about {asked.tokens:,}")
    price = one.price
    if needs.usd_per_million is not None and (price is None or price > needs.usd_per_million):
        shown = "not known" if price is None else f"${price:.3g}"
        found.append(f"price per million {shown}, at most ${needs.usd_per_million:.3g}")
    if needs.latency is not None and latency is not None and latency > needs.latency:
        found.append(f"latency {latency:.2f} s, at most {needs.latency:g} s")
    able = info.abilities if info else frozenset[Ability]()
    missing = needs.abilities - able
    if info is not None:
        # Of an unknown model nobody knows what it cannot do; the provider will say.
        missing |= asked.abilities - able
    if missing:
        found.append(f"not known to do {', '.join(sorted(missing))}")
    if needs.regions and one.region not in needs.regions:
        found.append(f"region {one.region or 'not known'}, {' or '.join(sorted(needs.regions))} needed")
    if needs.residency is not None and needs.residency not in one.residency:
        places = ", ".join(sorted(one.residency)) or "not known"
        found.append(f"data residency {places}, {needs.residency} needed")
    return found


def _known(number: int | None) -> str:
    return "not known" if number is None else f"{number:,}"
