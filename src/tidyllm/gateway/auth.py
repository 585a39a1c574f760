"""Who may call. It knows keys, not what they open; a store of keys can take the place of the one key later."""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import msgspec

from tidyllm.access.key import Key
from tidyllm.config.secrets import STRONG_KEY, is_strong
from tidyllm.errors import AuthError, ConfigError

__all__ = ["Authenticator", "Caller", "MasterKey", "generated_key", "sent_keys"]


class Caller(msgspec.Struct, frozen=True):
    """Whoever sent a request; `name` is safe to log."""

    name: str
    key: Key | None = None
    """None: the master key, which may do everything."""


class Authenticator(Protocol):
    """Turns the headers of a request into a caller."""

    async def __call__(self, headers: Mapping[str, str], /) -> Caller:
        """:raises AuthError: there is no key, or it is not known."""
        ...


class MasterKey:
    """One key for everyone, sent as `Authorization: Bearer …`, `x-api-key` or `api-key`."""

    _caller = Caller("master")

    def __init__(self, key: str, *, where: str = "TIDYLLM_MASTER_KEY") -> None:
        """`where` it was set: named in errors.

        :raises ConfigError: the key is shorter than 16 characters, or is not plain ASCII without spaces.
        """
        if not is_strong(key):
            raise ConfigError(STRONG_KEY, where=where, hint="Make one with: openssl rand -hex 24")
        # Only the digest is kept: the key itself cannot leak from here.
        self._digest = sha256(key.encode()).digest()

    async def __call__(self, headers: Mapping[str, str], /) -> Caller:
        sent = False
        for key in sent_keys(headers):
            sent = True
            if hmac.compare_digest(sha256(key.encode("utf-8", "surrogateescape")).digest(), self._digest):
                return self._caller
        if not sent:
            raise AuthError(
                "no API key was sent.", hint="Send it as 'Authorization: Bearer KEY' or as 'x-api-key: KEY'."
            )
        raise AuthError(
            "the API key is wrong.", hint="It is the gateway's own key that is wanted, not a provider's."
        )


def sent_keys(headers: Mapping[str, str]) -> Iterator[str]:
    """The keys in these headers. Some clients send two, a real one and one that was set for something else."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        yield token.strip()
    for name in ("x-api-key", "api-key"):
        key = headers.get(name, "")
        if key:
            yield key


def generated_key(path: Path) -> str:
    """The key in the file at `path`, which only its owner can read; a new one where there is no file.

    :raises ConfigError: the file cannot be read or written, is empty, or others may read it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            _make(path)
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) and os.name == "posix":
            raise ConfigError(f"others may read the key file {path}.", hint=f"Run: chmod 600 {path}")
        key = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the key file {path} cannot be used: {error}.", hint="Set TIDYLLM_MASTER_KEY instead."
        ) from error
    if not key:
        raise ConfigError(f"the key file {path} is empty.", hint="Delete it, and a new key is made.")
    return key


def _make(path: Path) -> None:
    """Written aside and then given its name: two servers that start at once agree, and none reads half a key."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"tidy-{secrets.token_urlsafe(32)}\n")
        os.link(aside, path)
    except FileExistsError:
        pass  # another one was faster
    finally:
        aside.unlink(missing_ok=True)
