"""Finds the half of a surrogate pair in JSON that cannot be read, so that it can be told by name. Pure."""

from __future__ import annotations

import json
import re
from typing import Final, NamedTuple, cast

__all__ = ["HalfPair", "half_pair"]

_ESCAPE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_HALF: Final = re.compile("[\ud800-\udfff]")


class HalfPair(NamedTuple):
    """Where it stands, and how it is written."""

    field: str | None
    """`messages[0].content`; None where it is the name of a field."""
    escape: str


def half_pair(body: bytes) -> HalfPair | None:
    """The first half without its other half in a text of this JSON; None when it is broken in another way."""
    if _ESCAPE.search(body) is None:
        return None
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    left: list[tuple[str | None, object]] = [("", value)]
    while left:
        at, one = left.pop()
        if isinstance(one, str):
            if (found := _HALF.search(one)) is not None:
                return HalfPair(at, f"\\u{ord(found[0]):04x}")
        elif isinstance(one, list):
            left += [
                (f"{at}[{i}]", inner) for i, inner in reversed(list(enumerate(cast("list[object]", one))))
            ]
        elif isinstance(one, dict):
            for name, inner in reversed(cast("dict[str, object]", one).items()):
                named = f"{at}.{name}" if at else name
                left += [(named, inner), (None, name)]
    return None
