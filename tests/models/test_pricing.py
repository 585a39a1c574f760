"""Costs are exact to the last digit, or unknown."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.shared_data import exchanges
from tidyllm import clock
from tidyllm.models.catalog import Catalog, LongRates, ModelInfo, Prices, Rates
from tidyllm.models.pricing import at_most_usd, cost_usd, served_tier
from tidyllm.models.response import Response, Usage

CATALOG = Catalog.default()
MODELS = list(CATALOG)


def usd(name: str, usage: Usage, **how: Any) -> Decimal | None:
    info = CATALOG.find(name)
    assert info is not None
    return cost_usd(usage, info, **how)


def utc(when: str) -> float:
    return dt.datetime.fromisoformat(f"{when}+00:00").timestamp()


CACHED = Usage(input_tokens=10_000, output_tokens=500, cache_read_tokens=8_000, reasoning_tokens=300)
ALL_CACHES = Usage(
    input_tokens=10_000,
    output_tokens=800,
    cache_read_tokens=4_000,
    cache_write_5m_tokens=2_000,
    cache_write_1h_tokens=1_000,
)
LONG = Usage(input_tokens=300_000, output_tokens=1_000, cache_read_tokens=100_000)
SOUND = Usage(input_tokens=1_000, output_tokens=600, audio_input_tokens=800, audio_output_tokens=500)

GOLDEN: list[tuple[str, str, Usage, dict[str, Any], str]] = [
    # 2,000 at 1.25, 8,000 at 0.125, 500 at 10; reasoning is inside the 500
    ("cached prompt, reasoning", "openai/gpt-5.1", CACHED, {}, "0.0085"),
    # 3,000 at 3, 4,000 at 0.30, 2,000 at 3.75, 1,000 at 6, 800 at 15
    ("cache read, 5m and 1h writes", "anthropic/claude-sonnet-4-5", ALL_CACHES, {}, "0.0357"),
    # 272,000 at 2.50, 1,000 at 15
    ("just not long", "openai/gpt-5.4", Usage(input_tokens=272_000, output_tokens=1_000), {}, "0.695"),
    # 200,000 at 5, 100,000 at 0.50, 1,000 at 22.50
    ("long prompt", "openai/gpt-5.4", LONG, {}, "1.0725"),
    # 70,000 at 0.50, 40,000 at 0.05, 20,000 at 0.625, 10,000 at 1, 100 at 2.50
    (
        "long prompt, cache writes",
        "anthropic/claude-haiku-5-5",
        Usage(
            input_tokens=140_000,
            output_tokens=100,
            cache_read_tokens=40_000,
            cache_write_5m_tokens=20_000,
            cache_write_1h_tokens=10_000,
        ),
        {},
        "0.05975",
    ),
    # 200 at 2.50, 800 at 32, 100 at 10, 500 at 64
    ("sound in and out", "openai/gpt-audio", SOUND, {}, "0.0591"),
    ("half price", "openai/gpt-5.1", CACHED, {"tier": "flex"}, "0.00425"),
    ("double price", "openai/gpt-5.1", CACHED, {"tier": "priority"}, "0.017"),
    ("list price by name", "openai/gpt-5.1", CACHED, {"tier": "default"}, "0.0085"),
    # 2,000 at 2.00, 8,000 at 0.50, 500 at 8: o4-mini's own list for priority
    ("price list of a tier", "openai/o4-mini", CACHED, {"tier": "priority"}, "0.012"),
    # (1,000 at 5 and 100 at 25) times 0.5 times 1.1
    (
        "tier and region",
        "anthropic/claude-opus-4-8",
        Usage(input_tokens=1_000, output_tokens=100),
        {"tier": ("batch", "us")},
        "0.004125",
    ),
    ("off peak", "deepseek/deepseek-v4-flash", LONG, {"at": utc("2026-11-20T04:00:00")}, "0.0309"),
    ("peak, Friday", "deepseek/deepseek-v4-flash", LONG, {"at": utc("2026-11-20T02:00:00")}, "0.0618"),
    ("weekend", "deepseek/deepseek-v4-flash", LONG, {"at": utc("2026-11-21T02:00:00")}, "0.0309"),
    ("an embedding writes nothing", "openai/text-embedding-3-small", Usage(input_tokens=500_000), {}, "0.01"),
    ("local", "ollama/qwen3:0.6b", ALL_CACHES, {}, "0"),
    ("local, any tier", "ollama/qwen3:0.6b", SOUND, {"tier": "priority"}, "0"),
    ("nothing used", "openai/gpt-5.1", Usage(input_tokens=0, output_tokens=0), {}, "0"),
    (
        "no kind without rate occurs",
        "openai/gpt-4-turbo",
        Usage(input_tokens=1, output_tokens=0),
        {},
        "0.00001",
    ),
]


@pytest.mark.parametrize(
    ("name", "usage", "how", "expected"), [case[1:] for case in GOLDEN], ids=lambda _: ""
)
def test_golden_costs_computed_by_hand(name: str, usage: Usage, how: dict[str, Any], expected: str) -> None:
    assert usd(name, usage, **how) == Decimal(expected)


UNKNOWN: list[tuple[str, Usage, dict[str, Any]]] = [
    ("openai/gpt-5.1", Usage(), {}),
    ("openai/gpt-5.1", Usage(input_tokens=5), {}),
    ("openai/gpt-5.1", Usage(output_tokens=5), {}),
    ("openai/text-embedding-3-small", Usage(), {}),
    ("openai/gpt-5.1", SOUND, {}),  # sound occurs and has no rate
    ("openai/gpt-4-turbo", CACHED, {}),  # neither have cache reads
    ("openai/gpt-4.1", CACHED, {"tier": "batch"}),  # nor here, in this tier
    ("openai/gpt-5.1", Usage(input_tokens=5, output_tokens=5, cache_read_tokens=6), {}),
    ("openai/gpt-audio", Usage(input_tokens=5, output_tokens=5, audio_output_tokens=6), {}),
    ("openai/gpt-5.1", Usage(input_tokens=-1, output_tokens=5), {}),
    ("openai/gpt-5.1", Usage(input_tokens=5, output_tokens=5, cache_read_tokens=-5), {}),
    ("openai/gpt-5.1", CACHED, {"tier": "auto"}),
    ("openai/gpt-5.1", CACHED, {"tier": "scale"}),
    ("openai/gpt-5.1", CACHED, {"tier": ("flex", "moon")}),
    ("google/gemini-3.8-flash", CACHED, {"at": utc("2027-01-01T00:00:00")}),
]


@pytest.mark.parametrize(("name", "usage", "how"), UNKNOWN)
def test_what_is_not_known_is_none_and_never_zero(name: str, usage: Usage, how: dict[str, Any]) -> None:
    assert usd(name, usage, **how) is None


def test_an_unknown_model_or_price_has_no_cost() -> None:
    assert cost_usd(CACHED, None) is None
    assert cost_usd(CACHED, ModelInfo(name="a/b")) is None
    assert at_most_usd(1, 1, None) is None
    assert at_most_usd(1, 1, ModelInfo(name="a/b")) is None


def test_prices_hold_to_the_end_of_their_last_day() -> None:
    usage = Usage(input_tokens=4, output_tokens=0)
    assert usd("google/gemini-3.8-flash", usage, at=utc("2026-12-31T23:59:59")) == Decimal("0.000003")


def test_without_a_time_the_clock_tells_it() -> None:
    class NewYear:
        monotonic = staticmethod(clock.monotonic)

        def now(self) -> float:
            return utc("2027-01-01T00:00:00")

        async def sleep(self, seconds: float) -> None: ...

        def call_later(self, seconds: float, callback: Callable[[], object]) -> clock.Timer:
            return clock.call_later(seconds, callback)

    with clock.use(NewYear()):
        assert usd("google/gemini-3.8-flash", CACHED) is None


def test_a_program_that_rounds_its_decimals_still_gets_the_exact_cost() -> None:
    with decimal.localcontext(decimal.Context(prec=3)):
        assert usd("openai/gpt-5.1", Usage(input_tokens=123_456_789, output_tokens=1)) == Decimal(
            "154.32099625"
        )


rates = st.decimals(0, 1000, places=6)
PLAIN = st.builds(Prices, **dict.fromkeys(Rates.__struct_fields__, rates)).map(
    lambda prices: ModelInfo(name="a/b", prices=prices)
)
parts = st.tuples(*[st.integers(0, 10**6)] * 7)


def usage_of(part: tuple[int, ...]) -> Usage:
    """A usage whose counts do not contradict each other."""
    plain, read, write_5m, write_1h, sound_in, written, sound_out = part
    return Usage(
        input_tokens=plain + read + write_5m + write_1h + sound_in,
        output_tokens=written + sound_out,
        cache_read_tokens=read,
        cache_write_5m_tokens=write_5m,
        cache_write_1h_tokens=write_1h,
        audio_input_tokens=sound_in,
        audio_output_tokens=sound_out,
    )


def summed(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(one, other, strict=True))


def cost(usage: Usage, info: ModelInfo, **how: Any) -> Decimal:
    found = cost_usd(usage, info, **how)
    assert found is not None
    return found


@given(PLAIN, parts, parts)
def test_two_calls_cost_what_one_with_both_their_tokens_costs(
    info: ModelInfo, one: tuple[int, ...], other: tuple[int, ...]
) -> None:
    together = cost(usage_of(summed(one, other)), info)
    assert cost(usage_of(one), info) + cost(usage_of(other), info) == together


@given(st.sampled_from(MODELS), parts, parts)
def test_no_model_costs_less_for_more_tokens_and_none_costs_below_zero(
    info: ModelInfo, one: tuple[int, ...], more: tuple[int, ...]
) -> None:
    less, most = (cost_usd(usage_of(p), info) for p in (one, summed(one, more)))
    if less is not None and most is not None:
        assert 0 <= less <= most


@given(st.sampled_from(MODELS), parts, st.permutations(["batch", "us", "flex", "priority", "default"]))
def test_the_order_of_tiers_that_are_factors_does_not_matter(
    info: ModelInfo, part: tuple[int, ...], tiers: list[str]
) -> None:
    factors = [t for t in tiers if t == "default" or isinstance(info.service.get(t), Decimal)]
    usage = usage_of(part)
    assert cost_usd(usage, info, tier=factors) == cost_usd(usage, info, tier=sorted(factors))


@given(st.sampled_from(MODELS), parts, st.sampled_from([None, "batch", "priority"]))
def test_no_usage_costs_more_than_was_reserved_for_its_tokens(
    info: ModelInfo, part: tuple[int, ...], tier: str | None
) -> None:
    usage = usage_of(part)
    spent = cost_usd(usage, info, tier=tier, at=0)
    reserved = at_most_usd(usage.input_tokens or 0, usage.output_tokens or 0, info, tier=tier, at=0)
    if spent is not None:
        assert reserved is not None
        assert spent <= reserved


def test_a_reservation_counts_the_dearest_rate_on_either_side() -> None:
    long = LongRates(above_tokens=10, input=Decimal(2), output=Decimal(4), cache_write_1h=Decimal(9))
    prices = Prices(input=Decimal(1), output=Decimal(3), cache_write_1h=Decimal(5), long=(long,))
    info = ModelInfo(name="a/b", prices=prices, service={"batch": Decimal("0.5")})
    assert at_most_usd(10, 1, info) == Decimal("0.000053")
    assert at_most_usd(11, 1, info) == Decimal("0.000103")
    assert at_most_usd(10, 1, info, tier="batch") == Decimal("0.0000265")
    assert at_most_usd(10, 1, info, tier="moon") is None
    assert at_most_usd(-1, 1, info) is None
    assert at_most_usd(100, 7, CATALOG.find("openai/text-embedding-3-small")) == Decimal("0.000002")


@pytest.mark.parametrize(
    ("extra", "raw", "tier"),
    [
        ({"service_tier": "flex"}, {}, ("flex",)),
        ({"service_tier": None}, {}, ()),
        (
            {},
            {"service_tier": "batch", "speed": "standard", "inference_geo": "us"},
            ("batch", "standard", "us"),
        ),
        ({}, {"service_tier": 3}, ()),
    ],
)
def test_the_answer_says_how_it_was_served(
    extra: dict[str, Any], raw: dict[str, Any], tier: tuple[str, ...]
) -> None:
    assert served_tier(Response(extra=extra, usage=Usage(raw=raw))) == tier


@given(st.builds(Usage, **dict.fromkeys(Usage.__struct_fields__[:-1], st.none() | st.integers(-9, 9))))
def test_counts_that_make_no_sense_never_give_a_negative_cost(usage: Usage) -> None:
    for name in ("anthropic/claude-sonnet-4-5", "openai/gpt-audio", "openai/text-embedding-3-small"):
        found = usd(name, usage)
        assert found is None or found >= 0


class _Details(msgspec.Struct, frozen=True):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _Billed(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    cost: Decimal
    prompt_tokens_details: _Details = _Details()


def test_recorded_bills_of_openrouter_equal_our_costs() -> None:
    """OpenRouter says in each answer what it charged: cache reads and writes included, to the last digit."""
    compared = 0
    for exchange in exchanges("openai_chat"):
        body: dict[str, Any] = exchange.get("body_json") or {}
        usage: dict[str, Any] = body.get("usage") or {}
        info = CATALOG.find(f"openrouter/{exchange['request'].get('model')}")
        if (
            exchange["host"] != "openrouter.ai"
            or info is None
            or info.prices is None
            or not usage.get("cost")
        ):
            continue
        billed = msgspec.convert(usage, _Billed)
        ours = Usage(
            input_tokens=billed.prompt_tokens,
            output_tokens=billed.completion_tokens,
            cache_read_tokens=billed.prompt_tokens_details.cached_tokens,
            cache_write_5m_tokens=billed.prompt_tokens_details.cache_write_tokens,
        )
        assert cost_usd(ours, info) == billed.cost, exchange["source"]
        compared += 1
    assert compared >= 8
