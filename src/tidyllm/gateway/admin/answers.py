"""Answers of the admin API: JSON, never kept by anyone, and errors with the field that is wrong. It knows no acts."""

from __future__ import annotations

import logging
import math
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tidyllm.access import Conflict, Forbidden, Missing
from tidyllm.errors import (
    AuthError,
    BadRequest,
    ConfigError,
    LimitExceeded,
    Refused,
    StoreDown,
    TidyllmError,
)

__all__ = ["HEADERS", "Failure", "answer", "answer_error", "answer_unforeseen", "answer_wrong_path"]

_log = logging.getLogger("tidyllm.gateway.admin")
_encode = msgspec.json.Encoder(decimal_format="number").encode

HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}
"""Of every answer."""


class Failure(msgspec.Struct):
    """What went wrong. `field` is the part of the request that is to blame, if one is."""

    type: str
    message: str
    field: str | None = None
    hint: str | None = None


# A class stands before its bases: the first one that fits decides.
_STATUS: tuple[tuple[type[TidyllmError], int, str], ...] = (
    (Missing, 404, "missing"),
    (Conflict, 409, "conflict"),
    (Forbidden, 403, "forbidden"),
    (AuthError, 401, "unauthorized"),
    (ConfigError, 400, "bad_request"),
    (BadRequest, 400, "bad_request"),
    (LimitExceeded, 429, "limit_exceeded"),
    (StoreDown, 503, "unavailable"),
    (Refused, 503, "unavailable"),
)


def answer(thing: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """`thing` as JSON; dollars are numbers."""
    told = HEADERS if headers is None else HEADERS | headers
    return Response(_encode(thing), status, told, media_type="application/json")


async def answer_error(request: Request, error: Exception) -> Response:
    """One of our errors."""
    assert isinstance(error, TidyllmError)
    status, type = next(((s, t) for kind, s, t in _STATUS if isinstance(error, kind)), (500, "internal"))
    if status == 500:
        return await answer_unforeseen(request, error)
    field: str | None = getattr(error, "where", None) or getattr(error, "field", None)
    headers: dict[str, str] = {}
    if status == 401:
        headers["www-authenticate"] = 'Bearer realm="tidyllm"'
    if status in (429, 503):
        wait: float | None = getattr(error, "retry_after", None)
        headers["retry-after"] = str(math.ceil(min(max(wait or 1.0, 1.0), 86400.0)))
    return _failed(status, Failure(type, error.message, field, error.hint or None), headers)


async def answer_wrong_path(request: Request, error: Exception) -> Response:
    """Nothing is there, or not for this method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        said = Failure("method_not_allowed", f"this path does not take {request.method[:20]}.")
    elif error.status_code == 404:
        said = Failure("missing", "there is nothing at this path.", None, "See /admin/v1/openapi.json.")
    else:
        said = Failure("bad_request", str(error.detail))
    return _failed(error.status_code, said, dict(error.headers or {}))


async def answer_unforeseen(request: Request, error: Exception) -> Response:
    """A failure of ours: whoever runs the gateway is told all of it, the caller nothing of it."""
    _log.error("%s %s failed", request.method, request.scope.get("route_path", "?"), exc_info=error)
    return _failed(500, Failure("internal", "the server failed; its log says why."), {})


def _failed(status: int, failure: Failure, headers: dict[str, str]) -> Response:
    body: dict[str, Any] = {"error": failure}
    return answer(body, status=status, headers=headers)
