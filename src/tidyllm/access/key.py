"""Keys, teams and organisations as they are. It knows no store and no secrets."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

import msgspec

from tidyllm.access.roles import Role

__all__ = [
    "Cap",
    "Key",
    "Organisation",
    "State",
    "Subject",
    "Team",
    "amount",
    "limited",
    "nanos",
    "plain",
    "usd",
]

_NANO = Decimal("1e-9")

State = Literal["active", "expired", "revoked"]


class Subject(msgspec.Struct, frozen=True):
    """Somebody whose use is limited: a key, a team. All under one `name` share the limits, in all processes."""

    name: str
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None


class Cap(msgspec.Struct, frozen=True):
    """What may be spent under a name (`key:ID`, `team:NAME`, `org:NAME`); without `limit_usd` it is only counted."""

    name: str
    limit_usd: Decimal | None = None
    window: str = "none"
    soft_usd: Decimal | None = None


def account(name: str, generation: int) -> str:
    """What the holder of a name is called where it is counted: what those before it spent is theirs."""
    return name if generation == 1 else f"{name}#{generation}"


class Organisation(msgspec.Struct, frozen=True, kw_only=True):
    """Teams under one budget."""

    name: str
    created_at: float
    limit_usd: Decimal | None = None
    window: str = "none"
    soft_usd: Decimal | None = None
    metadata: dict[str, str] = {}
    generation: int = 1
    """How many had this name, it counted in: those before it were deleted, and what they spent is theirs."""

    @property
    def account(self) -> str:
        """What it is called where it is counted: its name; `NAME#2` if another had that before."""
        return account(self.name, self.generation)


class Team(msgspec.Struct, frozen=True, kw_only=True):
    """Keys under one budget and shared limits. `models`, if there are any, narrow those of each key."""

    name: str
    created_at: float
    organisation: str | None = None
    models: tuple[str, ...] = ()
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    limit_usd: Decimal | None = None
    window: str = "none"
    soft_usd: Decimal | None = None
    metadata: dict[str, str] = {}
    generation: int = 1
    """How many had this name, it counted in: those before it were deleted, and what they spent is theirs."""

    @property
    def account(self) -> str:
        """What it is called where it is counted: its name; `NAME#2` if another had that before."""
        return account(self.name, self.generation)


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A virtual key without its secrets: everything here may be shown and logged."""

    id: str
    name: str
    prefix: str
    """The beginning of the newest secret."""
    created_at: float
    owner: str | None = None
    team: str | None = None
    role: Role | None = None
    expires_at: float | None = None
    revoked_at: float | None = None
    rotated_at: float | None = None
    """When the newest secret was made, if it is not the first."""
    old_secret_until: float | None = None
    """Until when the secret before the newest is good as well."""
    models: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    limit_usd: Decimal | None = None
    window: str = "none"
    soft_usd: Decimal | None = None
    required_tags: tuple[str, ...] = ()
    tags: dict[str, str] = {}
    metadata: dict[str, str] = {}
    team_models: tuple[str, ...] = ()
    """Of its team: a model must be allowed by both."""
    organisation: str | None = None
    """Of its team."""
    subjects: tuple[Subject, ...] = ()
    """Whose limits a request under this key is counted on: the key and its team, each only if it has any."""
    caps: tuple[Cap, ...] = ()
    """What it spends is counted on: the key, its team, its organisation."""

    @property
    def team_account(self) -> str | None:
        """What its team is called where it is counted; see `Team.account`."""
        return next((cap.name[5:] for cap in self.caps if cap.name.startswith("team:")), self.team)

    def state(self, now: float) -> State:
        """Whether it is good at `now`, in seconds since 1970."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


_OF_OTHERS = ("team_models", "organisation", "subjects", "caps")


def plain(thing: Key | Team | Organisation) -> dict[str, Any]:
    """The thing as JSON has it: dollars as numbers. What a key has from its team is left out."""
    values: dict[str, Any] = msgspec.to_builtins(thing, builtin_types=(Decimal,))
    if isinstance(thing, Key):
        for name in _OF_OTHERS:
            del values[name]
    elif thing.generation == 1:
        del values["generation"]
    return {name: float(it) if isinstance(it, Decimal) else it for name, it in values.items()}


def amount(value: float | str) -> Decimal:
    """Dollars as they were typed: a number, of which `repr` gives back the digits, or a text like `$5`."""
    return Decimal(value.strip(" \n$USDusd") if isinstance(value, str) else repr(value))


def nanos(value: float | str | None) -> int | None:
    """Dollars as billionths, which the store keeps."""
    return None if value is None else int((amount(value) / _NANO).to_integral_value())


def usd(value: int | None) -> Decimal | None:
    """Billionths as dollars."""
    if value is None:
        return None
    dollars = (Decimal(value) * _NANO).normalize()
    return (
        dollars.quantize(Decimal(1)) if dollars == dollars.to_integral_value() else dollars
    )  # 100, not 1E+2


def limited(limits: Mapping[str, Any]) -> bool:
    """Whether there is any limit among these."""
    names = ("requests_per_minute", "tokens_per_minute", "concurrency")
    return any(limits.get(name) is not None for name in names)
