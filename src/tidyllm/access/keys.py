"""Acts on virtual keys, and finding one by its secret. It knows the store, the audit log and who may do what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidyllm import clock
from tidyllm.access.audit import record
from tidyllm.access.fields import checked
from tidyllm.access.key import Key, State, plain
from tidyllm.access.lookup import Lookup
from tidyllm.access.problems import Conflict, Missing
from tidyllm.access.rows import key_of, row_of, spec_of, team_of
from tidyllm.access.secret import ID, digest, new_id, new_secret, prefix
from tidyllm.access.specs import KeyChange, KeySpec, laid_over
from tidyllm.access.teams import find_team, next_version
from tidyllm.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from tidyllm.access.roles import Actor
    from tidyllm.store import Store

__all__ = ["LONGEST_OVERLAP", "Keys"]

LONGEST_OVERLAP = 30 * 86400
"""Seconds. Two secrets for longer than a month are two keys."""


class Keys:
    """Virtual keys by id. Each act is one transaction together with its line in the audit log.

    Every act may raise `Forbidden`: `by` has no role for it. Keys with a role are for admins alone.

    `lookup`: how secrets are found, and how long what was found is believed; see `Lookup`.
    """

    def __init__(self, store: Store, *, lookup: Lookup | None = None) -> None:
        self._store = store
        self.lookup = Lookup(store) if lookup is None else lookup

    async def find(self, secret: str) -> Key:
        """The key that this secret opens.

        :raises AuthError: there is none, or it is revoked or expired.
        :raises StoreDown: it is not known here and the store cannot be asked.
        """
        return await self.lookup.find(secret)

    async def create(self, spec: KeySpec, *, by: Actor) -> tuple[Key, str]:
        """A new key and its secret, which is never shown again: only its hash is kept.

        :raises ConfigError: a field is wrong. :raises Conflict: its team is missing.
        """
        by.must("keys" if spec.role is None else "roles")
        spec = checked(spec)
        key_id = new_id()
        secret = new_secret(key_id)

        def work(conn: Connection) -> Key:
            import sqlalchemy as sa

            from tidyllm.store.tables.access import key_secrets, keys

            _need_team(conn, spec.team)
            now = clock.now()
            fixed = {"id": key_id, "prefix": prefix(secret), "created_at": now, "version": next_version(conn)}
            conn.execute(sa.insert(keys).values(**row_of(spec, now=now), **fixed))
            conn.execute(sa.insert(key_secrets).values(digest=digest(secret), key_id=key_id, created_at=now))
            key = _key(conn, key_id)
            record(conn, by, "key.create", f"key:{key_id}", after=plain(key))
            return key

        return await self._store.write(work), secret

    async def list(
        self,
        *,
        team: str | None = None,
        owner: str | None = None,
        state: State | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> list[Key]:
        """Keys by id, at most `limit`; `after`: only those behind this id, for the next page."""

        def work(conn: Connection) -> list[Key]:
            import sqlalchemy as sa

            from tidyllm.store.tables.access import keys, teams

            query = sa.select(keys).order_by(keys.c.id).limit(limit)
            if team is not None:
                query = query.where(keys.c.team == team)
            if owner is not None:
                query = query.where(keys.c.owner == owner)
            if after is not None:
                query = query.where(keys.c.id > after)
            if state is not None:
                query = query.where(_in_state(state, clock.now()))
            rows = conn.execute(query).mappings().all()
            names = {row["team"] for row in rows} - {None}
            found = conn.execute(sa.select(teams).where(teams.c.name.in_(names))).mappings() if names else ()
            by_name = {row["name"]: team_of(row) for row in found}
            return [key_of(row, by_name.get(row["team"])) for row in rows]

        return await self._store.read(work)

    async def show(self, key_id: str) -> Key:
        """:raises Missing: there is no such key."""
        return await self._store.read(lambda conn: _key(conn, key_id))

    async def update(self, key_id: str, change: KeyChange, *, by: Actor) -> Key:
        """:raises Missing: there is no such key, :raises Conflict: it is revoked, or its new team is missing.

        :raises ConfigError: a field is wrong.
        """

        def work(conn: Connection) -> Key:
            before = _alive(conn, key_id, by)
            by.must("roles" if change.role else "keys")
            spec = checked(laid_over(spec_of(before, KeySpec), change))
            _need_team(conn, spec.team)
            row = row_of(spec, now=clock.now())
            if change.expires_in_seconds is None:
                row["expires_at"] = None
            return _changed(conn, before, row, by, "key.update")

        return await self._store.write(work)

    async def rotate(self, key_id: str, *, by: Actor, overlap_seconds: int = 0) -> tuple[Key, str]:
        """A new secret for the same key; the one before is good for another `overlap_seconds`.

        :raises Missing: there is no such key.
        :raises Conflict: it is revoked, or the overlap of the last rotation still runs: a third secret would be good.
        :raises ConfigError: the overlap is negative or longer than 30 days.
        """
        if isinstance(overlap_seconds, bool) or not 0 <= overlap_seconds <= LONGEST_OVERLAP:
            raise ConfigError(
                f"{overlap_seconds!r} is not allowed; it must be from 0 to {LONGEST_OVERLAP:,} (30 days).",
                where="overlap_seconds",
            )
        secret = new_secret(key_id)

        def work(conn: Connection) -> Key:
            import sqlalchemy as sa

            from tidyllm.store.tables.access import key_secrets as table

            before = _alive(conn, key_id, by)
            now = clock.now()
            if before.old_secret_until is not None and before.old_secret_until > now:
                left = before.old_secret_until - now
                raise Conflict(
                    f"the key {key_id} was rotated before, and both of its secrets are good for another {left:.0f} s.",
                    where="overlap_seconds",
                    hint="Rotate it after that, or revoke the key if a secret is known to others.",
                )
            conn.execute(sa.delete(table).where(table.c.key_id == key_id, table.c.ends_at <= now))
            ends = now + overlap_seconds
            conn.execute(sa.update(table).where(table.c.key_id == key_id).values(ends_at=ends))
            conn.execute(sa.insert(table).values(digest=digest(secret), key_id=key_id, created_at=now))
            row = {
                "prefix": prefix(secret),
                "rotated_at": now,
                "old_secret_until": ends if overlap_seconds else None,
            }
            return _changed(conn, before, row, by, "key.rotate")

        return await self._store.write(work), secret

    async def revoke(self, key_id: str, *, by: Actor) -> Key:
        """The key opens nothing any more, in every process within a second. A revoked one stays revoked.

        :raises Missing: there is no such key.
        """

        def work(conn: Connection) -> Key:
            before = _key(conn, key_id)
            by.must("keys" if before.role is None else "roles")
            if before.revoked_at is not None:
                return before
            row = {"revoked_at": clock.now(), "old_secret_until": None}
            return _changed(conn, before, row, by, "key.revoke")

        return await self._store.write(work)


def _in_state(state: State, now: float) -> Any:
    from sqlalchemy import and_, or_

    from tidyllm.store.tables.access import keys

    if state == "revoked":
        return keys.c.revoked_at.is_not(None)
    if state == "expired":
        return and_(keys.c.revoked_at.is_(None), keys.c.expires_at <= now)
    return and_(keys.c.revoked_at.is_(None), or_(keys.c.expires_at.is_(None), keys.c.expires_at > now))


def _key(conn: Connection, key_id: str) -> Key:
    import sqlalchemy as sa

    from tidyllm.store.tables.access import keys

    query = sa.select(keys).where(keys.c.id == key_id)
    # What cannot be an id is not asked for: Postgres has no text with a NUL in it.
    row = conn.execute(query).mappings().first() if ID.fullmatch(key_id) else None
    if row is None:
        raise Missing(f"there is no key {key_id[:100]!r}.", where="key")
    return key_of(row, None if row["team"] is None else find_team(conn, row["team"]))


def _alive(conn: Connection, key_id: str, by: Actor) -> Key:
    key = _key(conn, key_id)
    by.must("keys" if key.role is None else "roles")
    if key.revoked_at is not None:
        raise Conflict(f"the key {key_id} is revoked.", where="key", hint="Create a new one.")
    return key


def _changed(conn: Connection, before: Key, row: dict[str, Any], by: Actor, act: str) -> Key:
    import sqlalchemy as sa

    from tidyllm.store.tables.access import keys

    version = next_version(conn)
    conn.execute(sa.update(keys).where(keys.c.id == before.id).values(**row, version=version))
    after = _key(conn, before.id)
    record(conn, by, act, f"key:{before.id}", before=plain(before), after=plain(after))
    return after


def _need_team(conn: Connection, name: str | None) -> None:
    if name is not None and find_team(conn, name) is None:
        raise Conflict(f"there is no team {name!r}.", where="team", hint="Create it first.")
