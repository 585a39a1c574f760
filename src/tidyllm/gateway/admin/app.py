"""The admin API as an application: routes and their description from one table. It knows operations, not acts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tidyllm.access import AuditLog, Keys, Organisations, Sessions, Teams
from tidyllm.errors import TidyllmError
from tidyllm.gateway.admin.acts import (
    audit_operations,
    key_operations,
    organisation_operations,
    team_operations,
)
from tidyllm.gateway.admin.answers import answer, answer_error, answer_unforeseen, answer_wrong_path
from tidyllm.gateway.admin.identity import Asker, Identity
from tidyllm.gateway.admin.openapi import describe
from tidyllm.gateway.admin.operation import Operation
from tidyllm.gateway.admin.plugged import RequestFinder, Spending, plugged_operations
from tidyllm.gateway.admin.signon import cookie_names, signon_operations
from tidyllm.gateway.auth import Authenticator

if TYPE_CHECKING:
    from tidyllm.access import OIDC
    from tidyllm.store import Store

__all__ = ["admin_app"]


def admin_app(
    store: Store,
    *,
    keys: Keys | None = None,
    master: Authenticator | None = None,
    sso: OIDC | None = None,
    session_seconds: float = 8 * 3600.0,
    spend: Spending | None = None,
    requests: RequestFinder | None = None,
    client_ip: Callable[[Request], str | None] | None = None,
) -> Starlette:
    """Everything under `/admin/v1`, as an ASGI application that takes whole paths.

    - `keys`: those that the gateway asks as well, so that a change here is seen at once.
    - `master`: knows the master key, which is an admin. Without it only keys with a role and `sso` open the door.
    - `spend`, `requests`: what `/admin/v1/spend` and `/admin/v1/requests/ID` answer with; left out, they are not there.
    - `client_ip`: where a request comes from, for address lists and the audit log. By default who is connected; behind
      a proxy that is the proxy.
    """
    keys = Keys(store) if keys is None else keys
    sessions = Sessions(store, seconds=session_seconds)
    identity = Identity(
        keys, sessions, master=master, cookie=cookie_names(sso)[0], client_ip=client_ip or _connected
    )
    operations = [
        *key_operations(keys),
        *team_operations(Teams(store)),
        *organisation_operations(Organisations(store)),
        *audit_operations(AuditLog(store)),
        *signon_operations(sso, sessions, identity),
        *plugged_operations(spend, requests),
    ]
    description = describe(operations, version=version("tidyllm"))

    async def openapi(request: Request) -> Response:
        return answer(description)

    by_path: dict[str, dict[str, Operation]] = defaultdict(dict)
    for one in operations:
        by_path[one.path][one.method] = one
    routes = [Route(path, _endpoint(some, identity), methods=list(some)) for path, some in by_path.items()]
    routes.append(Route("/admin/v1/openapi.json", openapi, methods=["GET"]))
    return Starlette(
        routes=routes,
        exception_handlers={HTTPException: answer_wrong_path},
    )


def _endpoint(some: dict[str, Operation], identity: Identity) -> Callable[[Request], object]:
    async def endpoint(request: Request) -> Response:
        operation = some["GET" if request.method == "HEAD" else request.method]
        try:
            asker: Asker | None = None if operation.open else await identity.of(request)
            return await operation.handler(request, asker)
        except TidyllmError as error:
            return await answer_error(request, error)
        except Exception as error:  # noqa: BLE001 - Starlette would answer, and then raise it once more
            return await answer_unforeseen(request, error)

    return endpoint


def _connected(request: Request) -> str | None:
    return None if request.client is None else request.client.host
