"""A value that fits a JSON schema, always the same one. Pure; it knows what schemas from types use, not all of them."""

from __future__ import annotations

from typing import Any, cast

__all__ = ["sample"]

_FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "simulated@example.com",
    "uri": "https://example.com/simulated",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def sample(schema: Any, root: Any = None, depth: int = 0) -> Any:
    """The simplest value for `schema`; text says "simulated". Optional fields are left out, unions take the first
    choice that is not null, and recursion ends at eight levels."""
    if not isinstance(schema, dict) or depth > 8:
        return None
    node = cast("dict[str, Any]", schema)
    root = node if root is None else root
    if "$ref" in node:
        return sample(_resolve(node["$ref"], root), root, depth + 1)
    for fixed in ("const", "default"):
        if fixed in node:
            return node[fixed]
    if node.get("enum"):
        return node["enum"][0]
    for union in ("anyOf", "oneOf", "allOf"):
        if node.get(union):
            choices = cast("list[dict[str, Any]]", node[union])
            return sample(next((c for c in choices if c.get("type") != "null"), choices[0]), root, depth + 1)
    kind = node.get("type")
    if isinstance(kind, list):
        kinds = cast("list[str]", kind)
        kind = next((one for one in kinds if one != "null"), "null")
    if kind == "object" or "properties" in node:
        properties = cast("dict[str, Any]", node.get("properties", {}))
        wanted = cast("list[str]", node.get("required", list(properties)))
        return {name: sample(properties.get(name), root, depth + 1) for name in wanted}
    if kind == "array":
        count = max(int(node.get("minItems", 1)), 0)
        return [sample(node.get("items", {"type": "string"}), root, depth + 1) for _ in range(count)]
    if kind in ("integer", "number"):
        low = node.get("minimum", node.get("exclusiveMinimum"))
        number = 0 if low is None else low + (1 if "exclusiveMinimum" in node else 0)
        return int(number) if kind == "integer" else float(number)
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    text = _FORMATS.get(str(node.get("format")), "simulated")
    return text.ljust(int(node.get("minLength", 0)), "x")[: node.get("maxLength")]


def _resolve(reference: Any, root: Any) -> Any:
    at: Any = root
    for part in str(reference).removeprefix("#").strip("/").split("/"):
        at = cast("dict[str, Any]", at).get(part.replace("~1", "/").replace("~0", "~"), {}) if part else at
    return at
