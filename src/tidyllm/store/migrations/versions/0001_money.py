"""The tables of `store/tables/money.py`."""

from __future__ import annotations

revision = "0001_money"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create what this revision adds."""


def downgrade() -> None:
    """Drop what this revision added."""
