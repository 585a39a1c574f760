"""The log of administrative acts: who did what, and how it was before and after. It knows no acts of its own.

It only grows: triggers in the database refuse to change or delete a row. Each row carries a hash over its content and
over the hash before it, so that a change made behind the triggers' back shows. What the chain cannot show is that its
newest rows were cut off; keep `Chain.head` elsewhere from time to time to see that as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from tidyllm import clock

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping

    from tidyllm.access.roles import Actor
    from tidyllm.store import Store

__all__ = ["AuditLog", "Chain", "Entry", "record"]

_START = "0" * 64
_PAGE = 1000


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One act. `before` and `after` are the thing without its secrets; `before` is None for a new one."""

    seq: int
    at: float
    actor: str
    actor_kind: str
    ip: str | None
    act: str
    """`key.create`, `key.update`, `key.rotate`, `key.revoke`, `team.create`, `session.begin`, …"""
    subject: str
    """`key:ID`, `team:NAME`, `organisation:NAME`, `session:NAME`."""
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    hash: str


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """What checking the whole log found."""

    rows: int
    head: str
    """The hash of the newest row."""
    broken: str | None = None
    """What is wrong with the first row that is not as it was written; None when all are."""


def record(
    conn: Connection,
    actor: Actor,
    act: str,
    subject: str,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write an act down, in the transaction that does it: either both happen or neither."""
    import sqlalchemy as sa

    from tidyllm.store.tables.access import audit_log as log

    # The store lets one work at a time write, in all processes: nobody else follows the same row.
    last = conn.execute(sa.select(log.c.seq, log.c.hash).order_by(log.c.seq.desc()).limit(1)).first()
    row: dict[str, Any] = {
        "seq": last[0] + 1 if last else 1,
        "at": clock.now(),
        "actor": actor.name[:200],
        "actor_kind": actor.kind,
        "ip": actor.ip,
        "act": act,
        "subject": subject,
        "before": _text(before),
        "after": _text(after),
        "previous": last[1] if last else _START,
    }
    conn.execute(sa.insert(log).values(**row, hash=_hash(row)))


def _text(thing: Mapping[str, Any] | None) -> str | None:
    return None if thing is None else msgspec.json.encode(thing, order="sorted").decode()


_HASHED = ("seq", "at", "actor", "actor_kind", "ip", "act", "subject", "before", "after", "previous")


def _hash(row: Mapping[str, Any]) -> str:
    return sha256(msgspec.json.encode([row[name] for name in _HASHED])).hexdigest()


class AuditLog:
    """Reads the log. Writing it is part of each act."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list(
        self,
        *,
        limit: int = 100,
        before: int | None = None,
        actor: str | None = None,
        act: str | None = None,
        subject: str | None = None,
    ) -> list[Entry]:
        """The newest entries first, at most `limit`; `before`: only those with a smaller `seq`, for the next page."""

        def work(conn: Connection) -> list[Entry]:
            import sqlalchemy as sa

            from tidyllm.store.tables.access import audit_log as log

            query = sa.select(log).order_by(log.c.seq.desc()).limit(limit)
            if before is not None:
                query = query.where(log.c.seq < before)
            for column, wanted in ((log.c.actor, actor), (log.c.act, act), (log.c.subject, subject)):
                if wanted is not None:
                    query = query.where(column == wanted)
            return [_entry(row) for row in conn.execute(query).mappings()]

        return await self._store.read(work)

    async def verify(self) -> Chain:
        """Follow the chain from the first row to the newest. It reads all of them, a thousand at a time."""
        rows, head = 0, _START
        while True:
            page = await self._store.read(lambda conn, after=rows: _after(conn, after))
            for row in page:
                rows += 1
                if row["seq"] != rows:
                    return Chain(rows=rows - 1, head=head, broken=f"row {rows} is missing")
                if row["previous"] != head or _hash(row) != row["hash"]:
                    return Chain(rows=rows - 1, head=head, broken=f"row {rows} is not as it was written")
                head = row["hash"]
            if len(page) < _PAGE:
                return Chain(rows=rows, head=head)


def _after(conn: Connection, seq: int) -> list[dict[str, Any]]:
    import sqlalchemy as sa

    from tidyllm.store.tables.access import audit_log as log

    query = sa.select(log).where(log.c.seq > seq).order_by(log.c.seq).limit(_PAGE)
    return [dict(row) for row in conn.execute(query).mappings()]


def _entry(row: RowMapping) -> Entry:
    values = {name: row[name] for name in Entry.__struct_fields__}
    for name in ("before", "after"):
        values[name] = None if row[name] is None else msgspec.json.decode(row[name])
    return Entry(**values)
