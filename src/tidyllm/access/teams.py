"""Acts on teams and organisations. It knows the store, the audit log and who may do what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidyllm import clock
from tidyllm.access.audit import record
from tidyllm.access.fields import checked, is_name
from tidyllm.access.key import Organisation, Team, plain
from tidyllm.access.problems import Conflict, Missing
from tidyllm.access.rows import organisation_of, row_of, spec_of, team_of
from tidyllm.access.specs import OrganisationChange, OrganisationSpec, TeamChange, TeamSpec, laid_over

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from tidyllm.access.roles import Actor
    from tidyllm.store import Store

__all__ = ["Organisations", "Teams", "find_organisation", "find_team", "next_version"]


class Teams:
    """Teams by name. Each act is one transaction together with its line in the audit log, and is for admins."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def create(self, spec: TeamSpec, *, by: Actor) -> Team:
        """A new team.

        :raises ConfigError: a field is wrong. :raises Conflict: the name is taken, or its organisation is missing.
        """
        by.must("teams")
        spec = checked(spec)

        def work(conn: Connection) -> Team:
            import sqlalchemy as sa

            from tidyllm.store.tables.access import teams

            if find_team(conn, spec.name) is not None:
                raise Conflict(f"there is a team {spec.name!r} already.", where="name")
            _need_organisation(conn, spec.organisation)
            now = clock.now()
            row = row_of(spec, now=now, generation=_generation(conn, "team", spec.name))
            conn.execute(sa.insert(teams).values(created_at=now, **row))
            team = _team(conn, spec.name)
            record(conn, by, "team.create", f"team:{team.name}", after=plain(team))
            return team

        return await self._store.write(work)

    async def list(self) -> list[Team]:
        """All teams, by name."""

        def work(conn: Connection) -> list[Team]:
            import sqlalchemy as sa

            from tidyllm.store.tables.access import teams

            return [team_of(row) for row in conn.execute(sa.select(teams).order_by(teams.c.name)).mappings()]

        return await self._store.read(work)

    async def show(self, name: str) -> Team:
        """:raises Missing: there is no such team."""
        return await self._store.read(lambda conn: _team(conn, name))

    async def update(self, name: str, change: TeamChange, *, by: Actor) -> Team:
        """Its keys follow within a second.

        :raises Missing: there is no such team. :raises ConfigError: a field is wrong.
        """
        by.must("teams")

        def work(conn: Connection) -> Team:
            import sqlalchemy as sa

            from tidyllm.store.tables.access import keys, teams

            before = _team(conn, name)
            spec = checked(laid_over(spec_of(before, TeamSpec), change))
            _need_organisation(conn, spec.organisation)
            row = row_of(spec, now=clock.now(), generation=before.generation)
            conn.execute(sa.update(teams).where(teams.c.name == name).values(**row))
            version = next_version(conn)
            conn.execute(sa.update(keys).where(keys.c.team == name).values(version=version))
            after = _team(conn, name)
            record(conn, by, "team.update", f"team:{name}", before=plain(before), after=plain(after))
            return after

        return await self._store.write(work)

    async def delete(self, name: str, *, by: Actor) -> None:
        """:raises Missing: there is no such team. :raises Conflict: there are keys in it, be they revoked or not."""

        by.must("teams")

        def work(conn: Connection) -> None:
            import sqlalchemy as sa

            from tidyllm.store.tables.access import keys, teams

            before = _team(conn, name)
            held = conn.execute(sa.select(sa.func.count()).where(keys.c.team == name)).scalar_one()
            if held:
                raise Conflict(
                    f"the team {name!r} has {held} keys.",
                    where="name",
                    hint="Move them to another team: their spending is still told under this one.",
                )
            conn.execute(sa.delete(teams).where(teams.c.name == name))
            record(conn, by, "team.delete", f"team:{name}", before=plain(before))

        await self._store.write(work)


