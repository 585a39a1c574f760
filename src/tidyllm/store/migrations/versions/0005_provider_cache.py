"""What the caches of providers saved: a number in the sums by day of `store/tables/money.py`."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column

revision = "0005_provider_cache"
down_revision = "0004_routing"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; days before it saved nothing that anyone has written down."""
    op.add_column(
        "spend_daily", Column("provider_saved_nanos", BigInteger, nullable=False, server_default="0")
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_column("spend_daily", "provider_saved_nanos")
