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
from tidyllm.config.schema import ModelSettings, ServerSettings, Settings, is_secret

__all__ = ["check", "words"]

_ROOT = inspect.type_info(Settings)
_WITH_UNIT = re.compile(r"\s*\d+(\.\d+)?\s*[a-zA-Z]+\s*")


def check(data: object) -> tuple[Settings | None, list[Problem]]:
    """The settings, or everything that is wrong with `data`: shapes, and what the values mean together as far as that
    can be judged without those that have no shape.
    """
    walk = _Walk()
    plain = walk.value(data, _ROOT, ())
    try:
        settings = msgspec.convert({} if plain is _UNUSABLE else plain, Settings)
    except msgspec.ValidationError as error:  # a rule of msgspec's that the walk does not know
        return None, walk.problems or [Problem((), f"{error}.")]
    lost = walk.lost
    if not settings.providers and any(len(where) < 2 for where in lost):  # they may be what is misspelt
        lost.add(("models",))
    problems = walk.problems + [one for one in broken_rules(settings) if not _depends(one.where, lost)]
    return (None if problems else settings), problems


def _depends(where: Where, lost: set[Where]) -> bool:
    """Whether what a rule says of this place may be owed to a lost one: at or above it, or a key of a section that the
    rule judges as a whole.
    """
    above = any(where[:length] in lost for length in range(len(where) + 1))
    return above or any(place[:-1] == where for place in lost if place)


_UNUSABLE: Any = object()
"""Instead of a value that has not the shape it must have."""
_STAND_INS = {"kind": "offline", "route": ["…/…"]}
"""Instead of what must be there and is not: what they stand in is not judged by them."""
_JUDGED_ALONE = frozenset({Settings, ServerSettings, ModelSettings})
"""Sections in which no rule looks at two of the keys."""


class _Walk:
    """Data as it stands in a file, held against what is wanted."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.lost: set[Where] = set()
        """Places at or below which no rule can be judged: something there is missing, or not what was meant."""

    def value(self, value: object, wanted: inspect.Type, where: Where) -> Any:
        """The value with empty sections filled in, as msgspec wants them, without what is unusable."""
        match wanted:
            case inspect.UnionType():
                inner = [one for one in wanted.types if not isinstance(one, inspect.NoneType)]
                if value is None and len(inner) < len(wanted.types):
                    return None
                return self.value(value, inner[0], where)
            case inspect.StructType():
                section = self._section(value, where)
                return _UNUSABLE if section is None else self._struct(section, wanted, where)
            case inspect.DictType():
                section = self._section(value, where)
                if section is None:
                    return _UNUSABLE
                entries = {
                    key: self.value(each, wanted.value_type, (*where, key)) for key, each in section.items()
                }
                known = {key: self._or_stand_in(each, wanted, (*where, key)) for key, each in entries.items()}
                return {key: each for key, each in known.items() if each is not _UNUSABLE}
            case inspect.VarTupleType():
                return self._list(value, wanted, where)
            case inspect.AnyType():
                return value
            case _:
                if _fits(value, wanted):
                    return value
                self.problems.append(
                    Problem(where, _instead(value, words(wanted), where), _hint(value, wanted))
                )
                return _UNUSABLE

    def _struct(self, section: Mapping[str, object], wanted: inspect.StructType, where: Where) -> Any:
        fields = {field.encode_name: field for field in wanted.fields}
        plain: dict[str, Any] = {}
        for key, each in section.items():
            if key not in fields:
                self.problems.append(Problem((*where, key), "unknown key.", did_you_mean(key, fields)))
                self._lose(wanted, where, key)
                continue
            found = self.value(each, fields[key].type, (*where, key))
            if found is _UNUSABLE:
                self._lose(wanted, where, key)
            else:
                plain[key] = found
        for key, field in fields.items():
            if field.required and key not in plain:
                if key not in section:
                    missing = f"the key {key!r} is missing."
                    self.problems.append(Problem(where, missing, _EXAMPLES.get(key, "")))
                self._lose(wanted, where, key)
                if key not in _STAND_INS:
                    return _UNUSABLE
                plain[key] = _STAND_INS[key]
        return plain

    def _lose(self, section: inspect.StructType, where: Where, key: str) -> None:
        self.lost.add((*where, key) if section.cls in _JUDGED_ALONE else where)

    def _or_stand_in(self, value: Any, section: inspect.DictType, where: Where) -> Any:
        """An entry of names; one that is unusable keeps its name, which others may refer to."""
        if value is not _UNUSABLE:
            return value
        self.lost.add(where)
        kind = section.value_type
        if isinstance(kind, inspect.StructType):
            required = [field.encode_name for field in kind.fields if field.required]
            return (
                {name: _STAND_INS.get(name) for name in required}
                if set(required) <= set(_STAND_INS)
                else _UNUSABLE
            )
        return "" if isinstance(kind, inspect.StrType) else _UNUSABLE

    def _list(self, value: object, wanted: inspect.VarTupleType, where: Where) -> Any:
        if not isinstance(value, list):
            hint = f"Write it as a list: [{_cut(value)}]." if isinstance(value, str) else ""
            self.problems.append(Problem(where, _instead(value, "a list", where), hint))
            return _UNUSABLE
        given = cast("list[object]", value)
        if len(given) < (wanted.min_length or 0):
            self.problems.append(Problem(where, "the list is empty.", _EXAMPLES.get(str(where[-1]), "")))
            return _UNUSABLE
        items = [self.value(each, wanted.item_type, (*where, place)) for place, each in enumerate(given)]
        return _UNUSABLE if _UNUSABLE in items else items

    def _section(self, value: object, where: Where) -> Mapping[str, object] | None:
        """The keys of a section; one with nothing in it has none. None: it is no section."""
        if value is None:
            return {}
        if isinstance(value, dict):
            return cast("Mapping[str, object]", value)
        self.problems.append(Problem(where, _instead(value, "a section of keys", where, shown=False)))
        return None


_EXAMPLES = {
    "kind": "Say who it is, such as `kind: openai`.",
    "route": "Name at least one target, such as [main/gpt-5-mini].",
}


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
