"""Reads decoded JSON field by field, and names the one that is wrong. It knows nothing of requests or answers.

The same objects stand in requests (where a fault is the caller's) and in answers (where it is the provider's), so the
functions here raise `Misfit`, and whoever reads the whole turns it into the error that fits. Those whose names end with
`_in` never raise: a value of another type counts as absent.
"""

from __future__ import annotations

from typing import Any, TypeGuard, cast

import msgspec

from tidyllm.errors import BadAnswer, BadRequest

__all__ = [
    "Misfit",
    "array",
    "count_in",
    "flag",
    "is_count",
    "is_object",
    "json_text",
    "number",
    "object_",
    "object_in",
    "text",
    "text_in",
    "whole",
]

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
    """The value at `field` is not what the format promises. No caller of ours ever sees it.

    `found` is the value, `...` when there is none; `said` replaces its description.
    """

    def __init__(self, field: str, expected: str, found: object, *, said: str | None = None) -> None:
        super().__init__(field, expected)
        self.field = field
        self.expected = expected
        self.missing = found is ...
        self.found = said or ("missing" if found is ... else _KINDS.get(type(found), type(found).__name__))

    def request(self) -> BadRequest:
        """The same as the fault of the caller."""
        if self.missing:
            return BadRequest(f"{self.field} is missing; it must be {self.expected}.", field=self.field)
        return BadRequest(f"{self.field} must be {self.expected}, not {self.found}.", field=self.field)

    def answer(self) -> BadAnswer:
        """The same as the fault of the provider."""
        return BadAnswer(
            f"the answer breaks its format: {self.field} is {self.found}, expected {self.expected}."
        )


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether this is a JSON object."""
    return isinstance(value, dict)


def is_count(value: object) -> TypeGuard[int]:
    """Whether this is a number of tokens: a whole number that is not negative."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


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


def json_text(value: object, at: str) -> str:
    """An object as JSON text.

    :raises Misfit: it is no object, or cannot be written.
    """
    if not is_object(value):
        raise Misfit(at, "a string", value)
    try:
        return msgspec.json.encode(value).decode()
    except (UnicodeEncodeError, RecursionError) as error:
        said = "an object that cannot be written"
        raise Misfit(at, "valid text and nested less deep", value, said=said) from error


def count_in(data: dict[str, Any], key: str) -> int | None:
    """A number of tokens; None where there is none."""
    value: object = data.get(key)
    return value if is_count(value) else None


def object_in(data: dict[str, Any], key: str) -> dict[str, Any]:
    """An object; empty where there is none."""
    value: object = data.get(key)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def text_in(data: dict[str, Any], key: str) -> str:
    """A text; "" where there is none."""
    value: object = data.get(key)
    return value if isinstance(value, str) else ""
