"""The tables of `store/tables/routing.py`."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Float, Integer, Text

revision = "0004_routing"
down_revision = "0003_cache"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of what came of calls."""
    op.create_table(
        "outcomes",
        Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
        Column("at", Float(53), nullable=False),
        Column("run_id", Text, nullable=False),
        Column("route", Text, nullable=False),
        Column("quality", Float(53), nullable=False),
        Column("cost_nanos", BigInteger),
        Column("experiment", Text),
        Column("arm", Text),
        Column("sticky", Text),
        Column("prompt", Text),
        Column("kind", Text),
        Column("key_id", Text),
    )
    op.create_index("ix_outcomes_run_id_route", "outcomes", ["run_id", "route"], unique=True)
    op.create_index("ix_outcomes_experiment_at", "outcomes", ["experiment", "at"])
    op.create_index("ix_outcomes_at", "outcomes", ["at"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("outcomes")
