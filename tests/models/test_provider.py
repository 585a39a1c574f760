"""Providers and the names of models: what is spoken where, whose key goes where, and whose prices hold."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm import model
from tidyllm.errors import ConfigError
from tidyllm.models.catalog import Catalog
from tidyllm.models.factory import build
from tidyllm.models.http_target import target
from tidyllm.models.provider import KINDS, Kind, Provider, is_own_address, provider

PROXY = "http://127.0.0.1:9001/v1"


@contextmanager
def key_in(variable: str, value: str = "sk-env") -> Generator[None]:
    """The environment with a key in it."""
    os.environ[variable] = value
    try:
        yield
    finally:
        del os.environ[variable]


def formats(of: Provider) -> list[str]:
    return [endpoint.format for endpoint in of.endpoints]


# -- addresses and formats


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_kind_has_a_good_address_and_formats(kind: Kind) -> None:
    base = kind.base_url or "https://x.openai.azure.com/openai/v1"
    found = provider(kind.name, base_url=base, api_key="k")
    assert found.endpoints == kind.endpoints
    for endpoint in found.endpoints:
        assert target(found.url(endpoint)).path.endswith(endpoint.path)
    sent = found.headers_for({})
    assert ("k" in " ".join(sent.values())) == (kind.auth != "none")


def test_the_path_stands_before_the_query_of_the_base_url() -> None:
    azure = provider(
        "azure", base_url="https://x.openai.azure.com/openai/deployments/m/?api-version=1", api_key="k"
    )
    assert azure.url(azure.endpoints[0]).endswith("/openai/deployments/m/chat/completions?api-version=1")
    assert formats(azure) == ["openai_chat", "openai_embeddings"]
    assert azure.headers_for({})["api-key"] == "k"


def test_at_another_address_only_the_first_format_is_assumed() -> None:
    assert formats(provider("openai", api_key="k")) == [
        "openai_chat",
        "openai_responses",
        "openai_embeddings",
    ]
    assert formats(provider("openai", base_url=PROXY)) == ["openai_chat", "openai_embeddings"]
    assert formats(provider("openai-responses", base_url=PROXY)) == ["openai_responses", "openai_embeddings"]
    assert formats(provider("anthropic", base_url=PROXY)) == ["anthropic", "anthropic_count_tokens"]


def test_formats_can_be_chosen() -> None:
    chosen = provider("openai", api_key="k", formats=("openai_responses",))
    assert formats(chosen) == ["openai_responses"]
    assert chosen.endpoint("openai_chat") is None
    asked = model("openai/gpt-5-mini", api_key="k", format="openai_responses")
    assert asked.format.name == "openai_responses"
    with pytest.raises(
        ConfigError, match="speaks openai_chat, openai_responses, openai_embeddings, not anthropic"
    ):
        model("openai/gpt-5-mini", api_key="k", format="anthropic")
    with pytest.raises(ConfigError, match="not nothing"):
        provider("openai", api_key="k", formats=())


def test_own_addresses() -> None:
    openai = KINDS["openai"]
    for url in (
        None,
        "https://api.openai.com/v1",
        "https://api.openai.com/other",
        "https://eu.api.openai.com/v1",
    ):
        assert is_own_address(openai, url)
    for url in (PROXY, "https://api.openai.com.evil.example/v1", "https://notapi.openai.com", "http://[", ""):
        assert not is_own_address(openai, url)
    assert is_own_address(KINDS["azure"], "https://anything.example")


@given(st.text(max_size=30))
def test_any_address_is_own_or_not(url: str) -> None:
    assert is_own_address(KINDS["openai"], url) in (True, False)


# -- keys


def test_a_key_is_taken_from_the_kinds_variable() -> None:
    with key_in("OPENAI_API_KEY", " sk-env\n"):
        assert provider("openai").api_key == "sk-env"
        assert provider("openai", api_key="sk-own").api_key == "sk-own"


def test_a_key_from_the_environment_stays_at_home() -> None:
    """A server of another name would learn a key that its owner did not mean for it."""
    with key_in("OPENAI_API_KEY"):
        assert provider("openai", base_url=PROXY).api_key is None
        assert "authorization" not in provider("openai", base_url=PROXY).headers_for({})
        assert provider("openai", base_url="https://eu.api.openai.com/v1").api_key == "sk-env"
        assert provider("groq", base_url=PROXY).api_key is None
    with key_in("AZURE_OPENAI_API_KEY"):
        assert provider("azure", base_url="https://x.openai.azure.com").api_key == "sk-env"


@pytest.mark.parametrize("kind", ["openai", "anthropic", "groq"])
def test_a_missing_key_says_what_to_set(kind: str) -> None:
    variable = KINDS[kind].key_variable
    with pytest.raises(ConfigError, match=f"Set the {variable} environment variable or give api_key"):
        model(f"{kind}/m")
    assert model(f"{kind}/m", base_url=PROXY).provider.api_key is None


def test_an_unknown_kind_is_told_near_ones() -> None:
    with pytest.raises(ConfigError, match=r"kind 'opnai' is unknown; .* Did you mean 'openai'\?"):
        model("opnai/m")
    with pytest.raises(ConfigError, match="Use kind openai for a service that speaks its format"):
        provider("x" * 100_000)
    with pytest.raises(ConfigError, match="no common address"):
        provider("azure", api_key="k")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("claude-haiku-4-5", "does not say who serves it. Did you mean 'anthropic/claude-haiku-4-5'?"),
        ("zzz", "does not say who serves it. Write it as kind/model"),
        ("openai/", "does not say which model. Write it as kind/model"),
        ("/x", "does not say who serves it. Write it as kind/model"),
        ("", "does not say who serves it. Write it as kind/model"),
    ],
)
def test_half_a_name(name: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        model(name)
    assert said in str(caught.value)


def test_nothing_shows_a_key() -> None:
    found = provider("openai", api_key="sk-secret", headers={"x": "sk-other"})
    assert "sk-" not in f"{found!r}{found}{found.__rich_repr__()}"
    assert repr(found) == "Provider('openai', kind='openai', base_url='https://api.openai.com/v1')"


# -- prices


def priced(name: str, *, base_url: str | None = None) -> bool:
    info = model(name, api_key="k", base_url=base_url).info
    return info is not None and info.prices is not None


def test_a_price_holds_where_the_service_itself_sells() -> None:
    assert priced("openai/gpt-5-mini")
    assert priced("openai/gpt-5-mini", base_url="https://eu.api.openai.com/v1")
    assert priced("openai-responses/gpt-5-mini")
    assert priced("anthropic/claude-haiku-4-5")


def test_the_price_of_a_proxy_is_unknown() -> None:
    assert not priced("openai/gpt-5-mini", base_url=PROXY)
    assert not priced("anthropic/claude-haiku-4-5", base_url="https://proxy.example")
    assert not priced("openai/unheard-of")


def test_a_service_is_known_by_its_address_whatever_kind_is_spoken_there() -> None:
    at_anthropic = model("openai/claude-haiku-4-5", base_url="https://api.anthropic.com/v1", api_key="k")
    assert at_anthropic.info == Catalog.default().find("anthropic/claude-haiku-4-5")
    assert not priced("openai/gpt-5-mini", base_url="https://api.anthropic.com/v1")


def test_a_machine_of_ones_own_costs_nothing_wherever_it_stands() -> None:
    for name in ("ollama/qwen3", "vllm/anything", "llamacpp/anything"):
        for base in ("http://127.0.0.1:1", "http://gpu-box.lan:8000/v1"):
            info = model(name, base_url=base).info
            assert info is not None
            assert info.local


def test_a_proxy_may_be_said_to_cost_what_the_service_costs() -> None:
    asked = model("openai/my-name", base_url=PROXY, like="openai/gpt-5-mini")
    known = Catalog.default().find("openai/gpt-5-mini")
    assert asked.info is not None
    assert known is not None
    assert asked.info.prices == known.prices
    with pytest.raises(ConfigError, match=r"'openai/gpt-5-minni' is not in the catalogue. Did you mean"):
        model("openai/x", base_url=PROXY, like="openai/gpt-5-minni")


def test_a_users_own_entry_stands_before_what_the_service_says() -> None:
    catalog = Catalog.default().with_({"main/gpt-5-mini": {"prices": {"input": "7"}}})
    service = provider("openai", name="main", api_key="k")
    own = build("gpt-5-mini", service, catalog=catalog, own=("main/gpt-5-mini",)).info
    assert own is not None
    assert own.prices is not None
    assert own.prices.input == 7
    assert build("gpt-5-mini", service, catalog=catalog).info == Catalog.default().find("openai/gpt-5-mini")


# -- headers


def test_headers_are_lower_case_and_configured_ones_win() -> None:
    found = provider("anthropic", api_key="k", headers={"Anthropic-Version": "2030-01-01", "X-A": "b"})
    assert found.headers_for({"anthropic-version": "2025-01-01"}) == {
        "anthropic-version": "2030-01-01",
        "x-api-key": "k",
        "x-a": "b",
    }
    assert found.headers_for({"anthropic-beta": "b1"})["anthropic-beta"] == "b1"
    betas = provider("anthropic", api_key="k", headers={"anthropic-beta": "a1"})
    assert betas.headers_for({"anthropic-beta": "b1"})["anthropic-beta"] == "a1,b1"
    assert betas.headers_for({})["anthropic-beta"] == "a1"
