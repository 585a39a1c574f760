"""What is known of one model, as types: window, abilities, prices. They find nothing and compute nothing.

Prices are exact `Decimal` US dollars per million tokens. What is not known is None, never 0.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Literal, TypeAlias

import msgspec

__all__ = ["Ability", "Bill", "Hours", "LongRates", "ModelInfo", "Prices", "ProviderInfo", "Rates"]

Ability: TypeAlias = Literal[
    "tools",
    "vision",
    "audio_in",
    "reasoning",
    "structured_output",
    "streaming",
    "prompt_cache",
    "documents",
    "embeddings",
]

Bill: TypeAlias = Literal["cost", "cost_in_usd_ticks"]


class Rates(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """US dollars per million tokens, each None where there is no known price.

    `input` is for the part of the prompt that no other rate covers. `cache_write_5m` is for short-lived
    entries (Anthropic 5 minutes, OpenAI 30), `cache_write_1h` for long-lived ones (Anthropic 1 hour, OpenAI
    12). `audio_input`, `audio_cache_read` and `audio_output` are for tokens of sound. `reasoning` is for
    tokens of reasoning where they cost something else than the rest of the answer; without it they cost
    `output`, as they do nearly everywhere.
    """

    input: Decimal | None = None
    output: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write_5m: Decimal | None = None
    cache_write_1h: Decimal | None = None
    audio_input: Decimal | None = None
    audio_output: Decimal | None = None
    audio_cache_read: Decimal | None = None
    reasoning: Decimal | None = None

    def __post_init__(self) -> None:
        for kind in _KINDS:
            rate: Decimal | None = getattr(self, kind)
            if rate is not None and not (rate.is_finite() and rate >= 0):
                raise ValueError(f"`{kind}` must be a price of 0 or more, got {rate}")


_KINDS = Rates.__struct_fields__


class LongRates(Rates, frozen=True, kw_only=True):
    """What the whole call costs when its prompt has more than `above_tokens` tokens."""

    above_tokens: int


class Prices(Rates, frozen=True, kw_only=True):
    """A price list. `long` has the rates for long prompts, by rising `above_tokens`, of the same kinds."""

    long: tuple[LongRates, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        limits = [rates.above_tokens for rates in self.long]
        if limits != sorted(set(limits)) or any(limit <= 0 for limit in limits):
            raise ValueError(f"`long` must have rising `above_tokens` greater than 0, got {limits}")
        for rates in self.long:
            for kind in _KINDS:
                if (getattr(rates, kind) is None) != (getattr(self, kind) is None):
                    raise ValueError(
                        f"`long` above {rates.above_tokens} must name the same kinds; see `{kind}`"
                    )


class Hours(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All costs `factor` times as much from `start` until before `end` (UTC) on `days` (Monday is 1)."""

    start: dt.time
    end: dt.time
    factor: Decimal
    days: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise ValueError(f"`start` {self.start} must be before `end` {self.end}; split hours at midnight")
        _check_factor("factor", self.factor)


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is known of one model.

    - `name`: `provider/model`; `aliases`: other full names of it.
    - `context_window_tokens`: prompt and answer together; `max_output_tokens`: of the answer. None: not
      known.
    - `abilities`: what it is known to be able to do; a missing one is not known.
    - `prices`: the list price; None: not known.
    - `service`: by service tier (`batch`, `flex`, `priority`, …): a factor on the list price, or a price
      list.
    - `always`: tiers of `service` that apply to each call here, such as the region of the address.
    - `fees`: US dollars per use of what is billed by the piece and counted in the usage (`web_search`).
    - `searches`: it searches by itself in each call and reads what it finds, so that no bound on its cost is known.
    - `bill`: the field of the usage in which the provider says what it charged, which then is the cost:
      `cost` (dollars, OpenRouter) or `cost_in_usd_ticks` (of 10⁻¹⁰ dollars, xAI).
    - `hours`: times of day that cost more.
    - `valid_until`: the last day (UTC) on which the prices hold, where the provider announced an end.
    - `local`: it runs on the user's own machine, so that its prices are 0.
    - `source`: where the facts were read, and `date` when.
    """

    name: str
    aliases: tuple[str, ...] = ()
    context_window_tokens: int | None = None
    max_output_tokens: int | None = None
    abilities: frozenset[Ability] = frozenset()
    prices: Prices | None = None
    service: dict[str, Decimal | Prices] = {}
    always: tuple[str, ...] = ()
    fees: dict[str, Decimal] = {}
    searches: bool = False
    bill: Bill | None = None
    hours: tuple[Hours, ...] = ()
    valid_until: dt.date | None = None
    local: bool = False
    source: str = ""
    date: dt.date | None = None

    def __post_init__(self) -> None:
        for name in (self.name, *self.aliases):
            provider, _, model = name.partition("/")
            if not (provider and model):
                raise ValueError(f"a name must read `provider/model`, got {name!r}")
        for field in ("context_window_tokens", "max_output_tokens"):
            tokens: int | None = getattr(self, field)
            if tokens is not None and tokens <= 0:
                raise ValueError(f"`{field}` must be greater than 0, got {tokens}")
        for tier, price in self.service.items():
            if isinstance(price, Decimal):
                _check_factor(f"service.{tier}", price)
        for use, fee in self.fees.items():
            _check_factor(f"fees.{use}", fee)


class ProviderInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds for all models of one provider: the `hosts` of its API and the page its prices were read
    from, its `fees` and its `bill`.

    `regions`: ends of host names at which another price may hold, with the name that the models' `service` has for
    it; a model without that name costs the list price there.

    All models of a `local` provider cost nothing, for the reason `source` gives, but for those whose
    names end with one of `remote_suffixes`.
    """

    source: str
    hosts: tuple[str, ...] = ()
    regions: dict[str, str] = {}
    fees: dict[str, Decimal] = {}
    bill: Bill | None = None
    local: bool = False
    remote_suffixes: tuple[str, ...] = ()


def _check_factor(field: str, factor: Decimal) -> None:
    if not (factor.is_finite() and factor >= 0):
        raise ValueError(f"`{field}` must be a factor of 0 or more, got {factor}")
