"""Secrets of virtual keys: how they are made, recognised and hashed. It knows no store.

A secret is `sk-tidy-ID-RANDOM`: the key's id, then 36 characters of chance (214 bits) and 6 of a checksum. The checksum
keeps nobody out; it tells a secret that was cut off or mistyped from one that does not exist, without asking the store.
"""

from __future__ import annotations

import re
import secrets
import string
from hashlib import sha256
from zlib import crc32

__all__ = ["ID", "MARK", "digest", "looks_right", "new_id", "new_secret", "prefix"]

ID = re.compile(r"[a-z0-9]{12}")
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
MARK = "sk-tidy-"
"""How every secret of ours begins."""
_SECRET = re.compile(MARK + r"([a-z0-9]{12})-([0-9A-Za-z]{42})")


def new_id() -> str:
    """The id of a new key: 12 letters and digits, 62 bits of chance."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(12))


def new_secret(key_id: str) -> str:
    """A new secret of the key `key_id`."""
    body = f"{MARK}{key_id}-" + "".join(secrets.choice(_BASE62) for _ in range(36))
    return body + _checksum(body)


def _checksum(body: str) -> str:
    number, letters = crc32(body.encode()), ""
    for _ in range(6):
        number, rest = divmod(number, 62)
        letters = _BASE62[rest] + letters
    return letters


def looks_right(secret: str) -> bool:
    """Whether `secret` could be one of ours."""
    return _SECRET.fullmatch(secret) is not None and _checksum(secret[:-6]) == secret[-6:]


def digest(secret: str) -> str:
    """What is stored of a secret. A plain hash is enough: there is too much chance in it to guess."""
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def prefix(secret: str) -> str:
    """What people recognise a secret by: everything up to the fourth character of chance."""
    return secret[:25]
