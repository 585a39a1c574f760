"""Settings for a machine without a configuration file: what the environment offers, else the offline model."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from tidyllm.config.schema import ModelSettings, ProviderSettings, Settings
from tidyllm.models.provider import KINDS

__all__ = ["found_in_environment", "ollama_is_up"]

_PREFIXES = {
    "openai": ("gpt-*", "o1*", "o3*", "o4*", "chatgpt-*", "text-embedding-*"),
    "anthropic": ("claude-*",),
}


def found_in_environment(environment: Mapping[str, str], *, ollama: bool) -> Settings:
    """Providers whose key is set, and Ollama if it is up. With none of them: the offline model under every name.

    A model is called `kind/model`; OpenAI's and Anthropic's also by their bare names, as their own clients say them.
    """
    kinds = [
        kind.name
        for kind in KINDS.values()
        if kind.base_url and kind.catalog is None and environment.get(kind.key_variable or "", "").strip()
    ]
    if ollama:
        kinds.append("ollama")
    if not kinds:
        return Settings(
            providers={"offline": ProviderSettings(kind="offline")},
            models={
                "offline/simulated": ModelSettings(route=("offline/simulated",)),
                "offline/*": ModelSettings(route=("offline/*",)),
                "*": ModelSettings(route=("offline/simulated",)),
            },
        )
    models = {f"{kind}/*": ModelSettings(route=(f"{kind}/*",)) for kind in kinds}
    for kind in kinds:
        for pattern in _PREFIXES.get(kind, ()):
            models[pattern] = ModelSettings(route=(f"{kind}/{pattern}",))
    return Settings(providers={kind: ProviderSettings(kind=kind) for kind in kinds}, models=models)


def ollama_is_up(base_url: str = KINDS["ollama"].base_url, *, timeout: float = 0.2) -> bool:
    """Whether something listens where Ollama does."""
    parts = urlsplit(base_url)
    try:
        with socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 11434), timeout):
            return True
    except OSError:
        return False
