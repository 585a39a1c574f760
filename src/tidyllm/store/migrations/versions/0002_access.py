"""The tables of `store/tables/access.py`, and triggers that keep the audit log append-only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002_access"
down_revision = "0001_money"
branch_labels = None
depends_on = None


def _budget() -> list[sa.Column[object]]:
    return [
        sa.Column("limit_nanos", sa.BigInteger()),
        sa.Column("window", sa.String(16), nullable=False),
        sa.Column("soft_nanos", sa.BigInteger()),
        sa.Column("settings", sa.Text(), nullable=False),
    ]


def upgrade() -> None:
    """Create what this revision adds."""
    op.create_table(
        "organisations",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        *_budget(),
        sa.PrimaryKeyConstraint("name", name="pk_organisations"),
    )
    op.create_table(
        "teams",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("organisation", sa.String(64)),
        *_budget(),
        sa.PrimaryKeyConstraint("name", name="pk_teams"),
        sa.ForeignKeyConstraint(["organisation"], ["organisations.name"], name="fk_teams_organisation"),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.String(12), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("prefix", sa.String(32), nullable=False),
        sa.Column("owner", sa.String(200)),
        sa.Column("team", sa.String(64)),
        sa.Column("role", sa.String(16)),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("expires_at", sa.Float(53)),
        sa.Column("revoked_at", sa.Float(53)),
        sa.Column("rotated_at", sa.Float(53)),
        sa.Column("old_secret_until", sa.Float(53)),
        *_budget(),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
        sa.ForeignKeyConstraint(["team"], ["teams.name"], name="fk_keys_team"),
    )
    op.create_index("ix_keys_version", "keys", ["version"])
    op.create_index("ix_keys_team", "keys", ["team"])
    op.create_table(
        "key_secrets",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("key_id", sa.String(12), nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("ends_at", sa.Float(53)),
        sa.PrimaryKeyConstraint("digest", name="pk_key_secrets"),
        sa.ForeignKeyConstraint(["key_id"], ["keys.id"], name="fk_key_secrets_key_id"),
    )
    op.create_index("ix_key_secrets_key_id", "key_secrets", ["key_id"])
    version = op.create_table(
        "key_version",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_key_version"),
    )
    op.bulk_insert(version, [{"id": 1, "version": 0}])
    op.create_table(
        "audit_log",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("actor_kind", sa.String(16), nullable=False),
        sa.Column("ip", sa.String(64)),
        sa.Column("act", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("before", sa.Text()),
        sa.Column("after", sa.Text()),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit_log"),
    )
    op.create_index("ix_audit_log_subject", "audit_log", ["subject"])
    op.create_table(
        "admin_sessions",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("expires_at", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_admin_sessions"),
    )
    op.create_index("ix_admin_sessions_expires_at", "admin_sessions", ["expires_at"])
    op.create_table(
        "limit_windows",
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_limit_windows"),
    )
    _append_only()


def _append_only() -> None:
    """Whoever can change the audit log must first drop a trigger, and then the chain of hashes tells."""
    if op.get_bind().dialect.name == "sqlite":
        for what in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_log_no_{what.lower()} BEFORE {what} ON audit_log "
                "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_log_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_log_refuse()"
    )


def downgrade() -> None:
    """Drop what this revision added."""
    for table in (
        "limit_windows",
        "admin_sessions",
        "audit_log",
        "key_version",
        "key_secrets",
        "keys",
        "teams",
        "organisations",
    ):
        op.drop_table(table)
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION audit_log_refuse()")
