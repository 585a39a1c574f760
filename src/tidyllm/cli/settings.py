"""Which settings a command works with. It knows the default places, not what settings mean."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tidyllm.cli.output import harmless
from tidyllm.config import Routes, Settings, read
from tidyllm.config.defaults import found_in_environment, ollama_is_up
from tidyllm.config.secrets import secret
from tidyllm.errors import ConfigError

__all__ = ["chosen_file", "chosen_routes", "chosen_settings", "chosen_store"]


def chosen_file(config: str | None, env: str | None) -> Path | None:
    """The configuration file to use; None when there is none and the environment decides.

    :raises ConfigError: `--env` was given, but there is no file to lay it over.
    """
    if config is not None:
        return Path(config)
    here = Path("tidyllm.yaml")
    if here.exists():
        return here
    if env is not None:
        raise ConfigError(f"--env {env} needs a tidyllm.yaml to lie over; there is none in {Path.cwd()}.")
    return None


def chosen_settings(config: str | None, env: str | None) -> Settings:
    """The settings in the file, or what the environment offers.

    :raises ConfigError: the file is missing or wrong.
    """
    file = chosen_file(config, env)
    if file is not None:
        return read(file, env=env)
    return found_in_environment(os.environ, ollama=ollama_is_up())


def chosen_store(given: str | None) -> str | None:
    """The URL of the store that a command works on, None for the default one.

    What was given with `--store`, else $TIDYLLM_STORE_URL, else `store.url` of the tidyllm.yaml in this folder, so that
    a command works on the store of the gateway that is configured here. Then standard error names it.

    :raises ConfigError: the file is wrong, or a secret is not there.
    """
    file = Path("tidyllm.yaml")
    if given is not None or os.environ.get("TIDYLLM_STORE_URL") or not file.exists():
        return given
    found = read(file).store
    if found is None or found.url is None:
        return None
    from tidyllm.store.location import locate

    url = secret(found.url, where="store.url")
    sys.stderr.write(f"tidyllm: the store is {harmless(locate(url).name)}, as {file} says.\n")
    return url


def chosen_routes(config: str | None, env: str | None) -> Routes:
    """The routes of these settings.

    :raises ConfigError: the file is missing or wrong, or a secret is not there.
    """
    return Routes(chosen_settings(config, env))
