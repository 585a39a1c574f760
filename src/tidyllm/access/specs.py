"""What is asked for when a key, a team or an organisation is made or changed. It knows shapes, not the store."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from tidyllm.access.fields import (
    IP,
    Count,
    Endpoint,
    Label,
    ModelPattern,
    Name,
    Seconds,
    TagName,
    Text,
    Usd,
    Window,
)
from tidyllm.access.roles import Role

__all__ = [
    "KeyChange",
    "KeySpec",
    "OrganisationChange",
    "OrganisationSpec",
    "TeamChange",
    "TeamSpec",
    "laid_over",
]

_FEW = msgspec.Meta(max_length=200)
_MODELS = Annotated[tuple[ModelPattern, ...], _FEW]
_ENDPOINTS = Annotated[tuple[Endpoint, ...], _FEW]
_IPS = Annotated[tuple[IP, ...], _FEW]
_TAG_NAMES = Annotated[tuple[TagName, ...], msgspec.Meta(max_length=50)]
_PAIRS = Annotated[dict[TagName, Text], msgspec.Meta(max_length=50)]
_Unset = msgspec.UnsetType


class OrganisationSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new organisation. Its budget caps all of its teams together."""

    name: Name
    limit_usd: Usd | None = None
    window: Window = "none"
    soft_usd: Usd | None = None
    metadata: _PAIRS = {}


class TeamSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new team. What it limits, it limits for all of its keys together."""

    name: Name
    organisation: Name | None = None
    models: _MODELS = ()
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    concurrency: Count | None = None
    limit_usd: Usd | None = None
    window: Window = "none"
    soft_usd: Usd | None = None
    metadata: _PAIRS = {}


class KeySpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new key. An empty list allows all; None is no limit."""

    name: Label
    owner: Label | None = None
    team: Name | None = None
    role: Role | None = None
    """Set: the key also opens the admin API."""
    expires_in_seconds: Seconds | None = None
    models: _MODELS = ()
    endpoints: _ENDPOINTS = ()
    ips: _IPS = ()
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    concurrency: Count | None = None
    limit_usd: Usd | None = None
    window: Window = "none"
    soft_usd: Usd | None = None
    required_tags: _TAG_NAMES = ()
    """Names of tags without which a request is refused."""
    tags: _PAIRS = {}
    """Laid under the tags of each request."""
    metadata: _PAIRS = {}


class OrganisationChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What shall be different; what is left out stays as it is, null takes a limit away."""

    limit_usd: Usd | _Unset | None = msgspec.UNSET
    window: Window | _Unset = msgspec.UNSET
    soft_usd: Usd | _Unset | None = msgspec.UNSET
    metadata: _PAIRS | _Unset = msgspec.UNSET


class TeamChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What shall be different; what is left out stays as it is, null takes a limit away."""

    organisation: Name | _Unset | None = msgspec.UNSET
    models: _MODELS | _Unset = msgspec.UNSET
    requests_per_minute: Count | _Unset | None = msgspec.UNSET
    tokens_per_minute: Count | _Unset | None = msgspec.UNSET
    concurrency: Count | _Unset | None = msgspec.UNSET
    limit_usd: Usd | _Unset | None = msgspec.UNSET
    window: Window | _Unset = msgspec.UNSET
    soft_usd: Usd | _Unset | None = msgspec.UNSET
    metadata: _PAIRS | _Unset = msgspec.UNSET


class KeyChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What shall be different; what is left out stays as it is, null takes a limit away."""

    name: Label | _Unset = msgspec.UNSET
    owner: Label | _Unset | None = msgspec.UNSET
    team: Name | _Unset | None = msgspec.UNSET
    role: Role | _Unset | None = msgspec.UNSET
    expires_in_seconds: Seconds | _Unset | None = msgspec.UNSET
    """From now on."""
    models: _MODELS | _Unset = msgspec.UNSET
    endpoints: _ENDPOINTS | _Unset = msgspec.UNSET
    ips: _IPS | _Unset = msgspec.UNSET
    requests_per_minute: Count | _Unset | None = msgspec.UNSET
    tokens_per_minute: Count | _Unset | None = msgspec.UNSET
    concurrency: Count | _Unset | None = msgspec.UNSET
    limit_usd: Usd | _Unset | None = msgspec.UNSET
    window: Window | _Unset = msgspec.UNSET
    soft_usd: Usd | _Unset | None = msgspec.UNSET
    required_tags: _TAG_NAMES | _Unset = msgspec.UNSET
    tags: _PAIRS | _Unset = msgspec.UNSET
    metadata: _PAIRS | _Unset = msgspec.UNSET


S = TypeVar("S", bound=msgspec.Struct)


def laid_over(spec: S, change: msgspec.Struct) -> S:
    """`spec` with what `change` says; its other fields as they are."""
    told = {name: getattr(change, name) for name in change.__struct_fields__}
    return msgspec.structs.replace(spec, **{name: it for name, it in told.items() if it is not msgspec.UNSET})
