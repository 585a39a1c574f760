"""The shapes of answers, for their description. It knows no acts."""

from __future__ import annotations

from typing import Any

import msgspec

from tidyllm.access import Chain, Entry, Key, Organisation, Role, Team
from tidyllm.gateway.admin.answers import Failure

__all__ = [
    "Audit",
    "Checked",
    "Failed",
    "KeyPage",
    "Made",
    "Me",
    "Organisations",
    "Request",
    "Spend",
    "Teams",
]


class KeyPage(msgspec.Struct):
    """`next` is `after` of the next page; null on the last one."""

    data: list[Key]
    next: str | None


class Made(msgspec.Struct):
    """A key and its new secret, which is shown this once."""

    key: Key
    secret: str


class Teams(msgspec.Struct):
    """All teams."""

    data: list[Team]


class Organisations(msgspec.Struct):
    """All organisations."""

    data: list[Organisation]


class Audit(msgspec.Struct):
    """`next` is `before` of the next page; null on the last one."""

    data: list[Entry]
    next: int | None


class Me(msgspec.Struct):
    """Who asks. The last two are those of a session."""

    name: str
    kind: str
    role: Role
    csrf_token: str | None
    expires_at: float | None


class Spend(msgspec.Struct):
    """Sums of spending."""

    data: list[dict[str, Any]]


class Request(msgspec.Struct):
    """One request to a model: attempts, route, errors, tokens and cost, without content."""

    data: dict[str, Any]


class Failed(msgspec.Struct):
    """The answer of every status from 400 on."""

    error: Failure


Checked = Chain
