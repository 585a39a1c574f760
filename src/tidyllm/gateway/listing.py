"""`GET /v1/models` in the caller's own format. It knows names, not what they lead to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

from tidyllm.access import Key, check
from tidyllm.access.guard import model_allowed
from tidyllm.config import Routes
from tidyllm.errors import BadRequest
from tidyllm.gateway.asgi import Headers
from tidyllm.models.catalog import Catalog

__all__ = ["list_models"]

_MOST = 1_000
"""Models on one page of Anthropic's list."""


def list_models(
    routes: Routes, headers: Headers, one: str = "", query: bytes = b"", *, key: Key | None = None
) -> dict[str, Any]:
    """All models that `key` (None: whoever may do everything) can call, by the names callers use; or the one `one`.

    Anthropic's list comes in pages where `query` asks for them (`limit`, `after_id`, `before_id`); OpenAI's has none.

    :raises ModelNotFound: there is no such model. :raises Forbidden: `key` is not for it.
    :raises BadRequest: a parameter of the pages is wrong.
    """
    anthropic = "anthropic-version" in headers
    if one:
        name = routes.find(one).name
        if key is not None:
            check(key, model=one)
        return _entry(name, anthropic)
    every = routes.names if key is None else [name for name in routes.names if model_allowed(key, name)]
    if not anthropic:
        return {"object": "list", "data": [_entry(name, anthropic) for name in every]}
    asked = dict(parse_qsl(query.decode("latin-1")))
    names, more = _page(every, asked)
    return {
        "data": [_entry(name, anthropic) for name in names],
        "has_more": more,
        "first_id": names[0] if names else None,
        "last_id": names[-1] if names else None,
    }


def _page(names: Sequence[str], asked: Mapping[str, str]) -> tuple[Sequence[str], bool]:
    """The names on the page, and whether there are more in its direction. Without a limit everything is one page."""
    limit = asked.get("limit", str(_MOST))
    if not (limit.isascii() and limit.isdecimal() and 1 <= int(limit[:9]) <= _MOST):
        raise BadRequest(
            f"limit is {limit[:50]!r}, expected a whole number from 1 to {_MOST:,}.", field="limit"
        )
    most = int(limit)
    if after := asked.get("after_id"):
        names = names[_place(names, after, "after_id") + 1 :]
    if before := asked.get("before_id"):
        names = names[: _place(names, before, "before_id")]
        return names[-most:], len(names) > most
    return names[:most], len(names) > most


def _place(names: Sequence[str], name: str, field: str) -> int:
    try:
        return names.index(name)
    except ValueError:
        raise BadRequest(f"{field} is {name[:200]!r}, which is not in this list.", field=field) from None


def _entry(name: str, anthropic: bool) -> dict[str, Any]:
    made = _made()
    if anthropic:
        return {"type": "model", "id": name, "display_name": name, "created_at": f"{made:%Y-%m-%dT%H:%M:%SZ}"}
    return {"id": name, "object": "model", "created": int(made.timestamp()), "owned_by": "tidyllm"}


@cache
def _made() -> dt.datetime:
    """The day of the newest fact in the catalogue, the same in every worker and after every start.

    When a name came into being nobody knows, and clients sort by it or show it: 1970 would look like a mistake.
    """
    newest = max(info.date for info in Catalog.default() if info.date is not None)
    return dt.datetime.combine(newest, dt.time(), dt.UTC)
