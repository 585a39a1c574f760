"""What a key or a team had spent before its account was kept: a limit given late counts what came before it.

It reads the sums by day, for windows shorter than two days the ledger's rows. Keys and teams are recorded there. Of an
organisation counts what the teams spent that are its own now, of the gateway everything. What a run or any other
account spent before it was made is not known, and neither are calls under way at that moment.
"""

from __future__ import annotations

from tidyllm.money.account import Account
from tidyllm.money.chain import WRITER_SHIFT
from tidyllm.money.sql import Sql

__all__ = ["spent_before"]

_DAY = 86_400
_WHOSE = {
    "key": "key_id = ?",
    "team": "team = ?",
    "org": "team IN (SELECT name FROM teams WHERE organisation = ?)",
}
_EVERYBODY = "gateway"
"""The account at the top of a gateway."""
_MASK = (1 << WRITER_SHIFT) - 1


def spent_before(sql: Sql, account: Account, now: float) -> int:
    """Nano-dollars that are settled or in doubt, of calls that ended in the account's window at `now`.

    Of a rolling window of two days or more its first day counts in full: never too little.
    """
    kind, _, name = account.name.partition(":")
    whose = _WHOSE.get(kind) if name else None
    if account.name == _EVERYBODY:
        whose, names = "1 = 1", ()
    elif whose is None:
        return 0
    else:
        names = (name,)
    first = account.window.first(now)
    if account.window.kind == "rolling" and account.window.seconds < 2 * _DAY:
        statement = (
            "SELECT COALESCE(SUM(COALESCE(s.cost_nanos, CASE WHEN s.kind = 2 THEN s.reserved_nanos END)), 0)"  # noqa: S608 - our own names
            f" FROM ledger AS s JOIN ledger AS i ON i.writer = s.entry >> {WRITER_SHIFT} AND i.seq = s.entry & {_MASK}"
            f" WHERE s.at >= ? AND s.kind <> 0 AND {'' if not names else 'i.'}{whose} AND NOT (s.kind = 2 AND EXISTS"
            " (SELECT 1 FROM ledger AS t WHERE t.entry = s.entry AND t.kind = 1))"
        )
        return int(sql.rows(statement, (float(first), *names))[0][0])
    statement = (
        f"SELECT COALESCE(SUM(cost_nanos + doubt_nanos), 0) FROM spend_daily WHERE day >= ? AND {whose}"  # noqa: S608 - our own names
    )
    return int(sql.rows(statement, (first // _DAY, *names))[0][0])
