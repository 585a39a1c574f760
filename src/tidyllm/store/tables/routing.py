"""Tables of outcomes and experiments. They stand on `metadata`; their revision lies in `store/migrations/versions`."""

from __future__ import annotations

__all__: list[str] = []
