"""A value that fits a JSON schema, always the same one. Pure; it knows what schemas from types use, not all of them.

Callers of a gateway write schemas, so any nonsense gives some value, quickly, and never an error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

__all__ = ["sample"]

_FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "duration": "P1D",
    "email": "simulated@example.com",
    "time": "00:00:00Z",
    "uri": "https://example.com/simulated",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_LEVELS = 8
_VALUES = 1_000
_ITEMS = 16
_LETTERS = 1_000


def sample(schema: object) -> Any:
    """The simplest value for `schema`; text says "simulated".

    Optional fields are left out, unions take the first choice that is not null. Recursion ends at 8 levels, the whole
    at 1,000 values, lists at 16 items and text at 1,000 letters, whatever the schema asks for.
    """
    return _Sampler(schema).value(schema, 0)


class _Sampler:
    def __init__(self, root: object) -> None:
        self._root = root
        self._left = _VALUES

    def value(self, schema: object, level: int) -> Any:
        self._left -= 1
        if not isinstance(schema, dict) or level > _LEVELS or self._left < 0:
            return None
        node = cast("dict[str, Any]", schema)
        if "$ref" in node:
            return self.value(_resolved(self._root, node["$ref"]), level + 1)
        for fixed in ("const", "default"):
            if fixed in node:
                return node[fixed]
        if choices := _list(node, "enum"):
            return choices[0]
        for union in ("anyOf", "oneOf", "allOf"):
            if choices := _list(node, union):
                return self.value(
                    next((each for each in choices if not _is_null(each)), choices[0]), level + 1
                )
        return self._typed(node, level)

    def _typed(self, node: dict[str, Any], level: int) -> Any:
        kind: object = node.get("type")
        if isinstance(kind, list):
            kind = next((each for each in cast("list[object]", kind) if each != "null"), "null")
        if kind == "object" or isinstance(node.get("properties"), dict):
            return self._object(node, level)
        if kind == "array":
            first = _list(node, "prefixItems")
            count = max(_whole(node, "minItems", 0 if first else 1), len(first))
            more = node.get("items", {"type": "string"})
            return [
                self.value(first[place] if place < len(first) else more, level + 1)
                for place in range(min(count, _ITEMS))
            ]
        if kind in ("integer", "number"):
            number = _number(node)
            return math.ceil(number) if kind == "integer" else float(number)
        if kind in ("boolean", "null"):
            return True if kind == "boolean" else None
        text = _FORMATS.get(str(node.get("format")), "simulated")
        text = text.ljust(min(_whole(node, "minLength", 0), _LETTERS), "x")
        return text[: _whole(node, "maxLength", len(text))]

    def _object(self, node: dict[str, Any], level: int) -> dict[str, Any]:
        given: object = node.get("properties")
        properties = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
        wanted = _list(node, "required") if "required" in node else list(properties)
        names = [name for name in wanted if isinstance(name, str)]
        return {name: self.value(properties.get(name, {}), level + 1) for name in names[:_VALUES]}


def _resolved(root: object, reference: object) -> object:
    at = root
    for part in str(reference).removeprefix("#").strip("/").split("/"):
        if part:
            name = part.replace("~1", "/").replace("~0", "~")
            at = cast("Mapping[str, object]", at).get(name) if isinstance(at, Mapping) else None
    return at


def _is_null(schema: object) -> bool:
    return isinstance(schema, dict) and cast("dict[str, Any]", schema).get("type") == "null"


def _list(node: dict[str, Any], key: str) -> list[Any]:
    value: object = node.get(key)
    return cast("list[Any]", value) if isinstance(value, list) else []


def _whole(node: dict[str, Any], key: str, default: int) -> int:
    value: object = node.get(key)
    return max(value, 0) if isinstance(value, int) else default


def _number(node: dict[str, Any]) -> float:
    """The number nearest to 0 that is allowed, as far as `minimum` and its like say."""
    low, high = -math.inf, math.inf
    for key, step in (("minimum", 0), ("exclusiveMinimum", 1)):
        value: object = node.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15:
            low = max(low, value + step)
    for key, step in (("maximum", 0), ("exclusiveMaximum", 1)):
        value = node.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15:
            high = min(high, value - step)
    return max(low, min(0, high))
