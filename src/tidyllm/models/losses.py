"""What happens to a field that has no place in a format: refused by name, or left out and reported."""

from __future__ import annotations

from tidyllm.errors import Unsupported

__all__ = ["Losses"]


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
