"""Triggers that keep the ledger append-only, as those of the audit log do."""

from __future__ import annotations

from alembic import op

revision = "0006_ledger_triggers"
down_revision = "0005_provider_cache"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Whoever can change the ledger must first drop a trigger, and then the chains of hashes tell."""
    if op.get_bind().dialect.name == "sqlite":
        for what in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER ledger_no_{what.lower()} BEFORE {what} ON ledger "
                "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER ledger_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger "
        "FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse()"
    )


def downgrade() -> None:
    """Drop them."""
    if op.get_bind().dialect.name == "sqlite":
        for what in ("update", "delete"):
            op.execute(f"DROP TRIGGER ledger_no_{what}")
        return
    op.execute("DROP TRIGGER ledger_no_change ON ledger")
    op.execute("DROP FUNCTION ledger_refuse()")