class Organisations:
    """Organisations by name. What is said of `Teams` holds here."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def create(self, spec: OrganisationSpec, *, by: Actor) -> Organisation:
        """:raises ConfigError: a field is wrong. :raises Conflict: the name is taken."""
        by.must("organisations")
        spec = checked(spec)

        def work(conn: Connection) -> Organisation:
            import sqlalchemy as sa

            from tidyllm.store.tables.access import organisations as table

            if find_organisation(conn, spec.name) is not None:
                raise Conflict(f"there is an organisation {spec.name!r} already.", where="name")
            now = clock.now()
            row = row_of(spec, now=now, generation=_generation(conn, "organisation", spec.name))
            conn.execute(sa.insert(table).values(created_at=now, **row))
            after = _organisation(conn, spec.name)
            record(conn, by, "organisation.create", f"organisation:{after.name}", after=plain(after))
            return after

        return await self._store.write(work)

    async def list(self) -> list[Organisation]:
        """All organisations, by name."""

        def work(conn: Connection) -> list[Organisation]:
            import sqlalchemy as sa

            from tidyllm.store.tables.access import organisations as table

            rows = conn.execute(sa.select(table).order_by(table.c.name)).mappings()
            return [organisation_of(row) for row in rows]

        return await self._store.read(work)

    async def show(self, name: str) -> Organisation:
        """:raises Missing: there is no such organisation."""
        return await self._store.read(lambda conn: _organisation(conn, name))

    async def update(self, name: str, change: OrganisationChange, *, by: Actor) -> Organisation:
        """The keys of its teams follow within a second.

        :raises Missing: there is no such organisation. :raises ConfigError: a field is wrong.
        """
        by.must("organisations")

        def work(conn: Connection) -> Organisation:
            import sqlalchemy as sa

            from tidyllm.store.tables.access import keys, teams
            from tidyllm.store.tables.access import organisations as table

            before = _organisation(conn, name)
            spec = checked(laid_over(spec_of(before, OrganisationSpec), change))
            row = row_of(spec, now=clock.now(), generation=before.generation)
            conn.execute(sa.update(table).where(table.c.name == name).values(**row))
            version = next_version(conn)
            of_it = sa.select(teams.c.name).where(teams.c.organisation == name)
            conn.execute(sa.update(keys).where(keys.c.team.in_(of_it)).values(version=version))
            after = _organisation(conn, name)
            record(
                conn,
                by,
                "organisation.update",
                f"organisation:{name}",
                before=plain(before),
                after=plain(after),
            )
            return after

        return await self._store.write(work)

    async def delete(self, name: str, *, by: Actor) -> None:
        """:raises Missing: there is no such organisation. :raises Conflict: there are teams in it."""

        by.must("organisations")

        def work(conn: Connection) -> None:
            import sqlalchemy as sa

            from tidyllm.store.tables.access import organisations as table
            from tidyllm.store.tables.access import teams

            before = _organisation(conn, name)
            held = conn.execute(sa.select(sa.func.count()).where(teams.c.organisation == name)).scalar_one()
            if held:
                raise Conflict(
                    f"the organisation {name!r} has {held} teams.", where="name", hint="Move them first."
                )
            conn.execute(sa.delete(table).where(table.c.name == name))
            record(conn, by, "organisation.delete", f"organisation:{name}", before=plain(before))

        await self._store.write(work)


def next_version(conn: Connection) -> int:
    """The version of a change of keys. It is taken until the transaction ends: versions become visible in order."""
    import sqlalchemy as sa

    from tidyllm.store.tables.access import key_version as table

    conn.execute(sa.update(table).values(version=table.c.version + 1))
    return conn.execute(sa.select(table.c.version)).scalar_one()


def find_team(conn: Connection, name: str) -> Team | None:
    """The team of this name, if there is one."""
    import sqlalchemy as sa

    from tidyllm.store.tables.access import teams

    query = sa.select(teams).where(teams.c.name == name)
    row = conn.execute(query).mappings().first() if is_name(name) else None
    return None if row is None else team_of(row)


def _team(conn: Connection, name: str) -> Team:
    team = find_team(conn, name)
    if team is None:
        raise _missing("team", name)
    return team


def find_organisation(conn: Connection, name: str) -> Organisation | None:
    """The organisation of this name, if there is one."""
    import sqlalchemy as sa

    from tidyllm.store.tables.access import organisations as table

    query = sa.select(table).where(table.c.name == name)
    row = conn.execute(query).mappings().first() if is_name(name) else None
    return None if row is None else organisation_of(row)


def _organisation(conn: Connection, name: str) -> Organisation:
    organisation = find_organisation(conn, name)
    if organisation is None:
        raise _missing("organisation", name)
    return organisation


def _need_organisation(conn: Connection, name: str | None) -> None:
    if name is not None and find_organisation(conn, name) is None:
        raise Conflict(f"there is no organisation {name!r}.", where="organisation", hint="Create it first.")


def _generation(conn: Connection, kind: str, name: str) -> int:
    """How many have had this name, with the one that is about to be made: the audit log knows who was deleted."""
    import sqlalchemy as sa

    from tidyllm.store.tables.access import audit_log

    deleted = sa.and_(audit_log.c.subject == f"{kind}:{name}", audit_log.c.act == f"{kind}.delete")
    return 1 + conn.execute(sa.select(sa.func.count()).where(deleted)).scalar_one()


def _missing(kind: str, name: Any) -> Missing:
    return Missing(f"there is no {kind} {str(name)[:100]!r}.", where=kind)
