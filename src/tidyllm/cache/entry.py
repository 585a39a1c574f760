"""One kept answer as bytes, and back. It knows how to tell that bytes are whole, not what is in them.

Layout: `tc1`, a CRC-32 over key and rest, and the entry in MessagePack. The key is in the sum, so that an answer which
a store gives out under another key is not taken.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from zlib import crc32

import msgspec

__all__ = ["Corrupt", "Entry"]

_MAGIC = b"tc1"
_HEAD = len(_MAGIC) + 4


class Corrupt(ValueError):
    """These bytes are no entry, or not the one that was asked for. The text says how that shows."""


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`created_at` and `expires_at` are seconds since 1970; `kind` is the shape of `body`."""

    created_at: float
    expires_at: float
    kind: str
    body: bytes
    saved_usd: Decimal | None = None
    """What making the answer cost; None when that is not known."""
    facts: dict[str, Any] = {}
    """What hooks are told of the answer: names as in `AttemptFinished.attributes`."""

    def seal(self, key: bytes) -> bytes:
        """The bytes to be kept under `key`."""
        payload = _encode(self)
        return _MAGIC + crc32(payload, crc32(key)).to_bytes(4, "big") + payload

    @classmethod
    def open(cls, key: bytes, data: bytes) -> Entry:
        """What was kept under `key`.

        :raises Corrupt: it is not what was sealed.
        """
        if data[:3] != _MAGIC:
            raise Corrupt(f"it begins with {data[:3]!r}, not {_MAGIC!r}")
        payload = data[_HEAD:]
        if crc32(payload, crc32(key)).to_bytes(4, "big") != data[3:_HEAD]:
            raise Corrupt("its checksum is wrong")
        try:
            return _decode(payload)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise Corrupt(str(error)) from error


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode
