"""How a test changes a ledger, which its database refuses otherwise."""

from __future__ import annotations

from sqlalchemy import Connection

__all__ = ["let_it_change"]


def let_it_change(connection: Connection) -> None:
    """Drop the triggers that keep the ledger append-only."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("DROP TRIGGER ledger_no_change ON ledger")
        return
    for what in ("update", "delete"):
        connection.exec_driver_sql(f"DROP TRIGGER ledger_no_{what}")
