"""Large values, kept once under their hash. It knows texts, not what they say."""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from tidyllm import clock
from tidyllm.durable.database import Connection
from tidyllm.errors import RunError

__all__ = ["INSERT", "LARGE", "drop_unused", "fetch", "is_apart", "keep", "name_of", "whole"]

LARGE = 8_192
"""Characters from which on a value is kept in a place of its own."""
_MARK = '{"!blob":"'
INSERT = (
    "INSERT INTO {s}tidyllm_blobs (hash, data, created) VALUES (?, ?, ?)"
    " ON CONFLICT (hash) DO UPDATE SET created = excluded.created"
)
"""Hash, text and time. One that is there already is kept anew: a pruning leaves what is young."""
_UNUSED = """DELETE FROM {s}tidyllm_blobs WHERE created < ?
 AND hash NOT IN (SELECT blob FROM {s}tidyllm_steps WHERE blob IS NOT NULL)
 AND hash NOT IN (SELECT substr(output, 11, 40) FROM {e}workflow_output WHERE substr(output, 1, 10) = ?)"""
_GRACE = 3600.0


def is_apart(text: str) -> bool:
    """Whether an answer is kept in a place of its own: a large one, and one that looks like the name of such."""
    return len(text) > LARGE or text.startswith(_MARK)


def name_of(text: str) -> str:
    """The hash that a large value is kept under."""
    return blake2b(text.encode(), digest_size=20).hexdigest()


def keep(at: Connection, text: str) -> str:
    """Keep `text`, and return what stands in its place."""
    name = name_of(text)
    at.run(INSERT, (name, text, clock.now()))
    return msgspec.json.encode({"!blob": name}).decode()


def drop_unused(at: Connection) -> int:
    """Remove values that nobody refers to, and return how many.

    Those kept within the last hour stay: the outcome of a run is written after the value that it refers to.
    """
    return at.run(_UNUSED, (clock.now() - _GRACE, _MARK))


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
