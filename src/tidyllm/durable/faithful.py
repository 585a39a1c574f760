"""What a value would lose on its way through JSON and back as its declared type. It saves and reads nothing.

A type is looked at once; for plain ones (numbers, texts, lists of them) there is nothing to look at in their values.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Callable, Iterable
from typing import Any, cast

import msgspec
import msgspec.inspect as shapes

from tidyllm.durable.types import UNKNOWN

__all__ = ["Faithful", "difference"]

Check = Callable[[Any, str], str | None]
_HOLDERS = (list, tuple, set, frozenset)


class Faithful:
    """`lost(value)` says what a value of a declared type would lose; `rebuilds`: to read it runs code of its own."""

    def __init__(self, kind: Any) -> None:
        self._known: dict[int, list[Check | None]] = {}
        self._infos: list[Any] = []  # alive, so that no other gets the id of one
        self.rebuilds = False
        self._check = None if kind is UNKNOWN else self._of(shapes.type_info(kind))

    def lost(self, value: Any) -> str | None:
        """What would be lost, and where; None if nothing."""
        return None if self._check is None else self._check(value, "")

    def _of(self, info: Any) -> Check | None:
        if isinstance(info, shapes.Metadata):
            return self._of(info.type)
        if isinstance(info, shapes.AnyType):
            return _loose
        if isinstance(info, shapes.StructType | shapes.DataclassType):
            return self._of_class(info)
        if isinstance(info, shapes.TypedDictType):
            return _dict_of({one.name: self._of(one.type) for one in info.fields})
        if isinstance(info, shapes.NamedTupleType):
            return _places([self._of(one.type) for one in info.fields])
        if isinstance(info, shapes.TupleType):
            return _places([self._of(one) for one in info.item_types])
        if isinstance(info, shapes.CollectionType):
            return _items(self._of(info.item_type))
        if isinstance(info, shapes.DictType):
            return _pairs(isinstance(info.key_type, shapes.AnyType), self._of(info.value_type))
        return self._of_union(info) if isinstance(info, shapes.UnionType) else None

    def _of_class(self, info: shapes.StructType | shapes.DataclassType) -> Check:
        holder = self._known.get(id(info))
        if holder is None:
            holder = self._known[id(info)] = [None]
            self._infos.append(info)
            kind: Any = typing.get_origin(info.cls) or info.cls
            self.rebuilds |= hasattr(kind, "__post_init__")
            fields = [(one.name, check) for one in info.fields if (check := self._of(one.type)) is not None]
            holder[0] = _instance(kind, frozenset(one.name for one in info.fields), fields)
        made = holder

        def later(value: Any, path: str) -> str | None:  # a class may hold itself
            return None if made[0] is None else made[0](value, path)

        return made[0] or later

    def _of_union(self, info: shapes.UnionType) -> Check | None:
        classes: dict[type[Any], Check] = {}
        array: Check | None = None
        mapping: Check | None = None
        for one in info.types:
            check = self._of(one)
            if check is None:
                continue
            if isinstance(one, shapes.StructType | shapes.DataclassType):
                classes[typing.get_origin(one.cls) or one.cls] = check
            elif isinstance(one, shapes.DictType | shapes.TypedDictType):
                mapping = check
            else:
                array = check
        if not classes and array is None and mapping is None:
            return None

        def either(value: Any, path: str) -> str | None:
            check = classes.get(cast("type[Any]", type(value)))
            if check is None:
                check = next((one for kind, one in classes.items() if isinstance(value, kind)), None)
            if check is None and isinstance(value, dict):
                check = mapping
            if check is None and isinstance(value, _HOLDERS):
                check = array
            return None if check is None else check(value, path)

        return either


def _instance(kind: type[Any], names: frozenset[str], fields: list[tuple[str, Check]]) -> Check:
    def check(value: Any, path: str) -> str | None:
        if type(value) is not kind:
            if not isinstance(value, kind):
                return None  # it is refused when it is read
            gone = next((one for one in _fields(cast("type[Any]", type(value))) if one not in names), None)
            if gone is not None:
                return f"{_at(path)}as {kind.__qualname__}, which was declared, it would lose {gone!r}"
        for name, inner in fields:
            found = inner(getattr(value, name, None), f"{path}.{name}")
            if found is not None:
                return found
        return None

    return check


def _fields(kind: type[Any]) -> Iterable[str]:
    declared = cast("dict[str, Any]", getattr(kind, "__dataclass_fields__", {}))
    return cast("Iterable[str]", getattr(kind, "__struct_fields__", declared))


def _first(found: Iterable[str | None]) -> str | None:
    return next((one for one in found if one is not None), None)


def _items(inner: Check | None) -> Check | None:
    if inner is None:
        return None
    return lambda value, path: (
        _first(inner(one, f"{path}[{n}]") for n, one in enumerate(cast("list[Any]", value)))
        if isinstance(value, _HOLDERS)
        else None
    )


def _places(inner: list[Check | None]) -> Check | None:
    if not any(inner):
        return None
    return lambda value, path: (
        _first(
            check(one, f"{path}[{n}]")
            for n, (one, check) in enumerate(zip(cast("tuple[Any, ...]", value), inner, strict=False))
            if check is not None
        )
        if isinstance(value, _HOLDERS)
        else None
    )


def _pairs(any_key: bool, inner: Check | None) -> Check | None:
    if inner is None and not any_key:
        return None

    def check(value: Any, path: str) -> str | None:
        if not isinstance(value, dict):
            return None
        for key, one in cast("dict[Any, Any]", value).items():
            if any_key and not isinstance(key, str):
                return f"{_at(path)}the key {key!r} would come back as text"
            found = None if inner is None else inner(one, f"{path}[{key!r}]")
            if found is not None:
                return found
        return None

    return check


def _dict_of(inner: dict[str, Check | None]) -> Check:
    def check(value: Any, path: str) -> str | None:
        if not isinstance(value, dict):
            return None
        for key, one in cast("dict[Any, Any]", value).items():
            if key not in inner:
                return f"{_at(path)}the key {key!r} was not declared and would be lost"
            held = inner[key]
            found = None if held is None else held(one, f"{path}[{key!r}]")
            if found is not None:
                return found
        return None

    return check


def _loose(value: Any, path: str) -> str | None:
    """Where anything may stand, JSON alone has to give it back."""
    if value is None or isinstance(value, str | bool | int):
        return None
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{_at(path)}{value!r} has no form in JSON"
    if type(value) is list:
        return _first(_loose(one, f"{path}[{n}]") for n, one in enumerate(cast("list[Any]", value)))
    if isinstance(value, dict):
        return _LOOSE_PAIRS(value, path) if _LOOSE_PAIRS is not None else None
    name = type(value).__qualname__
    return f"{_at(path)}no type is declared there, so a {name} would not come back as one"


_LOOSE_PAIRS = _pairs(True, _loose)


def _at(path: str) -> str:
    return f"at {path}: " if path else ""


def difference(one: Any, other: Any, path: str = "") -> str | None:
    """Where two values of JSON differ first; None if nowhere."""
    if isinstance(one, dict) and isinstance(other, dict):
        ours, theirs = cast("dict[str, Any]", one), cast("dict[str, Any]", other)
        return _first(
            difference(ours.get(key, msgspec.UNSET), theirs.get(key, msgspec.UNSET), f"{path}.{key}")
            for key in {**ours, **theirs}
        )
    if isinstance(one, list) and isinstance(other, list):
        left, right = cast("list[Any]", one), cast("list[Any]", other)
        if len(left) == len(right):
            pairs = enumerate(zip(left, right, strict=True))
            return _first(difference(mine, its, f"{path}[{n}]") for n, (mine, its) in pairs)
    return None if one == other else path or "."
