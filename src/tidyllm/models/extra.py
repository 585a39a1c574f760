"""`Request.extra` on its way into a body. It knows no format."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tidyllm.errors import BadRequest
from tidyllm.models.checks import is_object

__all__ = ["add_extra"]


def add_extra(body: dict[str, Any], extra: dict[str, Any], merged: Collection[str] = ()) -> None:
    """Put the fields of `extra` into the body. Objects named in `merged` may be given in parts: ours and theirs.

    :raises BadRequest: `extra` says again what a field of the request says.
    """
    for key, value in extra.items():
        held: object = body.get(key)
        path = key
        if key not in body:
            body[key] = value
            continue
        if key in merged and is_object(held) and is_object(value):
            twice = next((name for name in value if name in held), None)
            if twice is None:
                body[key] = {**held, **value}
                continue
            path = f"{key}.{twice}"
        field = f"extra.{path}"
        raise BadRequest(f"{field} says again what a field of the request says; give it once.", field=field)
