"""Ids for what a provider gave none. They are random and mean nothing."""

from __future__ import annotations

from random import getrandbits

__all__ = ["new_id"]


def new_id(prefix: str, digits: int = 24) -> str:
    """`prefix` and as many hexadecimal digits: `call_5f0c...`.

    24 are enough never to meet twice; ids of calls may go to formats that take 40 characters in all.
    """
    return f"{prefix}{getrandbits(4 * digits):0{digits}x}"
