"""`GET /v1/models` in the caller's own format. It knows names, not what they lead to."""

from __future__ import annotations

from typing import Any

from tidyllm.config import Routes
from tidyllm.gateway.asgi import Headers

__all__ = ["list_models"]


def list_models(routes: Routes, headers: Headers, one: str = "") -> dict[str, Any]:
    """All models by the names callers use, patterns included; or the one called `one`.

    :raises ModelNotFound: there is no such model.
    """
    anthropic = "anthropic-version" in headers
    if one:
        return _entry(routes.find(one).name, anthropic)
    names = [*routes, *routes.patterns]
    entries = [_entry(name, anthropic) for name in names]
    if anthropic:
        return {
            "data": entries,
            "has_more": False,
            "first_id": names[0] if names else None,
            "last_id": names[-1] if names else None,
        }
    return {"object": "list", "data": entries}


def _entry(name: str, anthropic: bool) -> dict[str, Any]:
    if anthropic:
        return {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"}
    return {"id": name, "object": "model", "created": 0, "owned_by": "tidyllm"}
