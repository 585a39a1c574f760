"""The catalogue finds models by their exact names and refuses malformed entries by entry and field."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.errors import ConfigError
from tidyllm.models.catalog import Catalog, ModelInfo, Prices, Rates

CATALOG = Catalog.default()
MODELS = list(CATALOG)
KINDS = Rates.__struct_fields__


def test_the_catalogue_is_read_when_it_is_first_asked_for_and_once() -> None:
    program = (
        "import sys\n"
        "opened = []\n"
        "sys.addaudithook(lambda e, a: opened.append(str(a[0])) if e == 'open' else None)\n"
        "import tidyllm.models, tidyllm.models.catalog as catalog, tidyllm.models.pricing\n"
        "count = lambda: sum(name.endswith('catalog.toml') for name in opened)\n"
        "assert count() == 0\n"
        "assert catalog.Catalog.default() is catalog.Catalog.default()\n"
        "assert count() == 1, opened\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_model_of_today_is_known_with_source_and_date() -> None:
    info = CATALOG.find("openai/gpt-5.1")
    assert info is not None
    assert info.context_window_tokens == 400_000
    assert info.max_output_tokens == 128_000
    assert {"tools", "vision", "reasoning", "structured_output"} <= info.abilities
    assert info.prices == Prices(input=Decimal("1.25"), output=Decimal(10), cache_read=Decimal("0.125"))
    assert info.source.startswith("https://")
    assert info.date == dt.date(2026, 11, 21)


@pytest.mark.parametrize("info", MODELS, ids=lambda info: info.name)
def test_every_entry_says_where_and_when_it_was_read_and_makes_sense(info: ModelInfo) -> None:
    assert info.source.startswith("https://")
    assert info.date is not None
    assert info.abilities
    assert info.prices is not None
    assert info.prices.input is not None
    assert (info.prices.output is None) == ("embeddings" in info.abilities)
    assert info.context_window_tokens is not None
    lists = [info.prices, *(price for price in info.service.values() if isinstance(price, Prices))]
    for prices in lists:
        assert prices.input is not None
        assert prices.cache_read is None or prices.cache_read <= prices.input
        for kind in ("cache_write_5m", "cache_write_1h"):
            assert getattr(prices, kind) is None or getattr(prices, kind) >= prices.input
        for long in prices.long:
            assert all(getattr(prices, k) is None or getattr(long, k) >= getattr(prices, k) for k in KINDS)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("openai/gpt-5.1-2025-11-13", "openai/gpt-5.1"),
        ("anthropic/claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5"),
        ("anthropic/claude-opus-4-20250514", "anthropic/claude-opus-4-0"),
        ("openai/gpt-4o-2024-05-13", "openai/gpt-4o-2024-05-13"),
        ("openai/gpt-4o-2024-11-20", "openai/gpt-4o"),
        ("mistral/mistral-large-latest", "mistral/mistral-large-2512"),
        ("groq/openai/gpt-oss-120b", "groq/openai/gpt-oss-120b"),
    ],
)
def test_aliases_and_dated_snapshots_lead_to_their_model(name: str, found: str) -> None:
    info = CATALOG.find(name)
    assert info is not None
    assert info.name == found


def test_a_snapshot_with_an_entry_of_its_own_has_its_own_price() -> None:
    old, new = CATALOG.find("openai/gpt-4o-2024-05-13"), CATALOG.find("openai/gpt-4o-2024-08-06")
    assert old is not None
    assert new is not None
    assert old.prices != new.prices


@pytest.mark.parametrize(
    "name",
    [
        "openai/gpt-5.1x",
        "openai/gpt-5.1-preview",
        "openai/gpt-5.1-2025-99-99",
        "openai/gpt-5.1-2025-11-13-x",
        "openai/GPT-5.1",
        "openai/gpt-5.1 ",
        "openai/",
        "gpt-5.1",
        "ft:openai/gpt-4o",
        "azure/gpt-5.1",
        "",
        "ollama/",
        "ollama/gpt-oss:120b-cloud",
    ],
)
def test_nothing_is_matched_loosely_and_the_unknown_stays_unknown(name: str) -> None:
    assert CATALOG.find(name) is None


@given(st.text(max_size=30))
def test_a_model_that_no_rule_knows_has_no_price(name: str) -> None:
    info = CATALOG.find(f"nowhere/{name}")
    assert info is None


def test_a_local_model_costs_nothing_and_says_why() -> None:
    info = CATALOG.find("ollama/qwen3:0.6b")
    assert info is not None
    assert info.local
    assert info.name == "ollama/qwen3:0.6b"
    assert info.prices is not None
    assert info.prices.input == info.prices.output == 0
    assert "your own machine" in info.source


def test_near_names_are_offered_with_and_without_the_provider() -> None:
    assert CATALOG.near("openai/gpt-5.1x")[0] == "openai/gpt-5.1"
    assert CATALOG.near("gpt-5.1x")[0] == "openai/gpt-5.1"
    assert "anthropic/claude-haiku-4-5" in CATALOG.near("anthropic/claude-haiku-4.5")
    assert CATALOG.near("nothing like it at all") == []


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://eu.api.openai.com/v1", "openai"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("https://ollama.com", "ollama-cloud"),
        ("https://api.openai.com.evil.example/v1", None),
        ("http://127.0.0.1:11434", None),
        ("", None),
    ],
)
def test_the_host_of_an_address_tells_the_provider(url: str, provider: str | None) -> None:
    assert CATALOG.provider_at(url) == provider


def test_a_configured_model_is_added_and_the_catalogue_itself_does_not_change() -> None:
    more = CATALOG.with_(
        {"main/mine": {"context_window_tokens": 8192, "prices": {"input": 0.1, "output": "0.30"}}}
    )
    info = more.find("main/mine")
    assert info is not None
    assert info.prices == Prices(input=Decimal("0.1"), output=Decimal("0.30"))
    assert CATALOG.find("main/mine") is None
    assert len(more) == len(CATALOG) + 1


def test_a_configured_model_takes_over_a_name_and_an_alias() -> None:
    more = CATALOG.with_([ModelInfo(name="openai/gpt-5.6"), ModelInfo(name="openai/gpt-5.1")])
    assert more.find("openai/gpt-5.6") == ModelInfo(name="openai/gpt-5.6")
    assert more.find("openai/gpt-5.1") == ModelInfo(name="openai/gpt-5.1")
    kept = more.find("openai/gpt-5.6-sol")
    assert kept is not None
    assert kept.aliases == ()


def test_a_configured_model_may_be_like_another_one() -> None:
    more = CATALOG.with_(
        {"azure/our-deployment": {"like": "openai/gpt-5.1", "max_output_tokens": 1000, "source": "us"}}
    )
    info, base = more.find("azure/our-deployment"), CATALOG.find("openai/gpt-5.1")
    assert info is not None
    assert base is not None
    assert info.prices == base.prices
    assert (info.max_output_tokens, info.source, info.aliases) == (1000, "us", ())


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("a/b", {"prices": {"inptu": 1}}, r"catalog\.a/b\.prices: .*unknown field `inptu`.*mean `input`"),
        ("a/b", {"windw": 1}, r"catalog\.a/b: .*unknown field `windw`"),
        (
            "a/b",
            {"prices": {"input": -1}},
            r"catalog\.a/b\.prices: `input` must be a price of 0 or more, got -1",
        ),
        ("a/b", {"prices": {"output": float("nan")}}, r"`output` must be a price of 0 or more, got NaN"),
        ("a/b", {"prices": {"output": float("inf")}}, r"`output` must be a price of 0 or more, got Infinity"),
        ("a/b", {"prices": {"output": "sNaN"}}, r"`output` must be a price of 0 or more, got sNaN"),
        ("a/b", {"prices": {"input": True}}, r"catalog\.a/b\.prices\.input: Expected `decimal"),
        ("a/b", {"prices": {"input": "free"}}, r"catalog\.a/b\.prices\.input: Invalid decimal"),
        ("a/b", {"prices": 3}, r"catalog\.a/b\.prices: Expected `object"),
        ("a/b", {"context_window_tokens": 0}, r"`context_window_tokens` must be greater than 0, got 0"),
        ("a/b", {"max_output_tokens": "8k"}, r"catalog\.a/b\.max_output_tokens: Expected `int"),
        (
            "a/b",
            {"abilities": ["telepathy"]},
            r"catalog\.a/b\.abilities\[.*\]: Invalid enum value 'telepathy'",
        ),
        ("a/b", {"service": {"batch": -1}}, r"`service.batch` must be a factor of 0 or more, got -1"),
        ("a/b", {"date": "yesterday"}, r"catalog\.a/b\.date: Invalid"),
        (
            "a/b",
            {"hours": [{"start": "10:00:00", "end": "02:00:00", "factor": 2}]},
            r"hours\[0\]: .*midnight",
        ),
        ("a/b", {"hours": [{"start": "01:00:00", "end": "02:00:00", "factor": -2}]}, r"`factor` must be"),
        ("nameless", {}, r"a name must read `provider/model`, got 'nameless'"),
        ("a/b", {"aliases": ["c"]}, r"a name must read `provider/model`, got 'c'"),
        ("a/b", 3, r"catalog\.a/b: expected the model's fields"),
        ("a/b", {"like": "openai/gpt-51"}, r"catalog\.a/b\.like: 'openai/gpt-51' is not .*mean openai/gpt-5"),
        ("a/b", {"like": 3}, r"catalog\.a/b\.like: 3 is not in the catalogue"),
    ],
)
def test_a_malformed_entry_is_refused_by_entry_and_field(name: str, fields: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CATALOG.with_({name: fields})


@pytest.mark.parametrize(
    ("long", "message"),
    [
        ([{"above_tokens": 9, "input": 2}], "must name the same kinds; see `output`"),
        ([{"above_tokens": 9, "input": 2, "output": 2, "cache_read": 1}], "see `cache_read`"),
        ([{"above_tokens": 0, "input": 2, "output": 2}], "rising `above_tokens`"),
        ([{"above_tokens": 9, "input": 2, "output": 2}] * 2, "rising `above_tokens`"),
    ],
)
def test_rates_for_long_prompts_must_be_whole_and_in_order(long: list[dict[str, int]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CATALOG.with_({"a/b": {"prices": {"input": 1, "output": 1, "long": long}}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[model]", "catalog: not TOML"),
        ("", "missing required field `model`"),
        ("model = []\nmodels = 1", "unknown field `models`"),
        ('[[model]]\nname = "a/b"\n[[model]]\nname = "a/b"', "two entries have one name"),
        ('[[model]]\nname = "a/b"\n[[model]]\nname = "a/c"\naliases = ["a/b"]', "'a/b' names two models"),
        ("[[model]]\nlocal = true", r"catalog\.model\[0\]: .*got 'model\[0\]'"),
        ("[[model]]\nname = 3", "catalog.3.name: Expected `str`"),
        (
            "model = []\n[provider.x]\nhosts = []",
            r"catalog\.provider\[.*\]: .*missing required field `source`",
        ),
    ],
)
def test_a_malformed_file_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Catalog.loads(text)


def test_an_entry_without_a_source_has_that_of_its_provider() -> None:
    catalog = Catalog.loads('[provider.a]\nsource = "page"\n[[model]]\nname = "a/b"\nprices = {input = 0.1}')
    assert catalog.find("a/b") == ModelInfo(name="a/b", source="page", prices=Prices(input=Decimal("0.1")))
