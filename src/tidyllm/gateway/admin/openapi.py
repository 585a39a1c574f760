"""The description of the admin API, made of the table of its operations. It knows types, not acts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, cast

import msgspec

from tidyllm.access.fields import ID_PATTERN, NAME_PATTERN
from tidyllm.gateway.admin.operation import Operation
from tidyllm.gateway.admin.shapes import Failed

__all__ = ["describe"]

_REF = "#/components/schemas/{name}"
_ERRORS = {
    400: "a field or a parameter is wrong; `field` names it",
    401: "no key, a wrong key, or nobody is signed on",
    403: "the role is not enough, or the CSRF token is missing",
    404: "what the path names is not there",
    409: "it does not fit what is there, or two fields do not fit together",
    503: "the store or the identity provider cannot be reached now",
}
_PLACES: dict[str, dict[str, Any]] = {
    "key_id": {"type": "string", "pattern": ID_PATTERN},
    "name": {"type": "string", "pattern": NAME_PATTERN},
    "request_id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,128}$"},
}
_NOT_TOLD = ("team_models", "organisation", "subjects")
"""Of a key: what it has from its team."""


def describe(operations: Iterable[Operation], *, version: str) -> dict[str, Any]:
    """An OpenAPI 3.1 description of these operations."""
    operations = list(operations)
    types: list[Any] = [Failed]
    for one in operations:
        types += [kind for kind in (one.body, one.query, one.answer) if kind is not None]
    found, components = msgspec.json.schema_components(types, ref_template=_REF)
    schemas = {id(kind): schema for kind, schema in zip(types, found, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, schemas, components)
    queries = {one.query.__name__ for one in operations if one.query is not None}
    kept = {name: _mended(name, schema) for name, schema in components.items() if name not in queries}
    return {
        "openapi": "3.1.0",
        "info": {"title": "tidyllm admin API", "version": version, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": kept,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The master key, or one with a role.",
                },
                "header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
        "security": [{"bearer": []}, {"header": []}],
    }


def _operation(one: Operation, schemas: dict[int, Any], components: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"operationId": one.name, "summary": one.summary, "tags": [one.tag]}
    places = cast("list[str]", re.findall(r"{(\w+)}", one.path))
    parameters = [{"name": name, "in": "path", "required": True, "schema": _PLACES[name]} for name in places]
    if one.query is not None:
        for name, schema in components[one.query.__name__]["properties"].items():
            parameters.append({"name": name, "in": "query", "required": False, "schema": schema})
    if parameters:
        told["parameters"] = parameters
    if one.body is not None:
        content = {"application/json": {"schema": schemas[id(one.body)]}}
        told["requestBody"] = {"required": one.method != "POST" or _needed(one.body), "content": content}
    answer: dict[str, Any] = {"description": one.summary}
    if one.status in (302, 303):
        answer["headers"] = {"location": {"schema": {"type": "string"}}}
    elif one.answer is not None:
        answer["content"] = {"application/json": {"schema": schemas[id(one.answer)]}}
    statuses = {503, *one.errors}
    if not one.open:
        statuses |= {401, 403}
    if one.body is not None or one.query is not None or one.method in ("POST", "PATCH", "DELETE"):
        statuses.add(400)
    if places:
        statuses.add(404)
    if one.open:
        told["security"] = []
    failed = {"application/json": {"schema": schemas[id(Failed)]}}
    told["responses"] = {str(one.status): answer} | {
        str(status): {"description": _ERRORS[status], "content": failed} for status in sorted(statuses)
    }
    return told


def _needed(body: type[msgspec.Struct]) -> bool:
    """Whether it has a field that cannot be left out."""
    return any(field.required for field in msgspec.structs.fields(body))


def _mended(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Dollars are numbers in our JSON; `msgspec` describes a `Decimal` as a string."""
    properties: dict[str, Any] = schema.get("properties", {})
    for field in ("limit_usd", "soft_usd"):
        if field in properties and name in ("Key", "Team", "Organisation"):
            properties[field] = {"type": ["number", "null"], "description": "US dollars"}
    if name == "Key":
        for field in _NOT_TOLD:
            properties.pop(field, None)
    schema.pop("title", None)
    return schema
