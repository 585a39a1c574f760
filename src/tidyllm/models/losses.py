"""What happens to a field that has no place in a format: refused by name, or left out and reported."""

from __future__ import annotations

from typing import Any

from tidyllm.errors import Unsupported

__all__ = ["Losses", "without_empty_tools"]


class Losses:
    """What cannot be sent in the format named `format`; `names` are the fields left out so far."""

    __slots__ = ("format", "lenient", "names")

    def __init__(self, format: str, *, lenient: bool) -> None:
        self.format = format
        self.lenient = lenient
        self.names: list[str] = []

    def add(self, field: str, why: str | None = None) -> None:
        """Something that is missed: reported where the model is lenient.

        :raises Unsupported: unless lenient.
        """
        if not self.lenient:
            raise Unsupported(field, format=self.format, why=why)
        self.names.append(field)

    def note(self, field: str) -> None:
        """Something that changes nothing for the model: reported, never raised."""
        self.names.append(field)


def without_empty_tools(body: dict[str, Any]) -> None:
    """Take out of an encoded request what is said about tools when all of them were left out: providers refuse an empty
    list, and a choice of nothing.
    """
    if body.get("tools") == []:
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            body.pop(name, None)
