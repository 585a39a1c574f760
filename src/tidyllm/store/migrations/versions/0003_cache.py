"""The tables of `store/tables/cache.py`."""

from __future__ import annotations

revision = "0003_cache"
down_revision = "0002_access"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create what this revision adds."""


def downgrade() -> None:
    """Drop what this revision added."""
