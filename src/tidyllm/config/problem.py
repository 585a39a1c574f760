"""One thing that is wrong in a configuration, and how it is shown. It knows neither files nor what settings mean."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TypeAlias

import msgspec

__all__ = ["Problem", "Where", "did_you_mean", "path_of"]

Where: TypeAlias = tuple[str | int, ...]
"""Keys from the outside in; a number is a place in a list, from 0."""

_BARE = re.compile(r"[A-Za-z0-9_*/-]+")


class Problem(msgspec.Struct, frozen=True):
    """`str(problem)` is what a person reads: `tidyllm.yaml:7: models.fast.retry.attempts: expected …`.

    `line` is counted from 1; None where no line can be named.
    """

    where: Where
    message: str
    hint: str = ""
    line: int | None = None
    file: str = ""

    def __str__(self) -> str:
        place = self.file and (f"{self.file}:{self.line}: " if self.line else f"{self.file}: ")
        path = path_of(self.where)
        text = f"{self.message} {self.hint}".rstrip()
        return f"{place}{path}: {text}" if path else f"{place}{text}"


def path_of(where: Where) -> str:
    """`models.fast.route[0]`; a key with a dot in it stands in quotes: `models."gpt-5.1".route`."""
    path = ""
    for part in where:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            shown = part if _BARE.fullmatch(part) else json.dumps(_short(part), ensure_ascii=False)
            path += f".{shown}" if path else shown
    return path


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint with the nearest of `known`, or with all of them when none is near."""
    names = list(known)
    near = get_close_matches(_short(word), names, 1, 0.6)
    if near:
        return f"Did you mean {near[0]!r}?"
    return f"Known are {', '.join(names)}." if names else ""


def _short(word: str) -> str:
    return word if len(word) <= 80 else f"{word[:80]}…"
