"""Typed access to decoded JSON, with errors that name the field. It knows nothing of messages or models."""

from __future__ import annotations

from typing import Any, TypeGuard, cast

from tidyllm.errors import BadRequest

__all__ = [
    "child",
    "is_count",
    "is_object",
    "need_bool",
    "need_int",
    "need_list",
    "need_number",
    "need_object",
    "need_str",
    "rest",
    "wrong",
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


def wrong(field: str, expected: str, value: object) -> BadRequest:
    """The error for a value of a wrong type."""
    return BadRequest(
        f"{field} must be {expected}, not {_KINDS.get(type(value), type(value).__name__)}.", field=field
    )


def child(where: str, key: str) -> str:
    """The path of `key` inside `where` ("" is the body)."""
    return f"{where}.{key}" if where else key


def _found(data: dict[str, Any], key: str, where: str) -> object:
    try:
        return data[key]
    except KeyError:
        field = child(where, key)
        raise BadRequest(f"{field} is missing.", field=field) from None


def need_str(data: dict[str, Any], key: str, where: str) -> str:
    """:raises BadRequest: the field is missing or no string."""
    value = _found(data, key, where)
    if isinstance(value, str):
        return value
    raise wrong(child(where, key), "a string", value)


def need_bool(data: dict[str, Any], key: str, where: str) -> bool:
    """:raises BadRequest: the field is missing or no boolean."""
    value = _found(data, key, where)
    if isinstance(value, bool):
        return value
    raise wrong(child(where, key), "a boolean", value)


def need_int(data: dict[str, Any], key: str, where: str) -> int:
    """:raises BadRequest: the field is missing or no integer."""
    value = _found(data, key, where)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise wrong(child(where, key), "an integer", value)


def need_number(data: dict[str, Any], key: str, where: str) -> float:
    """:raises BadRequest: the field is missing or no number."""
    value = _found(data, key, where)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise wrong(child(where, key), "a number", value)


def need_object(data: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    """:raises BadRequest: the field is missing or no object."""
    value = _found(data, key, where)
    if is_object(value):
        return value
    raise wrong(child(where, key), "an object", value)


def need_list(data: dict[str, Any], key: str, where: str) -> list[Any]:
    """:raises BadRequest: the field is missing or no array."""
    value = _found(data, key, where)
    if isinstance(value, list):
        return cast("list[Any]", value)
    raise wrong(child(where, key), "an array", value)


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether this is a JSON object."""
    return isinstance(value, dict)


def is_count(value: object) -> TypeGuard[int]:
    """Whether this is a number of tokens: a whole number that is not negative."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def rest(data: dict[str, Any], *known: str) -> dict[str, Any]:
    """The fields besides the known ones, untouched."""
    return {key: value for key, value in data.items() if key not in known}
