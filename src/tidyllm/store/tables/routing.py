"""Tables of routing: what came of calls, as told by whoever can judge. They stand on `metadata`; their revision lies in
`store/migrations/versions`. Times are seconds since 1970, money is whole nano-dollars.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, Table, Text

from tidyllm.store.tables.metadata import metadata

__all__ = ["outcomes"]

outcomes = Table(
    "outcomes",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", Float(53), nullable=False),
    # Which answer is judged: a run of ours, or an id of the caller's; a second verdict on it replaces the first.
    Column("run_id", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("quality", Float(53), nullable=False),
    Column("cost_nanos", BigInteger),
    # The experiment, its arm and whom it stuck to (hashed); all three or none.
    Column("experiment", Text),
    Column("arm", Text),
    Column("sticky", Text),
    # Only where the operator allows content to be kept.
    Column("prompt", Text),
    Column("kind", Text),
    Column("key_id", Text),
    Index("ix_outcomes_run_id_route", "run_id", "route", unique=True),
    Index("ix_outcomes_experiment_at", "experiment", "at"),
    Index("ix_outcomes_at", "at"),
)
