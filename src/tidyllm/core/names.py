"""Names of steps and places in the path. It knows how names are kept apart, not what bears them.

A `#` and a number at the end of a name is ours: the second `fetch` in one place is `fetch#2`. Nobody else may use it,
so that a place in the path always means one call.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import count
from typing import TYPE_CHECKING

from tidyllm.core.trace import new_trace_id
from tidyllm.errors import StepError

if TYPE_CHECKING:
    from tidyllm.core.place import Place

__all__ = ["Calls", "check_name", "segments"]

_NUMBERED = re.compile(r"#\d+\Z")


def check_name(name: str) -> str:
    """The same name, if a step or a call may bear it.

    :raises StepError: it is empty, is no string, or ends in `#` and a number.
    """
    if not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types
        raise StepError(f"{name!r} cannot be a name: a name is a string that is not empty.")
    if "#" in name and _NUMBERED.search(name):
        raise StepError(
            f"{name!r} cannot be a name: it ends in # and a number, which marks repeated calls.",
            hint="Choose a name without #.",
        )
    return name


def segments(names: Iterable[str]) -> tuple[str, ...]:
    """Names made unique in order: `a`, `b`, `a#2`. A step added at the end leaves the places of the others alone."""
    names = list(names)
    taken = set(names)
    seen: set[str] = set()
    unique: list[str] = []
    for name in names:
        place = name
        if name in seen:
            place = next(each for n in count(2) if (each := f"{name}#{n}") not in taken)
            taken.add(place)
        seen.add(name)
        unique.append(place)
    return tuple(unique)


class Calls:
    """The named calls of one place: how many there were of each name, and which are running."""

    __slots__ = ("_of", "trace_id")

    def __init__(self) -> None:
        self.trace_id = new_trace_id()
        """Of the run, if this place is the root of one that has none of its own."""
        # Threads may call from one place: each operation below is a single one of the interpreter.
        self._of: dict[str, tuple[count[int], set[str]]] = {}

    def begin(self, name: str, alone: bool, place: Place) -> str:
        """The segment of a new call: `name`, then `name#2`.

        :raises StepError: `alone`, and another call of that name is still running.
        """
        numbers, running = self._of.get(name) or self._of.setdefault(name, (count(1), set()))
        if alone and running:
            raise StepError(
                f"{name!r} is already running in {place.where!r}; calls at the same time need different names.",
                hint="Pass name=… to ctx.call, one for each.",
            )
        number = next(numbers)
        segment = name if number == 1 else f"{name}#{number}"
        running.add(segment)
        return segment

    def end(self, name: str, segment: str) -> None:
        """That call is over."""
        self._of[name][1].discard(segment)
