"""The admin side of this gateway: its API with this gateway's keys, books and sign-on. It parses nothing itself."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

import msgspec

from tidyllm.access import OIDC, OIDCSettings, Role
from tidyllm.config import Settings, secret
from tidyllm.errors import ConfigError
from tidyllm.gateway.admin import SpendQuery, admin_app, fetcher
from tidyllm.gateway.admit import Admission
from tidyllm.gateway.asgi import Application, Headers
from tidyllm.store import Store

__all__ = ["backstage"]


def backstage(admission: Admission, store: Store, settings: Settings) -> Application:
    """Everything under `/admin/v1`.

    :raises ConfigError: the settings of the sign-on are wrong.
    """

    async def master(headers: Mapping[str, str], /) -> Any:
        return await admission.master(headers)

    return admin_app(
        store,
        keys=admission.keys,
        master=master,
        sso=_sign_on(settings),
        spend=lambda asked: spend_rows(store, asked),
        requests=lambda request_id: _request(store, request_id),
        client_ip=lambda request: admission.address(request.scope, Headers(request.scope["headers"])) or None,
    )


def _sign_on(settings: Settings) -> OIDC | None:
    given = settings.sign_on
    if given is None:
        return None
    hidden = given.client_secret
    return OIDC(
        OIDCSettings(
            issuer=given.issuer,
            client_id=given.client_id,
            client_secret=None if hidden is None else secret(hidden, where="sign_on.client_secret"),
            redirect_uri=given.redirect_url,
            roles_claim=given.role_claim,
            roles={value: Role(role) for value, role in given.roles.items()},
        ),
        fetcher(),
    )


async def spend_rows(store: Store, asked: SpendQuery) -> Sequence[Any]:
    """What `/admin/v1/spend` tells: the rows, and their total as the last one."""
    from tidyllm.money.spend import spend

    since, until = (_moment(day) for day in (asked.since, asked.until))
    report = await store.read(lambda conn: spend(conn, asked.by, since=since, until=until))
    return [_shown(row) for row in (*report.rows, report.total)]


def _moment(day: object) -> float | None:
    """Its first moment, in seconds since 1970; None for no day."""
    if not isinstance(day, dt.date):
        return None
    return (day - dt.date(1970, 1, 1)).days * 86_400.0


async def _request(store: Store, request_id: str) -> Mapping[str, Any] | None:
    from tidyllm.money.requests import request_report

    try:
        report = await store.read(lambda conn: request_report(conn, request_id))
    except ConfigError:
        return None
    return None if report is None else _shown(report)


def _shown(thing: object) -> Any:
    """As JSON has it; money as digits, `0.000000001` and never `1E-9`."""
    return _digits(msgspec.to_builtins(thing, builtin_types=(Decimal,)))


def _digits(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dict):
        return {name: _digits(one) for name, one in cast("dict[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_digits(one) for one in cast("list[Any]", value)]
    return value
