"""What a model step adds to the stream of a provider: who served it, and the error when it breaks. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tidyllm.errors import ModelError, StreamInterrupted, TidyllmError
from tidyllm.models.piece import Finish, Piece, Served, Start
from tidyllm.models.response import Response

__all__ = ["interrupted", "with_served"]


def with_served(batch: Sequence[Piece], served: Served) -> tuple[Sequence[Piece], bool]:
    """The pieces with `served` in their `Start`, and whether that must still be told in a later batch."""
    for place, piece in enumerate(batch):
        if isinstance(piece, Start):
            told: Piece = msgspec.structs.replace(piece, served=served)
            return [*batch[:place], told, *batch[place + 1 :]], False
        if isinstance(piece, Finish):  # no decoder leaves the start out; one that did would lose who served
            return [*batch[:place], Start(served=served), *batch[place:]], False
    return batch, True


def interrupted(error: Exception, count: int, partial: Response | None) -> StreamInterrupted:
    """The error for the reader of a stream that broke with `error` after `count` pieces."""
    where: dict[str, Any] = {}
    if isinstance(error, ModelError):
        known = ("status", "code", "request_id", "provider_message", "retry_after")
        where = {name: getattr(error, name) for name in known}
    said = error.message if isinstance(error, TidyllmError) else f"{type(error).__name__}: {error}"
    return StreamInterrupted(f"the stream broke after {count:,} pieces: {said}", partial=partial, **where)
