"""Keys, teams and organisations as rows, and back. It knows columns, not acts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from tidyllm.access.key import Cap, Key, Organisation, Subject, Team, limited, nanos, usd
from tidyllm.access.roles import Role
from tidyllm.access.specs import KeySpec, OrganisationSpec, TeamSpec

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

__all__ = ["key_of", "organisation_of", "row_of", "spec_of", "team_of"]

_IN_COLUMNS = {
    "name",
    "owner",
    "team",
    "organisation",
    "role",
    "expires_in_seconds",
    "limit_usd",
    "window",
    "soft_usd",
}

T = TypeVar("T", bound=msgspec.Struct)


def row_of(spec: KeySpec | TeamSpec | OrganisationSpec, *, now: float, generation: int = 1) -> dict[str, Any]:
    """The columns that `spec` decides. An expiry is counted from `now`; without one the column is left out."""
    values: dict[str, Any] = msgspec.to_builtins(spec)
    settings = {
        name: it for name, it in values.items() if name not in _IN_COLUMNS and it not in (None, (), [], {})
    }
    if generation > 1:
        settings["generation"] = generation
    row: dict[str, Any] = {
        "limit_nanos": nanos(spec.limit_usd),
        "window": spec.window,
        "soft_nanos": nanos(spec.soft_usd),
        "settings": msgspec.json.encode(settings).decode(),
    }
    row |= {
        name: values[name] for name in ("name", "owner", "team", "organisation", "role") if name in values
    }
    if isinstance(spec, KeySpec) and spec.expires_in_seconds is not None:
        row["expires_at"] = now + spec.expires_in_seconds
    return row


def spec_of(thing: Key | Team | Organisation, kind: type[T]) -> T:
    """What would have to be asked for to get this thing; its expiry is left out."""
    names = [name for name in kind.__struct_fields__ if hasattr(thing, name)]
    values: dict[str, Any] = {name: getattr(thing, name) for name in names}
    for name in ("limit_usd", "soft_usd"):
        values[name] = None if values[name] is None else float(values[name])
    return kind(**values)


def _common(row: RowMapping) -> dict[str, Any]:
    settings: dict[str, Any] = msgspec.json.decode(row["settings"])
    for name in ("models", "endpoints", "ips", "required_tags"):
        if name in settings:
            settings[name] = tuple(settings[name])
    return {
        **settings,
        "created_at": row["created_at"],
        "limit_usd": usd(row["limit_nanos"]),
        "window": row["window"],
        "soft_usd": usd(row["soft_nanos"]),
    }


def organisation_of(row: RowMapping) -> Organisation:
    """The organisation in a row of `organisations`."""
    return Organisation(name=row["name"], **_common(row))


def team_of(row: RowMapping) -> Team:
    """The team in a row of `teams`."""
    return Team(name=row["name"], organisation=row["organisation"], **_common(row))


def key_of(row: RowMapping, team: Team | None, organisation: Organisation | None = None) -> Key:
    """The key in a row of `keys`, with what its team adds."""
    common = _common(row)
    subjects: Sequence[Subject] = ()
    if limited(common):
        subjects = (_subject(f"key:{row['id']}", common),)
    if team is not None and limited(team_limits := _limits(team)):
        subjects = (*subjects, _subject(f"team:{team.account}", team_limits))
    return Key(
        **common,
        **{name: row[name] for name in _KEY_COLUMNS},
        role=None if row["role"] is None else Role(row["role"]),
        team_models=team.models if team else (),
        organisation=team.organisation if team else None,
        subjects=tuple(subjects),
        caps=tuple(_caps(row["id"], common, team, organisation)),
    )


def _caps(
    key_id: str, key: dict[str, Any], team: Team | None, organisation: Organisation | None
) -> Iterator[Cap]:
    yield Cap(f"key:{key_id}", key["limit_usd"], key["window"], key["soft_usd"])
    if team is not None:
        yield Cap(f"team:{team.account}", team.limit_usd, team.window, team.soft_usd)
    if organisation is not None:
        one = organisation
        yield Cap(f"org:{one.account}", one.limit_usd, one.window, one.soft_usd)


_KEY_COLUMNS = (
    "id",
    "name",
    "prefix",
    "owner",
    "team",
    "expires_at",
    "revoked_at",
    "rotated_at",
    "old_secret_until",
)
_LIMITS = ("requests_per_minute", "tokens_per_minute", "concurrency")


def _limits(team: Team) -> dict[str, Any]:
    return {name: getattr(team, name) for name in _LIMITS}


def _subject(name: str, limits: dict[str, Any]) -> Subject:
    return Subject(name, *(limits.get(one) for one in _LIMITS))
