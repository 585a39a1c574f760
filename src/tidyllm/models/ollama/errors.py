"""Ollama's errors to ours: `{"error": "some words"}`. It knows nothing of requests or answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tidyllm.errors import AuthError, ContextTooLong, ModelError, ModelNotFound
from tidyllm.models.checks import is_object, text_in
from tidyllm.models.provider_errors import by_status, json_body, sentence, shown
from tidyllm.models.retry_after import retry_after

__all__ = ["decode_error", "error_in"]

_TOO_LONG = re.compile(
    r"context (?:length|size|window)|available context|longer than the context", re.IGNORECASE
)
_UNABLE = re.compile(r"does not support (\w+)")
_FIELDS = {"thinking": "think", "tools": "tools", "insert": "suffix"}


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
    """The most specific error for an answer with a status other than 2xx."""
    data = json_body(body)
    words = _words(data) if is_object(data) else None
    return _error(status, status, headers, shown(body) if words is None else words)


def error_in(data: dict[str, Any]) -> ModelError | None:
    """The error in a line of a stream, or in a body that came with status 200; None when it is none.

    Its `status` is None.
    """
    words = _words(data)
    if words is None:
        return None
    meant: object = data.get("status")
    return _error(None, meant if isinstance(meant, int) and meant >= 400 else 500, {}, words)


def _words(data: dict[str, Any]) -> str | None:
    error: object = data.get("error")
    if is_object(error):
        return text_in(error, "message")
    return None if error is None else error if isinstance(error, str) else str(error)


def _error(status: int | None, meant: int, headers: Mapping[str, str], words: str) -> ModelError:
    where: dict[str, Any] = {
        "status": status,
        "provider_message": words or None,
        "retry_after": retry_after(headers),
    }
    message = sentence(status, None, words)
    if meant in {400, 413, 500} and _TOO_LONG.search(words):
        return ContextTooLong(message, **where)
    if meant in {401, 403}:
        return AuthError(message, hint="Sign in at this server, or check its key.", **where)
    if meant == 404 and "model" in words:
        return ModelNotFound(message, field="model", hint="Pull it first: `ollama pull NAME`.", **where)
    unable = _UNABLE.search(words)
    return by_status(meant, message, field=_FIELDS.get(unable[1]) if unable else None, **where)
