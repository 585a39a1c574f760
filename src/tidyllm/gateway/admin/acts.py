"""The operations on keys, teams, organisations and the audit log. It parses, calls `access`, and answers."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from tidyllm.access import (
    AuditLog,
    Key,
    KeyChange,
    Keys,
    KeySpec,
    Organisation,
    OrganisationChange,
    Organisations,
    OrganisationSpec,
    Team,
    TeamChange,
    Teams,
    TeamSpec,
)
from tidyllm.access.key import plain
from tidyllm.gateway.admin import shapes
from tidyllm.gateway.admin.answers import HEADERS, answer
from tidyllm.gateway.admin.asked import AuditQuery, KeysQuery, Rotation, body, given, query
from tidyllm.gateway.admin.identity import Asker
from tidyllm.gateway.admin.operation import Handler, Operation

__all__ = ["audit_operations", "key_operations", "organisation_operations", "team_operations"]


def _who(asker: Asker | None) -> Asker:
    assert asker is not None  # the operation is not open
    return asker


def key_operations(keys: Keys) -> list[Operation]:
    """Keys under `/admin/v1/keys`."""

    async def listed(request: Request, asker: Asker | None) -> Response:
        _who(asker).actor.must("read")
        asked = query(request, KeysQuery)
        found = await keys.list(**given(asked))
        more = found[-1].id if len(found) == asked.limit else None
        return answer({"data": [plain(key) for key in found], "next": more})

    async def create(request: Request, asker: Asker | None) -> Response:
        key, secret = await keys.create(await body(request, KeySpec), by=_who(asker).actor)
        told = {"key": plain(key), "secret": secret}
        return answer(told, status=201, headers={"location": f"/admin/v1/keys/{key.id}"})

    async def show(request: Request, asker: Asker | None) -> Response:
        _who(asker).actor.must("read")
        return answer(plain(await keys.show(request.path_params["key_id"])))

    async def update(request: Request, asker: Asker | None) -> Response:
        change = await body(request, KeyChange)
        return answer(plain(await keys.update(request.path_params["key_id"], change, by=_who(asker).actor)))

    async def rotate(request: Request, asker: Asker | None) -> Response:
        overlap = (await body(request, Rotation)).overlap_seconds
        key, secret = await keys.rotate(
            request.path_params["key_id"], by=_who(asker).actor, overlap_seconds=overlap
        )
        return answer({"key": plain(key), "secret": secret})

    async def revoke(request: Request, asker: Asker | None) -> Response:
        return answer(plain(await keys.revoke(request.path_params["key_id"], by=_who(asker).actor)))

    here, one = "/admin/v1/keys", "/admin/v1/keys/{key_id}"
    return [
        Operation(
            method="GET",
            path=here,
            name="listKeys",
            summary="Keys, without their secrets",
            handler=listed,
            tag="keys",
            query=KeysQuery,
            answer=shapes.KeyPage,
        ),
        Operation(
            method="POST",
            path=here,
            name="createKey",
            summary="A new key; its secret is shown this once",
            handler=create,
            tag="keys",
            status=201,
            body=KeySpec,
            answer=shapes.Made,
            errors=(409,),
        ),
        Operation(
            method="GET", path=one, name="showKey", summary="One key", handler=show, tag="keys", answer=Key
        ),
        Operation(
            method="PATCH",
            path=one,
            name="updateKey",
            summary="Change a key; what is left out stays as it is",
            handler=update,
            tag="keys",
            body=KeyChange,
            answer=Key,
            errors=(409,),
        ),
        Operation(
            method="POST",
            path=f"{one}/rotate",
            name="rotateKey",
            summary="A new secret for the same key; the one before is good for the overlap",
            handler=rotate,
            tag="keys",
            body=Rotation,
            answer=shapes.Made,
            errors=(409,),
        ),
        Operation(
            method="POST",
            path=f"{one}/revoke",
            name="revokeKey",
            summary="The key opens nothing any more",
            handler=revoke,
            tag="keys",
            answer=Key,
        ),
    ]


def team_operations(teams: Teams) -> list[Operation]:
    """Teams under `/admin/v1/teams`."""

    async def listed(request: Request, asker: Asker | None) -> Response:
        _who(asker).actor.must("read")
        return answer({"data": [plain(team) for team in await teams.list()]})

    async def create(request: Request, asker: Asker | None) -> Response:
        team = await teams.create(await body(request, TeamSpec), by=_who(asker).actor)
        return answer(plain(team), status=201, headers={"location": f"/admin/v1/teams/{team.name}"})

    async def show(request: Request, asker: Asker | None) -> Response:
        _who(asker).actor.must("read")
        return answer(plain(await teams.show(request.path_params["name"])))

    async def update(request: Request, asker: Asker | None) -> Response:
        change = await body(request, TeamChange)
        return answer(plain(await teams.update(request.path_params["name"], change, by=_who(asker).actor)))

    async def delete(request: Request, asker: Asker | None) -> Response:
        await teams.delete(request.path_params["name"], by=_who(asker).actor)
        return Response(None, 204, HEADERS)

    handlers = (listed, create, show, update, delete)
    return _named("team", handlers, spec=TeamSpec, change=TeamChange, thing=Team, page=shapes.Teams)


def organisation_operations(organisations: Organisations) -> list[Operation]:
    """Organisations under `/admin/v1/organisations`."""

    async def listed(request: Request, asker: Asker | None) -> Response:
        _who(asker).actor.must("read")
        return answer({"data": [plain(one) for one in await organisations.list()]})

    async def create(request: Request, asker: Asker | None) -> Response:
        made = await organisations.create(await body(request, OrganisationSpec), by=_who(asker).actor)
        return answer(plain(made), status=201, headers={"location": f"/admin/v1/organisations/{made.name}"})

    async def show(request: Request, asker: Asker | None) -> Response:
        _who(asker).actor.must("read")
        return answer(plain(await organisations.show(request.path_params["name"])))

    async def update(request: Request, asker: Asker | None) -> Response:
        change = await body(request, OrganisationChange)
        name = request.path_params["name"]
        return answer(plain(await organisations.update(name, change, by=_who(asker).actor)))

    async def delete(request: Request, asker: Asker | None) -> Response:
        await organisations.delete(request.path_params["name"], by=_who(asker).actor)
        return Response(None, 204, HEADERS)

    handlers = (listed, create, show, update, delete)
    return _named(
        "organisation",
        handlers,
        spec=OrganisationSpec,
        change=OrganisationChange,
        thing=Organisation,
        page=shapes.Organisations,
    )


def audit_operations(log: AuditLog) -> list[Operation]:
    """The audit log under `/admin/v1/audit`."""

    async def listed(request: Request, asker: Asker | None) -> Response:
        _who(asker).actor.must("read")
        asked = query(request, AuditQuery)
        found = await log.list(**given(asked))
        return answer({"data": found, "next": found[-1].seq if len(found) == asked.limit else None})

    async def verify(request: Request, asker: Asker | None) -> Response:
        _who(asker).actor.must("read")
        return answer(await log.verify())

    return [
        Operation(
            method="GET",
            path="/admin/v1/audit",
            name="listAudit",
            summary="Administrative acts, the newest first",
            handler=listed,
            tag="audit",
            query=AuditQuery,
            answer=shapes.Audit,
        ),
        Operation(
            method="GET",
            path="/admin/v1/audit/verify",
            name="verifyAudit",
            summary="Follow the chain of hashes through the whole log",
            handler=verify,
            tag="audit",
            answer=shapes.Checked,
        ),
    ]


def _named(
    kind: str,
    handlers: tuple[Handler, Handler, Handler, Handler, Handler],
    *,
    spec: type[msgspec.Struct],
    change: type[msgspec.Struct],
    thing: type[msgspec.Struct],
    page: type[msgspec.Struct],
) -> list[Operation]:
    """The five operations on things that have a name of their own: list, create, show, update, delete."""
    listed, create, show, update, delete = handlers
    title, tag = kind.title(), f"{kind}s"
    here, one = f"/admin/v1/{tag}", f"/admin/v1/{tag}/{{name}}"
    return [
        Operation(
            method="GET",
            path=here,
            name=f"list{title}s",
            summary=f"All {tag}",
            handler=listed,
            tag=tag,
            answer=page,
        ),
        Operation(
            method="POST",
            path=here,
            name=f"create{title}",
            summary=f"A new {kind}",
            handler=create,
            tag=tag,
            status=201,
            body=spec,
            answer=thing,
            errors=(409,),
        ),
        Operation(
            method="GET",
            path=one,
            name=f"show{title}",
            summary=f"One {kind}",
            handler=show,
            tag=tag,
            answer=thing,
        ),
        Operation(
            method="PATCH",
            path=one,
            name=f"update{title}",
            summary="What is left out stays as it is",
            handler=update,
            tag=tag,
            body=change,
            answer=thing,
            errors=(409,),
        ),
        Operation(
            method="DELETE",
            path=one,
            name=f"delete{title}",
            summary="Only an empty one can be deleted",
            handler=delete,
            tag=tag,
            status=204,
            errors=(409,),
        ),
    ]
