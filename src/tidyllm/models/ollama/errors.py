"""Ollama's errors to ours: `{"error": "some words"}`. It knows nothing of requests or answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from tidyllm.errors import (
    AuthError,
    BadAnswer,
    BadRequest,
    ContextTooLong,
    ModelError,
    ModelNotFound,
    Overloaded,
    RateLimited,
    Unreachable,
)
from tidyllm.models.retry_after import retry_after

__all__ = ["decode_error", "error_in"]

_TOO_LONG = re.compile(
    r"context (?:length|size|window)|available context|longer than the context", re.IGNORECASE
)
_UNABLE = re.compile(r"does not support (\w+)")
_FIELDS = {"thinking": "think", "tools": "tools", "insert": "suffix"}
_SHOWN = 300  # characters of a body that is no JSON


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
    """The most specific error for an answer with a status other than 2xx."""
    try:
        data: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        data = None
    words = _words(cast("dict[str, Any]", data)) if isinstance(data, dict) else None
    if words is None:
        words = " ".join(body[: 4 * _SHOWN].decode(errors="replace").split())[:_SHOWN]
    return _error(status, headers, words)


def error_in(data: dict[str, Any]) -> ModelError | None:
    """The error in a line of a stream, or in a body that came with status 200; None when it is none."""
    words = _words(data)
    if words is None:
        return None
    status: object = data.get("status")
    return _error(status if isinstance(status, int) and status >= 400 else 500, {}, words)


def _words(data: dict[str, Any]) -> str | None:
    error: object = data.get("error")
    if isinstance(error, dict):
        error = cast("dict[str, Any]", error).get("message", "")
    return None if error is None else error if isinstance(error, str) else str(error)


def _error(status: int, headers: Mapping[str, str], words: str) -> ModelError:
    where: dict[str, Any] = {
        "status": status,
        "provider_message": words or None,
        "retry_after": retry_after(headers),
    }
    said = f"the server answered HTTP {status}: {words or 'without a word'}"
    message = said if said.endswith((".", "!", "?")) else f"{said}."
    if status in {400, 413, 500} and _TOO_LONG.search(words):
        return ContextTooLong(message, **where)
    if status in {401, 403}:
        return AuthError(message, hint="Sign in at this server, or check its key.", **where)
    if status == 404:
        if "model" in words:
            return ModelNotFound(message, field="model", hint="Pull it first: `ollama pull NAME`.", **where)
        return BadRequest(message, hint="Check base_url: nothing answers at this path.", **where)
    if status == 429:
        return RateLimited(message, **where)
    if status in {408, 499}:
        return Unreachable(message, hint="The server gave up on the request; try again.", **where)
    if 400 <= status < 500:
        unable = _UNABLE.search(words)
        return BadRequest(message, field=_FIELDS.get(unable[1]) if unable else None, **where)
    if status >= 500:
        return Overloaded(message, **where)
    return BadAnswer(message, hint="Check base_url: a status like this is no answer of a model.", **where)
