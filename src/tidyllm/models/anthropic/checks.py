"""Reads the fields of Anthropic's objects by name. It knows nothing of messages or models."""

from __future__ import annotations

from typing import Any

from tidyllm.models.checks import array, flag, number, object_, text, whole

__all__ = ["child", "need_bool", "need_int", "need_list", "need_number", "need_object", "need_str", "rest"]


def child(where: str, key: str) -> str:
    """The path of `key` inside `where` ("" is the body)."""
    return f"{where}.{key}" if where else key


def need_str(data: dict[str, Any], key: str, where: str) -> str:
    """:raises Misfit: the field is missing or no string."""
    return text(data.get(key, ...), child(where, key))


def need_bool(data: dict[str, Any], key: str, where: str) -> bool:
    """:raises Misfit: the field is missing or no boolean."""
    return flag(data.get(key, ...), child(where, key))


def need_int(data: dict[str, Any], key: str, where: str) -> int:
    """:raises Misfit: the field is missing or no integer."""
    return whole(data.get(key, ...), child(where, key))


def need_number(data: dict[str, Any], key: str, where: str) -> float:
    """:raises Misfit: the field is missing or no number."""
    return number(data.get(key, ...), child(where, key))


def need_object(data: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    """:raises Misfit: the field is missing or no object."""
    return object_(data.get(key, ...), child(where, key))


def need_list(data: dict[str, Any], key: str, where: str) -> list[Any]:
    """:raises Misfit: the field is missing or no array."""
    return array(data.get(key, ...), child(where, key))


def rest(data: dict[str, Any], *known: str) -> dict[str, Any]:
    """The fields besides the known ones, untouched."""
    return {key: value for key, value in data.items() if key not in known}
