"""What a machine without a configuration file offers."""

from __future__ import annotations

import socket

import msgspec

from tidyllm.config import Routes
from tidyllm.config.check import check
from tidyllm.config.defaults import found_in_environment, ollama_is_up


def test_without_any_key_every_name_leads_to_the_offline_model() -> None:
    settings = found_in_environment({}, ollama=False)
    routes = Routes(settings)
    assert list(routes) == ["offline/simulated"]
    for name in ("gpt-5", "claude-haiku-4-5", "anything/at/all"):
        assert routes.find(name).targets[0].provider.name == "offline"
        assert "simulated" in routes[name].run_sync("Hi").text
    assert routes.find("offline/echo").targets[0].model == "echo"


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
        data = msgspec.to_builtins(settings)
        for model in data["models"].values():
            model["route"] = list(model["route"])
        assert check(data) == (settings, [])


def test_whether_something_listens_on_ollamas_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert ollama_is_up(f"http://127.0.0.1:{port}")
    assert not ollama_is_up(f"http://127.0.0.1:{port}")
