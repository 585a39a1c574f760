"""Tables of budgets and the ledger. They stand on `metadata`; their revision lies in `store/migrations/versions`.

Money is whole nano-dollars, times are seconds since 1970. `ledger` is only ever added to.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    text,
)

from tidyllm.store.tables.metadata import metadata

__all__ = ["budget_counters", "budgets", "ledger", "ledger_writers", "spend_daily"]

# `epoch`: nano-dollars that its counters were given at once, of calls that ended before the account was kept.
budgets = Table(
    "budgets",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("parent_id", Integer),
    Column("limit_nanos", BigInteger),
    Column("soft_nanos", BigInteger),
    Column("window", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    Column("changed_at", Float(53), nullable=False),
)

budget_counters = Table(
    "budget_counters",
    metadata,
    Column("budget_id", Integer, primary_key=True, autoincrement=False),
    Column("slot", BigInteger, primary_key=True, autoincrement=False),
    Column("spent_nanos", BigInteger, nullable=False),
    Column("reserved_nanos", BigInteger, nullable=False),
    Column("doubt_nanos", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

ledger_writers = Table(
    "ledger_writers",
    metadata,
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

# The order of the columns is the order in which a row is hashed: new ones go to the end, before `hash`.
ledger = Table(
    "ledger",
    metadata,
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
    Index("ix_ledger_at", "at", sqlite_where=text("kind <> 0"), postgresql_where=text("kind <> 0")),
    Index(
        "ix_ledger_entry",
        "entry",
        sqlite_where=text("kind IN (1, 2)"),
        postgresql_where=text("kind IN (1, 2)"),
    ),
    sqlite_with_rowid=False,
)

spend_daily = Table(
    "spend_daily",
    metadata,
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
    Column("provider_saved_nanos", BigInteger, nullable=False, server_default="0"),
    sqlite_with_rowid=False,
)
