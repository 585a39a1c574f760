"""Tables of stored answers. They stand on `metadata`; their revision lies in `store/migrations/versions`."""

from __future__ import annotations

from sqlalchemy import Column, Float, Integer, LargeBinary, Table

from tidyllm.store.tables.metadata import metadata

__all__ = ["cache_entries"]

cache_entries = Table(
    "cache_entries",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("value", LargeBinary, nullable=False),
    Column("size", Integer, nullable=False),
    Column("expires_at", Float(53), nullable=False, index=True),
    Column("used_at", Float(53), nullable=False, index=True),
)
"""One kept answer a row: `value` is sealed by the cache, `size` its bytes, `used_at` when it was last asked for, to the
minute."""
