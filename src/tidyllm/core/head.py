"""Pieces that come before the first one that counts. It knows no kind of piece, only how one says so.

A provider tells who answers before it has thought: a stream that broke or stalled after that has given its reader
nothing yet, and may be started over.
"""

from __future__ import annotations

__all__ = ["MOST_HEADS", "is_head"]

MOST_HEADS = 64
"""How many pieces in a row are taken for heads: whoever holds them back holds no more. Providers send two or three."""


def is_head(piece: object) -> bool:
    """Whether `piece` holds nothing of the answer itself: `piece.is_head` is True. Pieces without it are content."""
    return getattr(piece, "is_head", False) is True
