"""Large values, kept once under their hash. It knows texts, not what they say."""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from tidyllm.durable.database import Connection
from tidyllm.errors import RunError

__all__ = ["LARGE", "fetch", "is_apart", "keep", "name_of", "whole"]

LARGE = 8_192
"""Characters from which on a value is kept in a place of its own."""
_MARK = '{"!blob":"'


def is_apart(text: str) -> bool:
    """Whether an answer is kept in a place of its own: a large one, and one that looks like the name of such."""
    return len(text) > LARGE or text.startswith(_MARK)


def name_of(text: str) -> str:
    """The hash that a large value is kept under."""
    return blake2b(text.encode(), digest_size=20).hexdigest()


def keep(at: Connection, text: str) -> str:
    """Keep `text`, and return what stands in its place."""
    name = name_of(text)
    at.run(
        "INSERT INTO {s}tidyllm_blobs (hash, data) VALUES (?, ?) ON CONFLICT (hash) DO NOTHING", (name, text)
    )
    return msgspec.json.encode({"!blob": name}).decode()


def fetch(at: Connection, name: str) -> str:
    """The value of that hash.

    :raises RunError: it is not there.
    """
    rows = at.rows("SELECT data FROM {s}tidyllm_blobs WHERE hash = ?", (name,))
    if not rows:
        raise RunError(f"the large value {name} is missing from {at.location.name}.")
    return str(rows[0][0])


def whole(at: Connection, text: str) -> str:
    """The value that `text` is, or stands for."""
    return fetch(at, text[len(_MARK) : -2]) if text.startswith(_MARK) else text
