"""Errors of providers as far as all formats agree: the body, the sentence, the class by status. It knows no codes.

An error inside of an answer or a stream came with HTTP status 200: its `status` is None, since tokens may have been
used. Its class is that of the status which belongs to its words.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tidyllm.errors import (
    AuthError,
    BadAnswer,
    BadRequest,
    ModelError,
    Overloaded,
    RateLimited,
    Unreachable,
)

__all__ = ["by_status", "json_body", "sentence", "shown"]

_SHOWN = 300  # characters of a body that is no JSON: enough to recognise a proxy's page


def json_body(body: bytes) -> object:
    """The decoded body; None where it is no JSON."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None


def shown(body: bytes) -> str:
    """The beginning of a body that is no JSON."""
    return " ".join(body[: 4 * _SHOWN].decode(errors="replace").split())[:_SHOWN]


def sentence(status: int | None, named: str | None, words: str) -> str:
    """What the provider said. `named`: its own word for the kind of error; `status` None: HTTP had said 200."""
    said = "an error" if status is None else f"HTTP {status}"
    head = f"the provider answered {said} ({named})" if named else f"the provider answered {said}"
    if not words:
        return f"{head} without a word."
    return f"{head}: {words}" if words.endswith((".", "!", "?")) else f"{head}: {words}."


def by_status(status: int, message: str, /, *, field: str | None = None, **where: Any) -> ModelError:
    """The error whose class only the status tells. `where`: what else `ModelError` takes."""
    if status in {401, 403}:
        return AuthError(message, **where)
    if status == 429:
        return RateLimited(message, **where)
    if status == 404:
        return BadRequest(message, field=field, hint="Check base_url: nothing answers at this path.", **where)
    if status in {408, 499}:
        return Unreachable(message, hint="The provider gave up on the request; try again.", **where)
    if status >= 500:
        return Overloaded(message, **where)
    if status >= 400:
        return BadRequest(message, field=field, **where)
    return BadAnswer(message, hint="Check base_url: a status like this is no answer of a model.", **where)
