"""One operation of the admin API: a row of the table that both the routes and their description are made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from tidyllm.gateway.admin.identity import Asker

__all__ = ["Handler", "Operation"]

Handler: TypeAlias = Callable[[Request, Asker | None], Awaitable[Response]]


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """`body`, `query` and `answer` are types; an `answer` of None has no body."""

    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    name: str
    summary: str
    handler: Handler
    tag: str
    status: int = 200
    body: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    answer: Any = None
    open: bool = False
    """Anybody may ask."""
    errors: tuple[int, ...] = ()
    """Beside those that every operation may give."""
