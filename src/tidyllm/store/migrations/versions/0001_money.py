"""The tables of `store/tables/money.py`."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Float, Integer, LargeBinary, SmallInteger, Text, text

revision = "0001_money"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create budgets, their counters, the ledger with its writers, and its sums by day."""
    op.create_table(
        "budgets",
        Column("id", Integer, primary_key=True),
        Column("name", Text, nullable=False, unique=True),
        Column("parent_id", Integer),
        Column("limit_nanos", BigInteger),
        Column("soft_nanos", BigInteger),
        Column("window", Text, nullable=False),
        Column("epoch", BigInteger, nullable=False, server_default="0"),
        Column("changed_at", Float(53), nullable=False),
    )
    op.create_table(
        "budget_counters",
        Column("budget_id", Integer, primary_key=True, autoincrement=False),
        Column("slot", BigInteger, primary_key=True, autoincrement=False),
        Column("spent_nanos", BigInteger, nullable=False),
        Column("reserved_nanos", BigInteger, nullable=False),
        Column("doubt_nanos", BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "ledger_writers",
        Column("id", Integer, primary_key=True),
        Column("name", Text, nullable=False),
        Column("host", Text, nullable=False),
        Column("pid", Integer, nullable=False),
        Column("process_started", Text, nullable=False),
        Column("started_at", Float(53), nullable=False),
        Column("heartbeat_at", Float(53), nullable=False),
        Column("ended_at", Float(53)),
        Column("recovered_at", Float(53)),
        Column("seq", BigInteger, nullable=False),
        Column("open_from", BigInteger, nullable=False),
        Column("head", LargeBinary, nullable=False),
    )
    op.create_table(
        "ledger",
        Column("writer", Integer, primary_key=True, autoincrement=False),
        Column("seq", BigInteger, primary_key=True, autoincrement=False),
        Column("kind", SmallInteger, nullable=False),
        Column("entry", BigInteger, nullable=False),
        Column("at", Float(53), nullable=False),
        Column("run_id", LargeBinary),
        Column("span_id", BigInteger),
        Column("provider", Text),
        Column("target", Text),
        Column("model", Text),
        Column("route", Text),
        Column("key_id", Text),
        Column("team", Text),
        Column("tags", Text),
        Column("booked", Text),
        Column("reserved_nanos", BigInteger),
        Column("cost_nanos", BigInteger),
        Column("saved_nanos", BigInteger),
        Column("input_tokens", BigInteger),
        Column("output_tokens", BigInteger),
        Column("cache_read_tokens", BigInteger),
        Column("cache_write_tokens", BigInteger),
        Column("reasoning_tokens", BigInteger),
        Column("request_id", Text),
        Column("status", Integer),
        Column("error", Text),
        Column("hash", LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_ledger_at", "ledger", ["at"], sqlite_where=text("kind <> 0"), postgresql_where=text("kind <> 0")
    )
    op.create_index(
        "ix_ledger_entry",
        "ledger",
        ["entry"],
        sqlite_where=text("kind IN (1, 2)"),
        postgresql_where=text("kind IN (1, 2)"),
    )
    op.create_table(
        "spend_daily",
        Column("day", Integer, primary_key=True, autoincrement=False),
        Column("team", Text, primary_key=True),
        Column("key_id", Text, primary_key=True),
        Column("target", Text, primary_key=True),
        Column("model", Text, primary_key=True),
        Column("route", Text, primary_key=True),
        Column("calls", BigInteger, nullable=False),
        Column("cost_nanos", BigInteger, nullable=False),
        Column("unpriced", BigInteger, nullable=False),
        Column("doubts", BigInteger, nullable=False),
        Column("doubt_nanos", BigInteger, nullable=False),
        Column("hits", BigInteger, nullable=False),
        Column("saved_nanos", BigInteger, nullable=False),
        Column("errors", BigInteger, nullable=False),
        Column("input_tokens", BigInteger, nullable=False),
        Column("output_tokens", BigInteger, nullable=False),
        Column("cache_read_tokens", BigInteger, nullable=False),
        Column("cache_write_tokens", BigInteger, nullable=False),
        Column("reasoning_tokens", BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Drop them with all they hold."""
    op.drop_table("spend_daily")
    op.drop_table("ledger")
    op.drop_table("ledger_writers")
    op.drop_table("budget_counters")
    op.drop_table("budgets")
