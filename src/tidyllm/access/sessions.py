"""Sessions of people who signed on. It knows the store, not cookies.

The secret of a session is stored hashed, as those of keys are. Against requests that another site makes a browser send,
each session has a token that only its own pages can read; it follows from the secret and is not stored.
"""

from __future__ import annotations

import secrets
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from tidyllm import clock
from tidyllm.access.audit import record
from tidyllm.access.roles import Actor, Role
from tidyllm.access.secret import digest

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from tidyllm.access.sso import Person
    from tidyllm.store import Store

__all__ = ["Session", "Sessions", "csrf_token"]


class Session(msgspec.Struct, frozen=True):
    """Who signed on, and until when."""

    name: str
    role: Role
    expires_at: float


def csrf_token(secret: str) -> str:
    """What a page must send along to show that it can read this session's answers."""
    return sha256(f"csrf of {secret}".encode()).hexdigest()


class Sessions:
    """Sessions by their secrets. `seconds`: how long one lasts; a role that is taken away ends with it. 8 hours."""

    def __init__(self, store: Store, *, seconds: float = 8 * 3600.0) -> None:
        self._store = store
        self.seconds = seconds

    async def begin(self, person: Person, *, ip: str | None = None) -> str:
        """A new session; returns its secret. Written to the audit log."""
        secret = secrets.token_urlsafe(32)
        actor = Actor(name=person.name, kind="sso", role=person.role, ip=ip)

        def work(conn: Connection) -> None:
            import sqlalchemy as sa

            from tidyllm.store.tables.access import admin_sessions as table

            now = clock.now()
            conn.execute(sa.delete(table).where(table.c.expires_at <= now))
            row = {"name": person.name, "role": person.role.value, "created_at": now}
            conn.execute(sa.insert(table).values(digest=digest(secret), expires_at=now + self.seconds, **row))
            told = {"subject": person.subject, "role": person.role.value}
            record(conn, actor, "session.begin", f"session:{person.name}"[:200], after=told)

        await self._store.write(work)
        return secret

    async def find(self, secret: str) -> Session | None:
        """The session with this secret, if it is not over."""

        def work(conn: Connection) -> Session | None:
            import sqlalchemy as sa

            from tidyllm.store.tables.access import admin_sessions as table

            row = conn.execute(sa.select(table).where(table.c.digest == digest(secret))).mappings().first()
            if row is None or row["expires_at"] <= clock.now():
                return None
            return Session(row["name"], Role(row["role"]), row["expires_at"])

        return await self._store.read(work)

    async def end(self, secret: str, *, by: Actor) -> None:
        """The session is over. Written to the audit log, if there was one."""

        def work(conn: Connection) -> None:
            import sqlalchemy as sa

            from tidyllm.store.tables.access import admin_sessions as table

            ended = conn.execute(sa.delete(table).where(table.c.digest == digest(secret)))
            if ended.rowcount:
                record(conn, by, "session.end", f"session:{by.name}"[:200])

        await self._store.write(work)
