"""A sensible value for a JSON schema: the shape is the schema's, the words are the caller's. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, cast

from tidyllm.models.offline.sample import sample

__all__ = ["fit"]

_LISTED = frozenset({"plan", "steps", "subtasks", "tasks", "todo"})
"""Lists that mean nothing when they are empty; all others (findings, issues, errors, …) are left empty."""
_LEVELS = 12


def fit(schema: Mapping[str, Any], prefer: Mapping[str, Any]) -> Any:
    """A value that `schema` allows. `prefer` says what fields of a name hold, wherever they are: a value, or a list of
    values of which the first one that is allowed is taken (of an array: its items, objects as they are).

    A union takes the choice that has a preferred value as its tag, else the first that is not null. Fields that may be
    left out are, unless they are preferred.
    """
    return _Fitter(schema, prefer).value(schema, "", 0)


class _Fitter:
    def __init__(self, root: Mapping[str, Any], prefer: Mapping[str, Any]) -> None:
        self._root = root
        self._prefer = prefer

    def value(self, schema: Mapping[str, Any], name: str, level: int) -> Any:
        node = self._resolved(schema)
        if level > _LEVELS:
            return sample({**node, "$defs": self._root.get("$defs", {})})
        if "const" in node:
            return node["const"]
        wished = self._wished(name)
        if "enum" in node:
            allowed = cast("list[Any]", node["enum"])
            return next((each for each in wished if each in allowed), allowed[0])
        for union in ("anyOf", "oneOf"):
            if choices := cast("list[Mapping[str, Any]]", node.get(union) or []):
                return self._chosen(choices, name, level)
        if parts := cast("list[Mapping[str, Any]]", node.get("allOf") or []):
            return self.value(parts[0], name, level + 1)
        return self._typed(node, name, wished, level)

    def _typed(self, node: Mapping[str, Any], name: str, wished: list[Any], level: int) -> Any:
        kind: object = node.get("type")
        if isinstance(kind, list):
            kinds = cast("list[str]", kind)
            if "null" in kinds and name not in self._prefer:
                return None
            kind = next((each for each in kinds if each != "null"), "null")
        if kind == "object" or "properties" in node:
            return self._object(node, level)
        if kind == "array":
            return self._array(node, name, wished, level)
        if kind in ("integer", "number"):
            return next((each for each in wished if _is_number(each) and _within(each, node)), sample(node))
        if kind == "boolean":
            return next((each for each in wished if isinstance(each, bool)), True)
        if kind == "string" or kind is None:
            return next(
                (each for each in wished if isinstance(each, str) and _allowed(each, node)), sample(node)
            )
        return None

    def _object(self, node: Mapping[str, Any], level: int) -> dict[str, Any]:
        properties = cast("dict[str, Mapping[str, Any]]", node.get("properties") or {})
        required = cast("list[str]", node.get("required") or [])
        names = [name for name in properties if name in required or name in self._prefer or name in _LISTED]
        return {name: self.value(properties[name], name, level + 1) for name in names}

    def _array(self, node: Mapping[str, Any], name: str, wished: list[Any], level: int) -> list[Any]:
        items = cast("Mapping[str, Any]", node.get("items") or {"type": "string"})
        least = max(int(node.get("minItems", 0)), 1 if name in _LISTED else 0)
        kind = self._resolved(items).get("type")
        if wished and all(isinstance(each, dict) for each in wished):
            return wished
        if name in self._prefer and kind == "string":
            return [each for each in wished if isinstance(each, str)]
        one = name.removesuffix("s")
        return [self.value(items, one if one in self._prefer else name, level + 1) for _ in range(least)]

    def _chosen(self, choices: list[Mapping[str, Any]], name: str, level: int) -> Any:
        nodes = [self._resolved(each) for each in choices]
        real = [node for node in nodes if node.get("type") != "null"]
        for tag in self._prefer:
            for value in self._wished(tag):
                for node in real:
                    inner = cast("dict[str, Mapping[str, Any]]", node.get("properties") or {}).get(tag)
                    if inner is not None and (
                        inner.get("const") == value or value in (inner.get("enum") or ())
                    ):
                        return self.value(node, name, level + 1)
        if len(real) < len(nodes) and name not in self._prefer and name not in _LISTED:
            return None
        return self.value(real[0] if real else nodes[0], name, level + 1)

    def _wished(self, name: str) -> list[Any]:
        value = self._prefer.get(name)
        return cast("list[Any]", value) if isinstance(value, list) else [] if value is None else [value]

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        for _ in range(_LEVELS):
            reference: object = schema.get("$ref")
            if not isinstance(reference, str):
                break
            at: Any = self._root
            for part in reference.removeprefix("#").strip("/").split("/"):
                at = at.get(part, {}) if part else at
            schema = cast("Mapping[str, Any]", at)
        return schema


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _within(value: float, node: Mapping[str, Any]) -> bool:
    whole = node.get("type") != "integer" or isinstance(value, int)
    return whole and node.get("minimum", -math.inf) <= value <= node.get("maximum", math.inf)


def _allowed(text: str, node: Mapping[str, Any]) -> bool:
    pattern: object = node.get("pattern")
    if isinstance(pattern, str) and re.search(pattern, text) is None:
        return False
    return node.get("minLength", 0) <= len(text) <= node.get("maxLength", math.inf)
