"""Secrets by reference: `env:NAME` and `file:PATH`. It knows where secrets are kept, not what they open."""

from __future__ import annotations

import os
from pathlib import Path

from tidyllm.errors import ConfigError

__all__ = ["STRONG_KEY", "absolute", "is_strong", "secret"]

_MOST_BYTES = 64 * 1024


STRONG_KEY = "the master key must be at least 16 printable ASCII characters without spaces."
"""What `is_strong` asks for."""


def is_strong(key: str) -> bool:
    """Whether this may be the gateway's key: hard to guess, and fit for a header."""
    return len(key) >= 16 and key.isascii() and key.isprintable() and " " not in key


def secret(value: str, *, where: str) -> str:
    """The secret that `env:NAME` or `file:PATH` points to; any other text is the secret itself.

    White space around it is no part of it: files end with a line end, and so do many variables.

    :raises ConfigError: the variable is not set, the file cannot be read, or it is empty.
    """
    kind, colon, name = value.partition(":")
    if not colon or kind not in ("env", "file"):
        return value
    if not name:
        raise ConfigError(f"{value!r} names nothing.", where=where, hint="Write env:NAME or file:PATH.")
    if kind == "env":
        found = os.environ.get(name, "").strip()
        if not found:
            raise ConfigError(f"environment variable {name} is not set.", where=where, hint=f"Set {name}.")
        return found
    try:
        with Path(name).expanduser().open("rb") as file:
            found = file.read(_MOST_BYTES).decode().strip()
    except (OSError, ValueError, RuntimeError) as error:  # also UnicodeError; no home for `~`
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise ConfigError(f"the secret file {name} cannot be read: {reason}.", where=where) from error
    if not found:
        raise ConfigError(f"the secret file {name} is empty.", where=where)
    return found


def absolute(value: str, folder: Path) -> str:
    """The same reference; a relative `file:` counts from `folder`, where the configuration stands."""
    kind, colon, name = value.partition(":")
    if kind != "file" or not colon or not name or name.startswith("~"):
        return value
    return f"file:{folder.absolute() / name}"
