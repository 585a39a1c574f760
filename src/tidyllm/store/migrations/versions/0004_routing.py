"""The tables of `store/tables/routing.py`."""

from __future__ import annotations

revision = "0004_routing"
down_revision = "0003_cache"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create what this revision adds."""


def downgrade() -> None:
    """Drop what this revision added."""
