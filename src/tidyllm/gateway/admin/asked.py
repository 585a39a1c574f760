"""What a request of the admin API asks for: its body and its query, checked field by field. It knows no acts."""

from __future__ import annotations

import datetime as dt
import json
from typing import Annotated, Any, Literal, TypeVar, cast

import msgspec
from starlette.requests import ClientDisconnect, Request

from tidyllm.access.fields import Label, Name, checked, explained, field_of
from tidyllm.access.keys import LONGEST_OVERLAP
from tidyllm.errors import BadRequest

__all__ = [
    "AuditQuery",
    "CallbackQuery",
    "KeysQuery",
    "LoginQuery",
    "Rotation",
    "SpendQuery",
    "body",
    "given",
    "query",
]

_LARGEST = 256 * 1024
"""Bytes of a body: the longest key with all of its tags has half of that."""

T = TypeVar("T", bound=msgspec.Struct)
_Unset = msgspec.UnsetType
_Limit = Annotated[int, msgspec.Meta(ge=1, le=1000)]
_Id = Annotated[str, msgspec.Meta(pattern="^[a-z0-9]{12}$")]
_Opaque = Annotated[str, msgspec.Meta(pattern="^[ -~]{0,2048}$", max_length=2048)]


class Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long the secret before is good beside the new one."""

    overlap_seconds: Annotated[int, msgspec.Meta(ge=0, le=LONGEST_OVERLAP)] = 0


class KeysQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which keys; `after` is `next` of the page before."""

    limit: _Limit = 100
    after: _Id | _Unset = msgspec.UNSET
    team: Name | _Unset = msgspec.UNSET
    owner: Label | _Unset = msgspec.UNSET
    state: Literal["active", "expired", "revoked"] | _Unset = msgspec.UNSET


class AuditQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which acts, the newest first; `before` is `next` of the page before."""

    limit: _Limit = 100
    before: Annotated[int, msgspec.Meta(ge=1, le=2**53)] | _Unset = msgspec.UNSET
    actor: Label | _Unset = msgspec.UNSET
    act: Annotated[str, msgspec.Meta(pattern=r"^[a-z]+\.[a-z]+$", max_length=64)] | _Unset = msgspec.UNSET
    subject: Label | _Unset = msgspec.UNSET


class SpendQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How spending is summed up: `by` what, from the day `since` on, to the day `until`, which is left out (UTC)."""

    by: Literal["key", "team", "model", "day", "tag", "route", "provider"] = "day"
    since: dt.date | _Unset = msgspec.UNSET
    until: dt.date | _Unset = msgspec.UNSET


class LoginQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to go after the sign-on: a path of this server."""

    return_to: Annotated[str, msgspec.Meta(pattern=r"^/([A-Za-z0-9._~-][A-Za-z0-9._~/-]{0,199})?$")] = (
        "/admin/v1/me"
    )


class CallbackQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What the identity provider sends the browser back with; it may add parameters of its own."""

    code: _Opaque | _Unset = msgspec.UNSET
    state: _Opaque | _Unset = msgspec.UNSET
    iss: _Opaque | _Unset = msgspec.UNSET
    error: _Opaque | _Unset = msgspec.UNSET


async def body(request: Request, kind: type[T]) -> T:
    """The body as `kind`. Where every field may be left out, so may the body of a POST.

    :raises BadRequest: it is too long, is no JSON, or a field is wrong, which the error names.
    """
    values: object = None
    nothing = b"{}" if request.method == "POST" else b""
    raw = bytearray()
    try:
        async for piece in request.stream():
            raw += piece
            if len(raw) > _LARGEST:
                raise BadRequest(f"the body has more than {_LARGEST:,} bytes.", field="body")
    except ClientDisconnect as error:
        raise BadRequest("the body broke off.", field="body") from error
    content_type = request.headers.get("content-type", "")
    # A form or plain text could come from any site's page; JSON cannot, without asking first.
    if raw and content_type.partition(";")[0].strip().lower() not in ("application/json", ""):
        raise BadRequest(
            f"the body must be application/json, not {content_type[:100]!r}.", field="content-type"
        )
    try:
        values = _whole(_decoded(bytes(raw) or nothing))
        asked = msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        if not isinstance(values, dict):
            raise BadRequest(f"{error}.", field="body") from None
        known = kind.__struct_fields__
        raise explained(error, cast("dict[str, object]", values), known) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body is not JSON: {error}.", field="body") from None
    except RecursionError:
        raise BadRequest("the body is nested too deeply.", field="body") from None
    return checked(asked)


def _decoded(raw: bytes) -> object:
    try:
        value = msgspec.json.decode(raw)
        json.loads(raw.decode(), object_pairs_hook=_once, parse_int=float)
        return value
    except msgspec.ValidationError:  # a number beyond all floats: as infinity, which its field then refuses
        try:
            return json.loads(raw, object_pairs_hook=_once, parse_int=float)
        except ValueError as error:
            raise BadRequest(f"the body is not JSON: {error}.", field="body") from None


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object in which each name stands once: of two, whoever reads the body could mean either."""
    values: dict[str, object] = {}
    for name, value in pairs:
        if name in values:
            raise BadRequest(f"{name[:100]!r} comes twice.", field=name[:100])
        values[name] = value
    return values


def _whole(value: object) -> object:
    """Floats without a fraction as integers: to JSON they are the same, and some clients know no other numbers."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, list):
        return [_whole(one) for one in cast("list[object]", value)]
    if isinstance(value, dict):
        return {name: _whole(one) for name, one in cast("dict[str, object]", value).items()}
    return value


def query(request: Request, kind: type[T]) -> T:
    """The query as `kind`.

    :raises BadRequest: a parameter is not known, comes twice or is wrong; the error names it.
    """
    values: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in values:
            raise BadRequest(f"{name[:100]!r} comes twice.", field=name[:100])
        values[name] = value
    try:
        asked = msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        name = field_of(error) or "query"
        raise BadRequest(_complaint(kind, name, values.get(name, "")), field=name) from None
    # `$` of a pattern lets a line end pass, which no parameter has.
    for name, value in values.items():
        if "\n" in value or "\x00" in value:
            raise BadRequest(f"{value[:100]!r} is not allowed: it must be one line.", field=name[:100])
    return asked


def _complaint(kind: type[msgspec.Struct], name: str, value: str) -> str:
    """What is wrong with a parameter, and what is allowed."""
    if name not in kind.__struct_fields__:
        return f"there is no parameter {name!r}; there are {', '.join(kind.__struct_fields__)}."
    wanted = "of another form"
    info = cast("msgspec.inspect.StructType", msgspec.inspect.type_info(kind))
    of = next(field.type for field in info.fields if field.name == name)
    for one in of.types if isinstance(of, msgspec.inspect.UnionType) else (of,):
        if isinstance(one, msgspec.inspect.LiteralType):
            wanted = "one of " + ", ".join(map(str, one.values))
        elif isinstance(one, msgspec.inspect.DateType):
            wanted = "a day like 2026-11-30"
        elif isinstance(one, msgspec.inspect.IntType):
            wanted = f"a whole number from {one.ge:,} to {one.le:,}"
        elif isinstance(one, msgspec.inspect.StrType) and one.pattern is not None:
            wanted = f"of the form {one.pattern}"
    return f"{name}={value[:100]!r} is not allowed; it must be {wanted}."


def given(asked: msgspec.Struct) -> dict[str, Any]:
    """The parameters that were given, or have a default, by name."""
    values = {name: getattr(asked, name) for name in asked.__struct_fields__}
    return {name: value for name, value in values.items() if value is not msgspec.UNSET}
