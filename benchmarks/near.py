"""Prompts that are nearly the same, and a split that keeps them together. It knows words, not models."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from hashlib import blake2b

__all__ = ["families", "parts"]

_RUN = 3
_COMMON = 20
"""A run of words in more prompts than this is a template (`Which of the following`), and tells nothing."""
_ALIKE = 0.5
"""Share of their telling runs of words that two prompts have in common when they are nearly the same."""
_WORD = re.compile(r"\w+")


def families(prompts: Sequence[str]) -> list[int]:
    """For each prompt the number of its family: prompts that are nearly the same have one."""
    runs = [_runs(prompt) for prompt in prompts]
    seen = Counter(run for each in runs for run in each)
    telling = [{run for run in each if seen[run] <= _COMMON} or each for each in runs]
    where: dict[str, list[int]] = defaultdict(list)
    first = list(range(len(prompts)))

    def family(at: int) -> int:
        while first[at] != at:
            first[at] = first[first[at]]
            at = first[at]
        return at

    for at, own in enumerate(telling):
        common = Counter(other for run in own for other in where.get(run, ()))
        for other, count in common.items():
            if count / (len(own) + len(telling[other]) - count) >= _ALIKE:
                first[family(at)] = family(other)
        for run in own:
            if seen[run] <= _COMMON:
                where[run].append(at)
    return [family(at) for at in range(len(prompts))]


def parts(prompts: Sequence[str], count: int, *, salt: str = "") -> list[int]:
    """For each prompt one of `count` parts, by the hash of its family's first prompt."""
    drawn: dict[int, int] = {}
    found: list[int] = []
    for one in families(prompts):
        if one not in drawn:
            digest = blake2b((salt + prompts[one]).encode(errors="replace"), digest_size=8).digest()
            drawn[one] = int.from_bytes(digest, "big") % count
        found.append(drawn[one])
    return found


def _runs(prompt: str) -> set[str]:
    words = _WORD.findall(prompt.lower())
    return {" ".join(words[at : at + _RUN]) for at in range(max(len(words) - _RUN + 1, 1))}
