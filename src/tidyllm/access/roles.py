"""Who may do which administrative act. It knows roles and acts, not how somebody proved who he is."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

from tidyllm.access.problems import Forbidden

__all__ = ["Act", "Actor", "Role", "may"]


class Role(StrEnum):
    """What somebody on the admin side may do; each role may also do what the ones before it may."""

    VIEWER = "viewer"
    """Reads everything but secrets, which nobody can read."""
    OPERATOR = "operator"
    """Also makes, changes, rotates and revokes keys without a role."""
    ADMIN = "admin"
    """Also teams, organisations, and keys with a role."""


Act = Literal["read", "keys", "teams", "organisations", "roles"]
"""`keys`: acts on keys without a role; `roles`: on keys with one, and giving one."""

_LEAST: dict[Act, Role] = {
    "read": Role.VIEWER,
    "keys": Role.OPERATOR,
    "teams": Role.ADMIN,
    "organisations": Role.ADMIN,
    "roles": Role.ADMIN,
}
_ORDER = (Role.VIEWER, Role.OPERATOR, Role.ADMIN)


def may(role: Role, act: Act) -> bool:
    """Whether `role` is enough for `act`."""
    return _ORDER.index(role) >= _ORDER.index(_LEAST[act])


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who does an administrative act. All of it is written to the audit log."""

    name: str
    """`master`, the id of a key, the name that the identity provider gives, or the user of the machine."""
    kind: Literal["master", "key", "sso", "cli"]
    role: Role
    ip: str | None = None

    def must(self, act: Act) -> None:
        """:raises Forbidden: this actor's role is not enough for `act`."""
        if not may(self.role, act):
            raise Forbidden(
                f"{self.name!r} has the role {self.role.value!r}; this needs {_LEAST[act].value!r}.",
                what="role",
                hint="Ask an admin.",
            )
