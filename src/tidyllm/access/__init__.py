"""Who may call: keys, teams, roles, limits, the audit log, sign-on of people. It knows no HTTP and no models."""

from __future__ import annotations

from tidyllm.access.audit import AuditLog, Chain, Entry
from tidyllm.access.guard import check
from tidyllm.access.key import Key, Organisation, Subject, Team
from tidyllm.access.keys import Keys
from tidyllm.access.limits import Backend, Lease, Limits
from tidyllm.access.limits_local import LocalLimits
from tidyllm.access.limits_redis import RedisLimits
from tidyllm.access.limits_store import StoreLimits
from tidyllm.access.lookup import Lookup
from tidyllm.access.problems import Conflict, Forbidden, Missing
from tidyllm.access.roles import Actor, Role
from tidyllm.access.specs import (
    KeyChange,
    KeySpec,
    OrganisationChange,
    OrganisationSpec,
    TeamChange,
    TeamSpec,
)
from tidyllm.access.teams import Organisations, Teams

__all__ = [
    "Actor",
    "AuditLog",
    "Backend",
    "Chain",
    "Conflict",
    "Entry",
    "Forbidden",
    "Key",
    "KeyChange",
    "KeySpec",
    "Keys",
    "Lease",
    "Limits",
    "LocalLimits",
    "Lookup",
    "Missing",
    "Organisation",
    "OrganisationChange",
    "OrganisationSpec",
    "Organisations",
    "RedisLimits",
    "Role",
    "StoreLimits",
    "Subject",
    "Team",
    "TeamChange",
    "TeamSpec",
    "Teams",
    "check",
]
