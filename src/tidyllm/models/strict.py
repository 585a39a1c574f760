"""The strict form of a JSON schema, which lets a provider force answers into it. Pure; it knows no
provider.

The rules are those that OpenAI published for its structured outputs and that others follow (Anthropic
asks for the same `additionalProperties: false`): each object lists all its keys as required and allows no
others, each value says its type, and only some keywords exist.
"""

from __future__ import annotations

from typing import Any, cast

__all__ = ["strict_schema"]

_KEPT = frozenset(
    [
        *("title", "description", "type", "const", "enum", "required", "pattern", "format"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minItems", "maxItems"),
    ]
)
"""Keywords with the same meaning in the strict form. Those with schemas inside are treated one by one."""

_DROPPED = frozenset(
    {"$comment", "$schema", "default", "deprecated", "discriminator", "examples", "readOnly", "writeOnly"}
)
"""Annotations: without them the same answers fit."""


def strict_schema(schema: dict[str, Any]) -> dict[str, Any] | None:
    """The strict form of `schema`; None where it has none (free-form objects, `allOf`, `minLength`, no
    type).

    A key that may be left out becomes required: a model in strict mode fills in every key. Its answers
    fit the original schema too; defaults are simply never used. The argument is not changed.
    """
    try:
        return _strict(schema)
    except (_NotStrict, RecursionError):
        return None


class _NotStrict(Exception):
    """The schema has no strict form."""


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    strict: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _KEPT:
            strict[key] = value
        elif key == "$ref":
            # A reference stands alone in the strict form; what describes it stands beside an `anyOf` of one.
            strict |= {"$ref": value} if len(schema) == 1 else {"anyOf": [{"$ref": value}]}
        elif key in {"$defs", "definitions", "properties"}:
            strict[key] = {name: _strict(_schema(inner)) for name, inner in _schema(value).items()}
        elif key == "items":
            strict[key] = _strict(_schema(value))
        elif key in {"anyOf", "oneOf"} and isinstance(value, list):
            strict["anyOf"] = [_strict(_schema(inner)) for inner in cast("list[Any]", value)]
        elif key not in _DROPPED and not (key == "additionalProperties" and value is False):
            raise _NotStrict
    if strict.get("type") == "object":
        if "properties" not in strict and schema.get("additionalProperties") is not False:
            raise _NotStrict  # any keys at all
        properties = strict.setdefault("properties", {})
        strict["required"] = list(properties)
        strict["additionalProperties"] = False
    elif "properties" in strict:
        raise _NotStrict
    elif not strict.keys() & {"type", "anyOf", "$ref"}:
        strict["type"] = _type_of_values(strict)
    elif strict.get("type") == "array" and "items" not in strict:
        raise _NotStrict
    return strict


def _schema(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _NotStrict  # `true`, or a list as in tuples
    return cast("dict[str, Any]", value)


def _type_of_values(schema: dict[str, Any]) -> str:
    """The type that an enum or const leaves unsaid."""
    values: list[object] = (
        schema["enum"] if "enum" in schema else [schema["const"]] if "const" in schema else []
    )
    names = {"str": "string", "bool": "boolean", "int": "integer", "float": "number", "NoneType": "null"}
    found = {names.get(type(value).__name__) for value in values}
    only = found.pop() if len(found) == 1 else None
    if only is None:
        raise _NotStrict
    return only
