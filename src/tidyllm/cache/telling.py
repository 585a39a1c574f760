"""What a cache says of its answers, to its own counts and to whoever watches the run. It decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidyllm import clock
from tidyllm.cache.counts import Counts
from tidyllm.cache.entry import Entry
from tidyllm.core import CacheLookup, CacheSaved, Context

__all__ = ["Telling"]


class Telling:
    """Of the cache called `name`."""

    __slots__ = ("_counts", "_name")

    def __init__(self, name: str, counts: Counts) -> None:
        self._name = name
        self._counts = counts

    def lookup(self, ctx: Context, outcome: str, entry: Entry | None, *, more: bool = False) -> None:
        """A question was answered; `more`: what that saved is known later, and `saved` will say it."""
        saved = None if entry is None or outcome == "miss" else entry.saved_usd
        self._counts.add(outcome, saved)
        if ctx.watched:
            ctx.emit(CacheLookup(ctx, self._name, outcome, saved, _facts(entry), more))

    def saved(self, ctx: Context, entry: Entry | None) -> None:
        """A stream that was joined has ended; None: nobody knows what it cost."""
        saved = None if entry is None else entry.saved_usd
        if saved is not None:
            self._counts.known(saved)
        if ctx.watched:
            ctx.emit(CacheSaved(ctx, self._name, saved, _facts(entry)))


def _facts(entry: Entry | None) -> Mapping[str, Any]:
    return {} if entry is None else {**entry.facts, "age": max(clock.now() - entry.created_at, 0.0)}
