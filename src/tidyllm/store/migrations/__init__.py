"""The steps from one schema to the next, for Alembic."""

from __future__ import annotations

__all__: list[str] = []
