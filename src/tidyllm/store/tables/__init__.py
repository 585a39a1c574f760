"""All tables of the store, on one `metadata`. Each area has a file of its own; none knows the others' columns."""

from __future__ import annotations

from tidyllm.store.tables import access, cache, money, routing
from tidyllm.store.tables.metadata import metadata

__all__ = ["access", "cache", "metadata", "money", "routing"]
