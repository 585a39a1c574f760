"""Settings for a machine without a configuration file: what the environment offers, else the offline model.

It reads the variables that the services' own clients read.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from tidyllm.config.schema import ModelSettings, ProviderSettings, Settings
from tidyllm.errors import ConfigError
from tidyllm.models.http_target import target
from tidyllm.models.provider import KINDS

__all__ = ["ADDRESSES", "address_of", "found_in_environment", "ollama_is_up", "provider_from"]

_PREFIXES = {
    "openai": ("gpt-*", "o1*", "o3*", "o4*", "chatgpt-*", "text-embedding-*"),
    "anthropic": ("claude-*",),
}

ADDRESSES: Mapping[str, str] = {
    "openai": "OPENAI_BASE_URL",
    "anthropic": "ANTHROPIC_BASE_URL",
    "ollama": "OLLAMA_HOST",
}
"""By kind, the variable in which its own clients look for another address."""


def address_of(kind: str, environment: Mapping[str, str]) -> str | None:
    """The address that the environment gives this kind of service; None where it gives none.

    `OLLAMA_HOST` may lack the scheme and the port, as Ollama writes it; where it names all addresses of this machine,
    as its server takes it, this machine is meant.

    :raises ConfigError: it is no URL that can be called.
    """
    variable = ADDRESSES.get(kind, "")
    url = environment.get(variable, "").strip()
    if not url:
        return None
    if kind == "ollama":
        url = _ollama(url)
    try:
        target(url)
    except ConfigError as error:
        message = error.message.removeprefix("base_url: ")
        raise ConfigError(message, where=variable, hint=error.hint) from None
    return url


def _ollama(given: str) -> str:
    scheme, mark, rest = given.partition("://")
    if not mark:
        scheme, rest = "http", given
    where, slash, path = rest.partition("/")
    if where.count(":") > 1 and not where.startswith("["):
        where = f"[{where}]"
    host, colon, port = where.rpartition(":") if where.rpartition("]")[2].count(":") else (where, "", "")
    if not colon and not mark:
        port = "11434"
    host = _THIS_MACHINE.get(host, host)
    return f"{scheme}://{host}{f':{port}' if port else ''}{slash}{path}".rstrip("/")


_THIS_MACHINE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - nothing is bound here


def provider_from(kind: str, environment: Mapping[str, str]) -> ProviderSettings:
    """This kind of service as the environment has it: at the address that is given there, with the key that is.

    :raises ConfigError: the address is no URL that can be called.
    """
    url = address_of(kind, environment)
    key = KINDS[kind].key_variable or ""
    has_key = bool(environment.get(key, "").strip())
    # At the service's own address the key is found without a word; elsewhere it must be meant for that server, and here
    # it is: both were set for the same client.
    return ProviderSettings(kind=kind, base_url=url, api_key=f"env:{key}" if url and has_key else None)


_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
"""Without one of them a key of Bedrock leads nowhere."""


def found_in_environment(environment: Mapping[str, str], *, ollama: bool) -> Settings:
    """Providers whose key or address is set, and Ollama if it is up. With none of them: the offline model, also
    under the bare names of OpenAI's and Anthropic's models.

    A model is called `kind/model`; OpenAI's and Anthropic's also by their bare names, as their own clients say them.

    :raises ConfigError: an address is no URL that can be called.
    """
    kinds = [
        kind.name
        for kind in KINDS.values()
        if kind.base_url
        and kind.catalog is None
        and kind.name != "ollama"
        and (kind.name != "bedrock" or any(environment.get(name) for name in _REGIONS))
        and (environment.get(kind.key_variable or "", "").strip() or address_of(kind.name, environment))
    ]
    if ollama:
        kinds.append("ollama")
    if not kinds:
        return Settings(
            providers={"offline": ProviderSettings(kind="offline")},
            models={
                "offline/simulated": ModelSettings(route=("offline/simulated",)),
                "offline/*": ModelSettings(route=("offline/*",)),
                # Only names that OpenAI's and Anthropic's clients say: another one is a slip, and gets no answer.
                **{
                    pattern: ModelSettings(route=("offline/simulated",))
                    for patterns in _PREFIXES.values()
                    for pattern in patterns
                },
            },
        )
    models = {f"{kind}/*": ModelSettings(route=(f"{kind}/*",)) for kind in kinds}
    for kind in kinds:
        for pattern in _PREFIXES.get(kind, ()):
            models[pattern] = ModelSettings(route=(f"{kind}/{pattern}",))
    return Settings(providers={kind: provider_from(kind, environment) for kind in kinds}, models=models)


def ollama_is_up(base_url: str | None = None, *, timeout: float = 0.2) -> bool:
    """Whether something listens where Ollama does; None: where `OLLAMA_HOST` says, else at its own port.

    :raises ConfigError: `OLLAMA_HOST` is no address.
    """
    where = target(base_url or address_of("ollama", os.environ) or KINDS["ollama"].base_url)
    try:
        with socket.create_connection((where.host, where.port), timeout):
            return True
    except OSError:
        return False
