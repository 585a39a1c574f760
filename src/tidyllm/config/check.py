"""Finding what is wrong in a configuration, all of it at once, with the place and what was probably meant. Pure.

It knows the shapes of the sections; what their values mean together is for `rules.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import msgspec
from msgspec import inspect

from tidyllm.config.problem import Problem, Where, did_you_mean
from tidyllm.config.rules import broken_rules
from tidyllm.config.schema import Settings, is_secret

__all__ = ["check", "words"]

_ROOT = inspect.type_info(Settings)
_WITH_UNIT = re.compile(r"\s*\d+(\.\d+)?\s*[a-zA-Z]+\s*")


def check(data: object) -> tuple[Settings | None, list[Problem]]:
    """The settings, or everything that is wrong with `data`: shapes first, then what the values mean together."""
    problems: list[Problem] = []
    _walk(data, _ROOT, (), problems)
    if problems:
        return None, problems
    try:
        settings = msgspec.convert(_plain(data, _ROOT), Settings)
    except msgspec.ValidationError as error:  # a rule of msgspec's that `_walk` does not know
        return None, [Problem((), f"{error}.")]
    problems = list(broken_rules(settings))
    return (None if problems else settings), problems


def _walk(value: object, wanted: inspect.Type, where: Where, problems: list[Problem]) -> None:
    match wanted:
        case inspect.UnionType():
            inner = [one for one in wanted.types if not isinstance(one, inspect.NoneType)]
            if value is not None or len(inner) == len(wanted.types):
                _walk(value, inner[0], where, problems)
        case inspect.StructType():
            _walk_struct(_section(value, where, problems), wanted, where, problems)
        case inspect.DictType():
            for key, each in _section(value, where, problems).items():
                _walk(each, wanted.value_type, (*where, key), problems)
        case inspect.VarTupleType():
            if not isinstance(value, list):
                hint = f"Write it as a list: [{_cut(value)}]." if isinstance(value, str) else ""
                problems.append(Problem(where, _instead(value, "a list", where), hint))
                return
            items = cast("list[object]", value)
            if len(items) < (wanted.min_length or 0):
                problems.append(Problem(where, "the list is empty.", _EXAMPLES.get(str(where[-1]), "")))
            for place, each in enumerate(items):
                _walk(each, wanted.item_type, (*where, place), problems)
        case inspect.AnyType():
            pass
        case _:
            if not _fits(value, wanted):
                problems.append(Problem(where, _instead(value, words(wanted), where), _hint(value, wanted)))


def _walk_struct(
    section: Mapping[str, object], wanted: inspect.StructType, where: Where, problems: list[Problem]
) -> None:
    fields = {field.encode_name: field for field in wanted.fields}
    for key, each in section.items():
        if key in fields:
            _walk(each, fields[key].type, (*where, key), problems)
        else:
            problems.append(Problem((*where, key), "unknown key.", did_you_mean(key, fields)))
    for key, field in fields.items():
        if field.required and key not in section:
            problems.append(Problem(where, f"the key {key!r} is missing.", _EXAMPLES.get(key, "")))


_EXAMPLES = {
    "kind": "Say who it is, such as `kind: openai`.",
    "route": "Name at least one target, such as [main/gpt-5-mini].",
}


def _section(value: object, where: Where, problems: list[Problem]) -> Mapping[str, object]:
    """The keys of a section; one with nothing in it has none."""
    if value is None:
        return {}
    if isinstance(value, dict):
        return cast("Mapping[str, object]", value)
    problems.append(Problem(where, _instead(value, "a section of keys", where, shown=False)))
    return {}


def _plain(value: Any, wanted: inspect.Type) -> Any:
    """The same data with empty sections filled in, as msgspec wants them."""
    if isinstance(wanted, inspect.UnionType):
        if value is None:
            return None
        wanted = next(one for one in wanted.types if not isinstance(one, inspect.NoneType))
    if isinstance(wanted, inspect.StructType):
        types = {field.encode_name: field.type for field in wanted.fields}
        return {key: _plain(each, types[key]) for key, each in cast("dict[str, Any]", value or {}).items()}
    if isinstance(wanted, inspect.DictType):
        return {
            key: _plain(each, wanted.value_type) for key, each in cast("dict[str, Any]", value or {}).items()
        }
    return value


def _fits(value: object, wanted: inspect.Type) -> bool:
    match wanted:
        case inspect.StrType():
            return isinstance(value, str)
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.LiteralType():
            return value in wanted.values
        case inspect.IntType():
            return type(value) is int and _within(value, wanted)
        case inspect.FloatType():
            if type(value) is int:
                return abs(value) < 2**1000 and _within(float(value), wanted)
            return type(value) is float and _within(value, wanted)
        case _:
            raise NotImplementedError(wanted)  # a new kind of field in schema.py


def _within(value: float, wanted: inspect.IntType | inspect.FloatType) -> bool:
    return (
        (wanted.gt is None or value > wanted.gt)
        and (wanted.ge is None or value >= wanted.ge)
        and (wanted.le is None or value <= wanted.le)
    )


def words(wanted: inspect.Type) -> str:
    """What is expected, for people."""
    match wanted:
        case inspect.UnionType():
            inner = next(one for one in wanted.types if not isinstance(one, inspect.NoneType))
            return f"{words(inner)}, or nothing"
        case inspect.VarTupleType():
            return f"a list of {words(wanted.item_type)}"
        case inspect.DictType():
            return "a section of keys"
        case inspect.StrType():
            return "text"
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType():
            return f"one of {', '.join(map(str, wanted.values))}"
        case inspect.IntType() | inspect.FloatType():
            kind = "a whole number" if isinstance(wanted, inspect.IntType) else "a number"
            if wanted.le is not None:
                low = f"above {wanted.gt}" if wanted.ge is None else f"from {wanted.ge}"
                return f"{kind} {low} to {wanted.le}"
            return f"{kind} above {wanted.gt}" if wanted.ge is None else f"{kind} of at least {wanted.ge}"
        case _:
            raise NotImplementedError(wanted)


def _hint(value: object, wanted: inspect.Type) -> str:
    if isinstance(wanted, inspect.LiteralType) and isinstance(value, str):
        return did_you_mean(value, map(str, wanted.values))
    if isinstance(wanted, inspect.StrType) and isinstance(value, bool | int | float):
        return "Put it in quotes."
    if isinstance(wanted, inspect.IntType | inspect.FloatType) and isinstance(value, str):
        if _WITH_UNIT.fullmatch(value):
            return "Leave out the unit."
        return "Leave out the quotes." if value.replace(".", "", 1).strip().isdecimal() else ""
    return ""


def _instead(value: object, expected: str, where: Where, *, shown: bool = True) -> str:
    """`expected …, got …`. What may be a secret is not shown."""
    got = next((name for kind, name in _KINDS if isinstance(value, kind)), "nothing")
    if value is not None and shown and not any(map(is_secret, where)):
        if isinstance(value, str):
            got = f"the text {_cut(value)!r}"
        elif isinstance(value, bool):
            got = str(value).lower()
        elif isinstance(value, int | float) and abs(value) < 1e300:
            got = _cut(repr(value))
    return f"expected {expected}, got {got}."


_KINDS: tuple[tuple[type, str], ...] = (
    (str, "text"),
    (dict, "a section of keys"),
    (list, "a list"),
    (bool, "true or false"),
    (int, "a number"),
    (float, "a number"),
)


def _cut(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"
