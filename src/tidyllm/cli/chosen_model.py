"""Which model a command talks to: a route of the configuration, or `kind/model`. It asks no model."""

from __future__ import annotations

import os

from tidyllm.cli.settings import chosen_file, chosen_settings
from tidyllm.config import Routes, Settings
from tidyllm.config.defaults import provider_from
from tidyllm.config.schema import ModelSettings
from tidyllm.core import Step
from tidyllm.errors import ConfigError, ModelNotFound
from tidyllm.models import RequestLike, Response
from tidyllm.models.provider import KINDS, provider

__all__ = ["chosen_model"]


def chosen_model(
    model: str | None, config: str | None, env: str | None, *, command: str = "ask"
) -> Step[RequestLike, Response]:
    """The model of that name, guarded as its route says; None: the first route. `command` is for the hint.

    :raises ConfigError: the configuration is wrong, or leaves open which model is meant.
    :raises ModelNotFound: there is no such model.
    """
    if model is not None and chosen_file(config, env) is None and _is_direct(model):
        return _direct(model, Settings())
    settings = chosen_settings(config, env)
    routes = Routes(settings)
    name = model or next(iter(routes), None)
    if name is None:
        raise ConfigError(
            f"say which model to ask; here are {', '.join(routes.patterns) or 'none'}.",
            hint=f"tidyllm {command} {'-m' if command == 'ask' else '--model'} MODEL …",
        )
    try:
        return routes.find(name).step
    except ModelNotFound:
        if not _is_direct(name):
            if "/" in name and chosen_file(config, env) is None:
                # It says which kinds there are, and which one was probably meant.
                provider(name.partition("/")[0])
            raise
        return _direct(name, settings)


def _is_direct(name: str) -> bool:
    return name.partition("/")[0] in KINDS


def _direct(name: str, settings: Settings) -> Step[RequestLike, Response]:
    """`kind/model` without a route, guarded as one with the default settings is.

    A provider of that name, and prices, are taken from the file.
    """
    kind = name.partition("/")[0]
    if name == f"{kind}/":
        raise ConfigError(f"model name {name!r} does not say which model.", hint=f"Write {kind}/MODEL.")
    rule = ModelSettings(route=(f"{kind}/*",))
    named = settings.providers.get(kind) or provider_from(kind, os.environ)
    routes = Routes(Settings(providers={kind: named}, models={f"{kind}/*": rule}, catalog=settings.catalog))
    return routes.find(name).step
