"""The tables of `store/tables/cache.py`."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, Float, Integer, LargeBinary

revision = "0003_cache"
down_revision = "0002_access"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the entries of caches."""
    op.create_table(
        "cache_entries",
        Column("key", LargeBinary, primary_key=True),
        Column("value", LargeBinary, nullable=False),
        Column("size", Integer, nullable=False),
        Column("expires_at", Float(53), nullable=False),
        Column("used_at", Float(53), nullable=False),
    )
    op.create_index("ix_cache_entries_expires_at", "cache_entries", ["expires_at"])
    op.create_index("ix_cache_entries_used_at", "cache_entries", ["used_at"])


def downgrade() -> None:
    """Drop them with all they hold."""
    op.drop_table("cache_entries")
