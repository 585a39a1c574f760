"""Which JSON is a call: the shapes in which models write one. Pure; it knows values and schemas, no text around them.

A value is a call when it says a name and arguments and little else. JSON that only happens to have a `name` is none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from tidyllm.agents.parse_json import Unreadable, read_json

__all__ = ["Ask", "asks_of", "looks_like_a_call"]

_NAMES = ("tool", "tool_name", "name", "function", "function_name", "recipient_name", "action")
_ARGUMENTS = ("arguments", "parameters", "args", "params", "input", "tool_input", "action_input", "kwargs")
_LISTS = ("tool_calls", "calls", "function_calls", "tool_uses")
_SINGLES = ("tool_call", "function_call")
_BESIDE = frozenset(
    {"id", "type", "index", "call_id", "thought", "thoughts", "reasoning", "reason", "explanation"}
)
_NAME_KEY = re.compile(
    rf"[\s\[{{]{{0,40}}+[\"'\u201c\u2018]?(?:{'|'.join((*_NAMES, *_LISTS, *_SINGLES))})[\"'\u201d\u2019]?\s*+:"
)
_ARGUMENTS_KEY = re.compile(rf"[\"'\u201c\u2018](?:{'|'.join(_ARGUMENTS)})[\"'\u201d\u2019]\s*+:")
_DEEPEST = 4  # lists of calls within wrappers within lists


class Ask(msgspec.Struct, frozen=True):
    """A call as it was written, or what is wrong with it."""

    name: str = ""
    arguments: dict[str, Any] = {}
    problem: str = ""


def looks_like_a_call(text: str, names: Mapping[str, Any]) -> bool:
    """Whether unreadable JSON was meant as a call: it begins with a name, and says a tool or arguments."""
    begins = _NAME_KEY.match(text)
    if begins is None:
        return False
    near = text[begins.end() : begins.end() + 200]
    return bool(_ARGUMENTS_KEY.search(text)) or any(name in near for name in names)


def asks_of(value: Any, names: Mapping[str, Any], *, sure: bool, depth: int = 0) -> list[Ask]:
    """The calls that a JSON value is; none when it is something else. `sure`: it was marked as a call."""
    if depth > _DEEPEST:
        return []
    if isinstance(value, list):
        each = [asks_of(one, names, sure=sure, depth=depth + 1) for one in cast("list[Any]", value)]
        if not sure and not all(each):
            return []  # a list of other things, though some look like calls
        return [ask for asks in each for ask in asks]
    if not isinstance(value, dict):
        return [Ask(problem="A call must be a JSON object.")] if sure else []
    known = cast("dict[str, Any]", value)
    for key in _LISTS:
        if isinstance(known.get(key), list) and key not in names:
            return asks_of(known[key], names, sure=True, depth=depth + 1)
    for key in _SINGLES:
        if isinstance(known.get(key), dict):
            return asks_of(known[key], names, sure=True, depth=depth + 1)
    inner = known.get("function")
    if isinstance(inner, dict) and isinstance(cast("dict[str, Any]", inner).get("name"), str):
        beside = known.keys() - _BESIDE - {"function"}
        return asks_of(inner, names, sure=sure or not beside, depth=depth + 1)
    return _ask_of(known, names, sure=sure)


def _ask_of(value: dict[str, Any], names: Mapping[str, Any], *, sure: bool) -> list[Ask]:
    name_keys = [key for key in _NAMES if isinstance(value.get(key), str)]
    argument_keys = [key for key in _ARGUMENTS if key in value]
    name_key = name_keys[0] if name_keys else None
    if name_key is None:
        odd = next((key for key in ("tool", "tool_name", "name") if key in value), None)
        arguments = [key for key in argument_keys if isinstance(value[key], dict)]
        if odd is not None and arguments and value.keys() <= _BESIDE | {odd, arguments[0]}:
            return [Ask(problem=f"A call names no tool: {odd!r} must be the name of one, in quotes.")]
        return [Ask(problem="A call names no tool.")] if sure else _nameless(value, names)
    name = cast("str", value[name_key])
    beside = value.keys() - (_BESIDE - _parameters(names.get(name))) - {name_key} - set(argument_keys)
    if not argument_keys:
        # Without arguments only the word "tool" says that a call is meant; a name alone is a mention.
        if not sure and not (name_key in ("tool", "tool_name") and name in names):
            return []
        if beside:
            return [
                Ask(problem=f'{name[:100]} was not called: its arguments do not stand under "arguments".')
            ]
        return [Ask(name)]
    if not sure and (name not in names) and (beside or name_key == "action"):
        return []  # some other JSON
    written = value[argument_keys[0]]
    if _is_schema(written) and not sure:
        return []  # a tool's definition, repeated
    if len(argument_keys) > 1 or beside:
        odd = ", ".join(sorted(beside | set(argument_keys[1:])))[:200]
        return [
            Ask(
                problem=f"{name[:100]} was not called: beside its arguments stands what belongs to none: {odd}."
            )
        ]
    return [_with_arguments(name, written)]


def _nameless(value: dict[str, Any], names: Mapping[str, Any]) -> list[Ask]:
    """What is wrong with arguments that stand there without a name, or under it."""
    if len(value) != 1 or not names:
        return []
    ((key, inner),) = value.items()
    if not isinstance(inner, dict) or _is_schema(inner):
        return []
    keys = cast("dict[str, Any]", inner).keys()
    if key in names:
        told = f'{key[:100]} was not called: its name does not stand under "name".'
        return [Ask(problem=told)] if keys <= _parameters(names[key]) else []
    fits = any(keys and keys <= _parameters(one) for one in names.values())
    return [Ask(problem="A call names no tool.")] if key in _ARGUMENTS and fits else []


def _parameters(schema: Any) -> set[str]:
    properties = cast("dict[str, Any]", schema).get("properties") if isinstance(schema, dict) else None
    return set(cast("dict[str, Any]", properties)) if isinstance(properties, dict) else set()


def _with_arguments(name: str, written: Any) -> Ask:
    if written is None:
        return Ask(name)
    if isinstance(written, str):
        stripped = written.strip()
        if not stripped:
            return Ask(name)
        try:
            found = read_json(stripped) if stripped[0] == "{" else None
        except Unreadable as why:
            return Ask(problem=f"{name[:100]} was not called: its arguments cannot be read: {why.reason}.")
        if found is None or stripped[found.end :].strip():
            return Ask(problem=f"{name[:100]} was not called: its arguments are no JSON object.")
        written = found.value
    if not isinstance(written, dict):
        return Ask(problem=f"{name[:100]} was not called: its arguments are no JSON object.")
    return Ask(name, cast("dict[str, Any]", written))


def _is_schema(written: Any) -> bool:
    if not isinstance(written, dict):
        return False
    schema = cast("dict[str, Any]", written)
    return schema.get("type") == "object" and isinstance(schema.get("properties"), dict)
