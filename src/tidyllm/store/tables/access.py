"""Tables of keys, limits and the audit log. They stand on `metadata`; their revision is in `store/migrations`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Index, Integer, String, Table, Text

from tidyllm.store.tables.metadata import metadata

__all__ = [
    "admin_sessions",
    "audit_log",
    "key_secrets",
    "key_version",
    "keys",
    "limit_windows",
    "organisations",
    "teams",
]

organisations = Table(
    "organisations",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("created_at", Float(53), nullable=False),
    Column("limit_nanos", BigInteger),
    Column("window", String(16), nullable=False),
    Column("soft_nanos", BigInteger),
    Column("settings", Text, nullable=False),  # JSON: what is read whole and never searched
)

teams = Table(
    "teams",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("created_at", Float(53), nullable=False),
    Column("organisation", String(64), ForeignKey("organisations.name")),
    Column("limit_nanos", BigInteger),
    Column("window", String(16), nullable=False),
    Column("soft_nanos", BigInteger),
    Column("settings", Text, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("prefix", String(32), nullable=False),
    Column("owner", String(200)),
    Column("team", String(64), ForeignKey("teams.name")),
    Column("role", String(16)),
    Column("created_at", Float(53), nullable=False),
    Column("expires_at", Float(53)),
    Column("revoked_at", Float(53)),
    Column("rotated_at", Float(53)),
    Column("old_secret_until", Float(53)),
    Column("limit_nanos", BigInteger),
    Column("window", String(16), nullable=False),
    Column("soft_nanos", BigInteger),
    Column("settings", Text, nullable=False),
    Column("version", BigInteger, nullable=False),  # of `key_version`, when it was last changed
    Index("ix_keys_version", "version"),
    Index("ix_keys_team", "team"),
)

key_secrets = Table(
    "key_secrets",
    metadata,
    Column("digest", String(64), primary_key=True),  # sha256 of the whole secret, in hex
    Column("key_id", String(12), ForeignKey("keys.id"), nullable=False),
    Column("created_at", Float(53), nullable=False),
    Column("ends_at", Float(53)),
    Index("ix_key_secrets_key_id", "key_id"),
)

key_version = Table(
    "key_version",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # one row, 1
    Column("version", BigInteger, nullable=False),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),  # 1, 2, 3 … without a gap
    Column("at", Float(53), nullable=False),
    Column("actor", String(200), nullable=False),
    Column("actor_kind", String(16), nullable=False),
    Column("ip", String(64)),
    Column("act", String(64), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("before", Text),
    Column("after", Text),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index("ix_audit_log_subject", "subject"),
)

admin_sessions = Table(
    "admin_sessions",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("role", String(16), nullable=False),
    Column("created_at", Float(53), nullable=False),
    Column("expires_at", Float(53), nullable=False),
    Index("ix_admin_sessions_expires_at", "expires_at"),
)

limit_windows = Table(
    "limit_windows",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("state", Text, nullable=False),  # JSON of `access.window.Window`
)
