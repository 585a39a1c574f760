"""Spending and requests: what other parts know of money, shown here. It knows neither; they are handed in."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.responses import Response

from tidyllm.access import Conflict, Missing
from tidyllm.gateway.admin import shapes
from tidyllm.gateway.admin.answers import answer
from tidyllm.gateway.admin.asked import SpendQuery, query
from tidyllm.gateway.admin.identity import Asker
from tidyllm.gateway.admin.operation import Operation

__all__ = ["RequestFinder", "Spending", "plugged_operations"]

Spending: TypeAlias = Callable[[SpendQuery], Awaitable[Sequence[Any]]]
"""Rows of sums; each is anything that becomes a JSON object."""
RequestFinder: TypeAlias = Callable[[str], Awaitable[Mapping[str, Any] | None]]
"""What is known of the request with this id, without content; None when there is none."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


def plugged_operations(spend: Spending | None, requests: RequestFinder | None) -> list[Operation]:
    """`/admin/v1/spend` and `/admin/v1/requests/ID`; both are there only if they are handed in."""
    found: list[Operation] = []
    if spend is not None:

        async def spent(request: Request, asker: Asker | None) -> Response:
            assert asker is not None
            asker.actor.must("read")
            asked = query(request, SpendQuery)
            since, until = asked.since, asked.until
            if isinstance(since, dt.date) and isinstance(until, dt.date) and since >= until:
                raise Conflict("no day lies between since and this day, which is left out.", where="until")
            return answer({"data": await spend(asked)})

        found.append(
            Operation(
                method="GET",
                path="/admin/v1/spend",
                name="spend",
                summary="What was spent, summed up; what is unpriced or in doubt has lines of its own",
                handler=spent,
                tag="money",
                query=SpendQuery,
                answer=shapes.Spend,
                errors=(409,),
            )
        )
    if requests is not None:

        async def shown(request: Request, asker: Asker | None) -> Response:
            assert asker is not None
            asker.actor.must("read")
            request_id: str = request.path_params["request_id"]
            known = await requests(request_id) if _ID.fullmatch(request_id) else None
            if known is None:
                raise Missing(f"there is no request {request_id[:100]!r}.", where="request")
            return answer({"data": known})

        found.append(
            Operation(
                method="GET",
                path="/admin/v1/requests/{request_id}",
                name="showRequest",
                summary="One request: attempts, route, errors, tokens and cost, without content",
                handler=shown,
                tag="money",
                answer=shapes.Request,
            )
        )
    return found
