"""Who may call: keys, teams, roles, limits, the audit log, sign-on of people. It knows no HTTP and no models."""

from __future__ import annotations

from tidyllm.access.audit import AuditLog, Chain, Entry
from tidyllm.access.guard import check
from tidyllm.access.key import Cap, Key, Organisation, Subject, Team
from tidyllm.access.keys import Keys
from tidyllm.access.limits import Backend, Lease, Limits
from tidyllm.access.limits_local import LocalLimits
from tidyllm.access.limits_redis import RedisLimits
from tidyllm.access.limits_store import StoreLimits
from tidyllm.access.lookup import Lookup
from tidyllm.access.problems import Conflict, Forbidden, Missing, SignOnDown
from tidyllm.access.roles import Actor, Role
from tidyllm.access.sessions import Session, Sessions, csrf_token
from tidyllm.access.specs import (
    KeyChange,
    KeySpec,
    OrganisationChange,
    OrganisationSpec,
    TeamChange,
    TeamSpec,
)
from tidyllm.access.sso import OIDC, Fetch, Login, OIDCSettings, Person
from tidyllm.access.teams import Organisations, Teams

__all__ = [
    "OIDC",
    "Actor",
    "AuditLog",
    "Backend",
    "Cap",
    "Chain",
    "Conflict",
    "Entry",
    "Fetch",
    "Forbidden",
    "Key",
    "KeyChange",
    "KeySpec",
    "Keys",
    "Lease",
    "Limits",
    "LocalLimits",
    "Login",
    "Lookup",
    "Missing",
    "OIDCSettings",
    "Organisation",
    "OrganisationChange",
    "OrganisationSpec",
    "Organisations",
    "Person",
    "RedisLimits",
    "Role",
    "Session",
    "Sessions",
    "SignOnDown",
    "StoreLimits",
    "Subject",
    "Team",
    "TeamChange",
    "TeamSpec",
    "Teams",
    "check",
    "csrf_token",
]
