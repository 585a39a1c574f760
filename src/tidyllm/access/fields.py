"""The fields of keys, teams and organisations: types, bounds and patterns. It knows values, not what is done with them.

Each type carries its bounds for `msgspec`, so that the same line checks a body, an argument and describes both in
OpenAPI. A pattern there is searched for and `$` also matches before a line end: `checked` matches the whole text.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar, cast

import msgspec

from tidyllm.access.key import amount
from tidyllm.access.problems import Conflict
from tidyllm.core.tags import OURS
from tidyllm.errors import ConfigError

__all__ = [
    "ID_PATTERN",
    "IP",
    "NAME_PATTERN",
    "Count",
    "Endpoint",
    "Label",
    "ModelPattern",
    "Name",
    "Seconds",
    "TagName",
    "Text",
    "Usd",
    "Window",
    "checked",
    "explained",
    "field_of",
    "is_name",
]

# Control characters, line separators and what turns the direction of text: they could forge lines of logs and tables.
_UNSEEN = r"\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069"
ID_PATTERN = r"^[a-z0-9]{12}$"
"""Of keys."""
NAME_PATTERN = _NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_LABEL = rf"^[^{_UNSEEN}\u0020][^{_UNSEEN}]{{0,199}}$"
_TEXT = rf"^[^{_UNSEEN}]{{0,500}}$"
_MODEL = r"^[A-Za-z0-9*][A-Za-z0-9._:/@+*-]{0,199}$"
_ENDPOINT = r"^/[A-Za-z0-9._/-]{0,99}\*?$"
_WINDOW = r"^(none|day|week|month|rolling:([6-9][0-9]|[1-9][0-9]{2,7}))$"
_USD = r"^[$]? ?([0-9]{1,9}([.][0-9]{0,9})?|[.][0-9]{1,9}|1000000000)( ?(USD|usd))?$"
_BYTE = r"(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_V4 = rf"({_BYTE}\.){{3}}{_BYTE}(/(3[0-2]|[12]?[0-9]))?"
_H = r"[0-9a-fA-F]{1,4}"
_LEFT = "|".join(rf"({_H}:){{{n}}}(:{_H}){{1,{7 - n}}}" for n in range(1, 7))
_V6 = rf"(({_H}:){{7}}{_H}|{_LEFT}|({_H}:){{1,7}}:|:(:{_H}){{1,7}}|::)(/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?"
_IP = rf"^({_V4}|{_V6})$"

Name = Annotated[str, msgspec.Meta(pattern=_NAME, min_length=1, max_length=64)]
"""Of a team or an organisation: letters, digits, `.`, `_`, `-`. It is the id, too."""
Label = Annotated[str, msgspec.Meta(pattern=_LABEL, min_length=1, max_length=200)]
"""One line for people."""
Text = Annotated[str, msgspec.Meta(pattern=_TEXT, max_length=500)]
"""The value of a tag or of metadata: one line, or nothing."""
TagName = Annotated[str, msgspec.Meta(pattern=_NAME, min_length=1, max_length=64)]
ModelPattern = Annotated[str, msgspec.Meta(pattern=_MODEL, min_length=1, max_length=200)]
"""A model as callers name it; `*` stands for any characters."""
Endpoint = Annotated[str, msgspec.Meta(pattern=_ENDPOINT, min_length=1, max_length=101)]
"""A path, `/v1/messages`, or the beginning of paths, `/v1/*`."""
IP = Annotated[str, msgspec.Meta(pattern=_IP, min_length=2, max_length=43)]
"""An address or a network of IPv4 or IPv6, `10.0.0.0/8`. Host bits after the prefix are taken as zero."""
Window = Annotated[str, msgspec.Meta(pattern=_WINDOW, min_length=3, max_length=16)]
"""What a budget spans: `none` (all time), `day`, `week`, `month`, `rolling:SECONDS` (a minute or more)."""
Usd = Annotated[float, msgspec.Meta(ge=0, le=1e9)] | Annotated[str, msgspec.Meta(pattern=_USD, max_length=32)]
"""US dollars as a number of JSON, or as text: `5`, `$5`, `5 USD`; kept to the billionth of a dollar, from then on as
`Decimal`."""
Count = Annotated[int, msgspec.Meta(ge=1, le=10**9)]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=10 * 366 * 86400)]

_WHOLE: Mapping[str, tuple[re.Pattern[str], str]] = {
    "name": (re.compile(_LABEL), "one line of 1 to 200 visible characters"),
    "owner": (re.compile(_LABEL), "one line of 1 to 200 visible characters"),
    "team": (re.compile(_NAME), "1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit"),
    "organisation": (
        re.compile(_NAME),
        "1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit",
    ),
    "models": (re.compile(_MODEL), "the name of a model, with '*' for any characters"),
    "endpoints": (re.compile(_ENDPOINT), "a path like /v1/messages, or the beginning of one like /v1/*"),
    "ips": (re.compile(_IP), "an IPv4 or IPv6 address or network like 10.0.0.0/8 or 2001:db8::/32"),
    "window": (re.compile(_WINDOW), "none, day, week, month or rolling:SECONDS with 60 to 99999999 seconds"),
    "required_tags": (re.compile(_NAME), "1 to 64 letters, digits, '.', '_' or '-'"),
    "tags": (
        re.compile(_TEXT),
        "names of 1 to 64 letters, digits, '.', '_' or '-', and lines of at most 500",
    ),
    "metadata": (
        re.compile(_TEXT),
        "names of 1 to 64 letters, digits, '.', '_' or '-', and lines of at most 500",
    ),
}
_BOUNDS = {
    "requests_per_minute": "a whole number from 1 to 1,000,000,000",
    "tokens_per_minute": "a whole number from 1 to 1,000,000,000",
    "concurrency": "a whole number from 1 to 1,000,000,000",
    "expires_in_seconds": "a whole number of seconds from 1 to ten years",
    "overlap_seconds": "a whole number of seconds from 0 to 30 days",
    "limit_usd": "US dollars from 0 to 1,000,000,000: 5, '5' or '$5'",
    "soft_usd": "US dollars from 0 to 1,000,000,000: 5, '5' or '$5'",
    "role": "viewer, operator or admin",
}
_GIVEN = (int, float, str)
_AT = re.compile(r" - at (?:`key` in )?`\$\.?([A-Za-z_0-9]*)")
_QUOTED = re.compile(r"unknown field `(.*)`|missing required field `(.*)`", re.DOTALL)

T = TypeVar("T", bound=msgspec.Struct)


def field_of(error: msgspec.ValidationError) -> str | None:
    """The field that a message of msgspec complains of; None when it is the whole value."""
    text = str(error)
    if quoted := _QUOTED.search(text):
        return (quoted[1] or quoted[2] or "")[:100]
    return found[1] or None if (found := _AT.search(text)) else None


def checked(spec: T) -> T:
    """`spec` again, every field of which keeps to its bounds.

    :raises ConfigError: a field does not; `where` names it, the message has the value and what is allowed.
    :raises Conflict: two fields do not fit together.
    """
    values: dict[str, Any] = {}
    for name in spec.__struct_fields__:
        value: object = getattr(spec, name)
        if value is not msgspec.UNSET:
            values[name] = value
            _check_text(name, value, named=type(spec).__name__.startswith(("Team", "Organisation")))
    try:
        spec = msgspec.convert(values, type(spec))
    except msgspec.ValidationError as error:
        raise explained(error, values) from None
    limit, soft = getattr(spec, "limit_usd", None), getattr(spec, "soft_usd", None)
    if isinstance(soft, _GIVEN) and isinstance(limit, _GIVEN) and amount(soft) > amount(limit):
        raise Conflict(
            f"{amount(soft).normalize():f} passes limit_usd, {amount(limit).normalize():f}.",
            where="soft_usd",
            hint="A soft limit warns before.",
        )
    return spec


def explained(
    error: msgspec.ValidationError, values: Mapping[str, Any], known: Sequence[str] = ()
) -> ConfigError:
    """The same in our words: the field, its value, and what is allowed. `known`: all fields, for one that is not."""
    name = field_of(error) or ""
    if known and name in values and name not in known:
        return ConfigError(f"there is no such field; there are {', '.join(known)}.", where=name)
    if name in values or name not in _WHOLE:
        return ConfigError(_complaint(name, values.get(name), error), where=name or None)
    return ConfigError(f"it is missing; it must be {_WHOLE[name][1]}.", where=name)


def _complaint(name: str, value: object, error: Exception) -> str:
    if name in _BOUNDS:
        return f"{_shown(value)} is not allowed; it must be {_BOUNDS[name]}."
    if name in _WHOLE:
        return f"{_shown(value)} is not allowed; it must be {_WHOLE[name][1]}."
    return f"{str(error).partition(' - at ')[0]}."


def _check_text(name: str, value: object, *, named: bool) -> None:
    """The whole of each text against its pattern, and what a pattern cannot say. `named`: `name` is an id, too."""
    pattern, allowed = _WHOLE.get("team" if named and name == "name" else name, (None, ""))
    if pattern is None:
        return
    for text in _texts(value):
        if pattern.fullmatch(text) is None or text.endswith("\n") or not _encodes(text):
            raise ConfigError(f"{_shown(text)} is not allowed; it must be {allowed}.", where=name)
        if name == "ips":
            ipaddress.ip_network(text, strict=False)  # the pattern lets nothing else through
        if name == "required_tags":
            _check_tag(name, text)
    if isinstance(value, Mapping):
        names = _WHOLE["team"][0]
        for one in cast("Mapping[object, object]", value):
            if not isinstance(one, str) or names.fullmatch(one) is None or one.endswith("\n"):
                raise ConfigError(f"{_shown(one)} is not allowed; it must be {allowed}.", where=name)
            if name == "tags":
                _check_tag(name, one)


def _check_tag(field: str, name: str) -> None:
    if name.startswith(OURS):
        raise ConfigError(
            f"the name {_shown(name)} is the gateway's own, as are all that begin with {OURS!r}.",
            where=field,
        )


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        value = list(cast("Mapping[object, object]", value).values())
    if isinstance(value, list | tuple):
        return [one for one in cast("list[object]", value) if isinstance(one, str)]
    return []


def is_name(text: str) -> bool:
    """Whether a team or an organisation can have this name."""
    return _WHOLE["team"][0].fullmatch(text) is not None and not text.endswith("\n")


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}…"
