"""How an account stands in the store now. It reads counters and decides nothing."""

from __future__ import annotations

from sqlalchemy import Connection

from tidyllm.money.account import Account
from tidyllm.money.nanos import from_nanos
from tidyllm.money.sql import native
from tidyllm.money.till import Standing

__all__ = ["standing_of"]

_READ = (
    "SELECT CAST(COALESCE(SUM(spent_nanos + doubt_nanos), 0) AS BIGINT),"
    " CAST(COALESCE(SUM(reserved_nanos), 0) AS BIGINT)"
    " FROM budget_counters JOIN budgets ON budgets.id = budget_counters.budget_id WHERE name = ? AND slot "
)


def standing_of(connection: Connection, account: Account, now: float) -> Standing:
    """Limit, spent, reserved and window of `account` at `now`."""
    statement = native(connection, f"{_READ}{account.window.reads} ?")
    spent, reserved = connection.exec_driver_sql(statement, (account.name, account.window.first(now))).one()
    return Standing(
        account.name,
        None if account.limit is None else from_nanos(account.limit),
        from_nanos(spent),
        from_nanos(reserved),
        str(account.window),
        account.window.ends(account.window.slot(now)),
    )
