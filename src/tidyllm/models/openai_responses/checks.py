"""Reads decoded JSON field by field, and names the one that is wrong. It knows nothing of requests or
answers.

The same items stand in requests (where a fault is the caller's) and in answers (where it is the provider's),
so the functions here raise `Misfit`, and whoever reads the whole turns it into the error that fits.
"""

from __future__ import annotations

from typing import Any, cast

from tidyllm.errors import BadAnswer, BadRequest

__all__ = ["Misfit", "array", "flag", "number", "object_", "text", "whole"]

_KINDS: dict[type, str] = {
    bool: "a boolean",
    dict: "an object",
    float: "a number",
    int: "an integer",
    list: "an array",
    str: "a string",
    type(None): "null",
}


class Misfit(Exception):
    """The value at `field` is not what the format promises. It never leaves this folder."""

    def __init__(self, field: str, expected: str, found: object) -> None:
        super().__init__(field, expected)
        self.field = field
        self.expected = expected
        self.found = "nothing" if found is ... else _KINDS.get(type(found), type(found).__name__)

    def request(self) -> BadRequest:
        """The same as the fault of the caller."""
        verb = "is missing: it must be" if self.found == "nothing" else "must be"
        tail = "" if self.found == "nothing" else f", not {self.found}"
        return BadRequest(f"{self.field} {verb} {self.expected}{tail}.", field=self.field)

    def answer(self) -> BadAnswer:
        """The same as the fault of the provider."""
        return BadAnswer(
            f"the answer does not keep to its format: {self.field} is {self.found}, not {self.expected}."
        )


def object_(value: object, at: str) -> dict[str, Any]:
    """:raises Misfit: it is no object. `...` stands for a field that is absent, here and below."""
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    raise Misfit(at, "an object", value)


def array(value: object, at: str) -> list[Any]:
    """:raises Misfit: it is no array."""
    if isinstance(value, list):
        return cast("list[Any]", value)
    raise Misfit(at, "an array", value)


def text(value: object, at: str) -> str:
    """:raises Misfit: it is no string."""
    if isinstance(value, str):
        return value
    raise Misfit(at, "a string", value)


def flag(value: object, at: str) -> bool:
    """:raises Misfit: it is no boolean."""
    if isinstance(value, bool):
        return value
    raise Misfit(at, "a boolean", value)


def whole(value: object, at: str) -> int:
    """:raises Misfit: it is no integer."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise Misfit(at, "an integer", value)


def number(value: object, at: str) -> float:
    """:raises Misfit: it is no number."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise Misfit(at, "a number", value)
