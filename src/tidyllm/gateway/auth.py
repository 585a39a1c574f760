"""Who may call. It knows keys, not what they open; a store of keys can take the place of the one key later."""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import msgspec

from tidyllm.errors import AuthError, ConfigError

__all__ = ["Authenticator", "Caller", "MasterKey", "generated_key"]


class Caller(msgspec.Struct, frozen=True):
    """Whoever sent a request; `name` is safe to log."""

    name: str


class Authenticator(Protocol):
    """Turns the headers of a request into a caller."""

    async def __call__(self, headers: Mapping[str, str], /) -> Caller:
        """:raises AuthError: there is no key, or it is not known."""
        ...


class MasterKey:
    """One key for everyone, sent as `Authorization: Bearer …`, `x-api-key` or `api-key`."""

    def __init__(self, key: str) -> None:
        """:raises ConfigError: the key is shorter than 16 characters, or is not plain ASCII."""
        if len(key) < 16 or not key.isascii() or not key.isprintable() or " " in key:
            raise ConfigError(
                "the master key must be at least 16 printable ASCII characters without spaces.",
                where="TIDYLLM_MASTER_KEY",
                hint="Make one with: openssl rand -hex 24",
            )
        # Only the digest is kept: the key itself cannot leak from here.
        self._digest = sha256(key.encode()).digest()

    async def __call__(self, headers: Mapping[str, str], /) -> Caller:
        given = sent_key(headers)
        if given is None:
            raise AuthError(
                "no API key was sent.", hint="Send it as 'Authorization: Bearer KEY' or as 'x-api-key: KEY'."
            )
        if not hmac.compare_digest(sha256(given.encode()).digest(), self._digest):
            raise AuthError("the API key is wrong.", hint="It is the gateway's own key that is wanted, not a provider's.")
        return Caller("master")


def sent_key(headers: Mapping[str, str]) -> str | None:
    """The key in these headers, if any."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("x-api-key") or headers.get("api-key") or None


def generated_key(path: Path) -> str:
    """The key in the file at `path`, which only its owner can read; a new one where there is no file.

    :raises ConfigError: the file cannot be read or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            key = path.read_text(encoding="ascii").strip()
            if not key:
                raise ConfigError(f"the key file {path} is empty.", hint="Delete it, and a new key is made.") from None
            return key
        key = f"tidy-{secrets.token_urlsafe(32)}"
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(key + "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the key file {path} cannot be used: {error}.", hint="Set TIDYLLM_MASTER_KEY instead."
        ) from error
    return key
