"""What a machine without a configuration file offers."""

from __future__ import annotations

import socket

import msgspec
import pytest

from tidyllm.config import Routes
from tidyllm.config.check import check
from tidyllm.config.defaults import address_of, found_in_environment, ollama_is_up, provider_from
from tidyllm.errors import ConfigError, ModelNotFound


def test_without_any_key_the_offline_model_answers_to_common_names() -> None:
    settings = found_in_environment({}, ollama=False)
    routes = Routes(settings)
    assert list(routes) == ["offline/simulated"]
    for name in ("gpt-5", "claude-haiku-4-5", "text-embedding-3-small"):
        assert routes.find(name).targets[0].provider.name == "offline"
        assert "simulated" in routes[name].run_sync("Hi").text
    assert routes.find("offline/echo").targets[0].model == "echo"


@pytest.mark.parametrize(
    ("slip", "near"), [("gtp-5", "gpt-*"), ("opnai/gpt-5", "gpt-*"), ("openai/gpt-5", "offline/*")]
)
def test_without_any_key_a_slip_in_a_name_gets_no_simulated_answer(slip: str, near: str) -> None:
    routes = Routes(found_in_environment({}, ollama=False))
    with pytest.raises(ModelNotFound, match=f"there is no model '{slip}' here") as caught:
        routes.find(slip)
    assert near in caught.value.hint


def test_a_key_offers_its_service_by_kind_and_bare_name() -> None:
    settings = found_in_environment(
        {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": " ", "GROQ_API_KEY": "k"}, ollama=True
    )
    assert set(settings.providers) == {"openai", "groq", "ollama"}
    assert settings.models["gpt-*"].route == ("openai/gpt-*",)
    assert settings.models["groq/*"].route == ("groq/*",)
    assert settings.models["ollama/*"].route == ("ollama/*",)
    assert "*" not in settings.models, "no name leads to a service that nobody chose"
    assert "claude-*" not in settings.models


def test_what_is_found_could_stand_in_a_file() -> None:
    keys = {f"{name}_API_KEY": "k" for name in ("OPENAI", "ANTHROPIC", "MISTRAL")}
    for settings in (found_in_environment({}, ollama=False), found_in_environment(keys, ollama=True)):
        data = msgspec.json.decode(msgspec.json.encode(settings))
        assert check(data) == (settings, [])


def test_whether_something_listens_on_ollamas_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert ollama_is_up(f"http://127.0.0.1:{port}")
    assert not ollama_is_up(f"http://127.0.0.1:{port}")


def test_an_address_in_the_environment_is_where_the_service_is_and_gets_the_key_set_beside_it() -> None:
    environment = {"OPENAI_BASE_URL": " http://127.0.0.1:9/v1 ", "OPENAI_API_KEY": "k"}
    found = found_in_environment(environment, ollama=False).providers["openai"]
    assert (found.base_url, found.api_key) == ("http://127.0.0.1:9/v1", "env:OPENAI_API_KEY")
    assert provider_from("openai", {"OPENAI_API_KEY": "k"}).api_key is None, (
        "its own address finds the key itself"
    )


def test_a_server_of_ones_own_needs_no_key() -> None:
    settings = found_in_environment({"ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}, ollama=False)
    provider = Routes(settings).providers["anthropic"]
    assert (provider.base_url, provider.api_key) == ("http://127.0.0.1:9", None)
    assert settings.models["claude-*"].route == ("anthropic/claude-*",)


def test_an_empty_address_is_none() -> None:
    assert address_of("openai", {"OPENAI_BASE_URL": " "}) is None
    assert address_of("groq", {"GROQ_BASE_URL": "http://a"}) is None


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("10.0.0.5", "http://10.0.0.5:11434"),
        ("10.0.0.5:8000", "http://10.0.0.5:8000"),
        (":8000", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("http://0.0.0.0:8000/", "http://127.0.0.1:8000"),
        ("box", "http://box:11434"),
        ("http://box", "http://box"),
        ("https://box/ollama", "https://box/ollama"),
        ("https://box:8443/ollama/", "https://box:8443/ollama"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("::1", "http://[::1]:11434"),
        ("[::]", "http://[::1]:11434"),
    ],
)
def test_ollamas_host_is_read_as_ollama_reads_it(given: str, url: str) -> None:
    assert address_of("ollama", {"OLLAMA_HOST": given}) == url


@pytest.mark.parametrize(("kind", "variable"), [("openai", "OPENAI_BASE_URL"), ("ollama", "OLLAMA_HOST")])
def test_an_address_that_is_none_names_its_variable(kind: str, variable: str) -> None:
    with pytest.raises(ConfigError, match=f"{variable}: .* is no URL to call"):
        address_of(kind, {variable: "ftp://a b"})
