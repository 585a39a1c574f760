"""What a key or a team had spent before its account was kept: a limit given late counts what came before it.

It reads the sums by day, for windows shorter than two days the ledger's rows. Only keys and teams are recorded there:
what an organisation, a run or any other account spent before it was made is not known, and neither are calls under
way at that moment.
"""

from __future__ import annotations

from tidyllm.money.account import Account
from tidyllm.money.chain import WRITER_SHIFT
from tidyllm.money.sql import Sql

__all__ = ["spent_before"]

_DAY = 86_400
_COLUMNS = {"key": "key_id", "team": "team"}
_MASK = (1 << WRITER_SHIFT) - 1


def spent_before(sql: Sql, account: Account, now: float) -> int:
    """Nano-dollars that are settled or in doubt, of calls that ended in the account's window at `now`.

    Of a rolling window of two days or more its first day counts in full: never too little.
    """
    kind, _, name = account.name.partition(":")
    column = _COLUMNS.get(kind)
    if column is None or not name:
        return 0
    first = account.window.first(now)
    if account.window.kind == "rolling" and account.window.seconds < 2 * _DAY:
        statement = (
            "SELECT COALESCE(SUM(COALESCE(s.cost_nanos, CASE WHEN s.kind = 2 THEN s.reserved_nanos END)), 0)"  # noqa: S608 - our own names
            f" FROM ledger AS s JOIN ledger AS i ON i.writer = s.entry >> {WRITER_SHIFT} AND i.seq = s.entry & {_MASK}"
            f" WHERE s.at >= ? AND s.kind <> 0 AND i.{column} = ? AND NOT (s.kind = 2 AND EXISTS"
            " (SELECT 1 FROM ledger AS t WHERE t.entry = s.entry AND t.kind = 1))"
        )
        return int(sql.rows(statement, (float(first), name))[0][0])
    statement = (
        f"SELECT COALESCE(SUM(cost_nanos + doubt_nanos), 0) FROM spend_daily WHERE day >= ? AND {column} = ?"  # noqa: S608 - our own names
    )
    return int(sql.rows(statement, (first // _DAY, name))[0][0])
