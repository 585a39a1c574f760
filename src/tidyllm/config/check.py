"""Finding what is wrong in a configuration, all of it at once, with the place and what was probably meant. Pure."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, cast

import msgspec

from tidyllm.config.schema import Settings
from tidyllm.models.provider import KINDS

__all__ = ["Problem", "check", "did_you_mean"]


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong. `where` is the path of keys (`models.fast.retry`), `line` its line in the file (from 1)."""

    where: tuple[str, ...]
    message: str
    hint: str = ""
    line: int | None = None
    file: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.file and self.line else f"{self.file}: " if self.file else ""
        path = ".".join(self.where)
        return f"{place}{path}: {self.message}{f' {self.hint}' if self.hint else ''}" if path else f"{place}{self.message}"


def check(data: object) -> tuple[Settings | None, list[Problem]]:
    """The settings, or everything that is wrong with `data`."""
    if data is None:
        data = {}
    if not isinstance(data, Mapping):
        return None, [Problem((), f"the file holds {_kind(data)}, expected keys such as providers and models.")]
    problems = list(_unknown_keys(data, Settings, ()))
    if problems:
        return None, problems
    try:
        settings = msgspec.convert(data, Settings, str_keys=True)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        where = tuple(part for part in path.rstrip("`").replace("[...]", "").split(".") if part)
        return None, [Problem(_real_path(data, where), f"{message}.")]
    problems = list(_meaning(settings))
    return (None if problems else settings), problems


def did_you_mean(word: str, known: list[str]) -> str:
    """A hint with the nearest of `known`, or with all of them when none is near."""
    near = get_close_matches(word, known, 1, 0.6)
    return f"Did you mean {near[0]!r}?" if near else f"Known are {', '.join(known) or 'none'}."


def _unknown_keys(data: Any, wanted: Any, where: tuple[str, ...]) -> Iterator[Problem]:
    for option in _options(wanted):
        if isinstance(option, type) and issubclass(option, msgspec.Struct) and isinstance(data, Mapping):
            fields = {field.name: field.type for field in msgspec.structs.fields(option)}
            for key, value in cast("Mapping[Any, Any]", data).items():
                if key not in fields:
                    yield Problem((*where, str(key)), "unknown key.", did_you_mean(str(key), list(fields)))
                else:
                    yield from _unknown_keys(value, fields[key], (*where, str(key)))
        elif typing.get_origin(option) is dict and isinstance(data, Mapping):
            inner = typing.get_args(option)[1]
            for key, value in cast("Mapping[Any, Any]", data).items():
                yield from _unknown_keys(value, inner, (*where, str(key)))


def _options(wanted: Any) -> list[Any]:
    if typing.get_origin(wanted) is typing.Annotated:
        return _options(typing.get_args(wanted)[0])
    if typing.get_origin(wanted) in (typing.Union, types.UnionType):
        return [option for one in typing.get_args(wanted) for option in _options(one)]
    return [wanted]


def _real_path(data: Any, where: tuple[str, ...]) -> tuple[str, ...]:
    # msgspec writes `[...]` for the key of a dict: the names cannot be had from it, so they are left out.
    return tuple(part for part in where if part != "[...]")


def _meaning(settings: Settings) -> Iterator[Problem]:
    for name, provider in settings.providers.items():
        where = ("providers", name)
        if "/" in name or "*" in name:
            yield Problem(where, "a provider's name may hold neither '/' nor '*'.")
        if provider.kind not in KINDS:
            yield Problem((*where, "kind"), f"{provider.kind!r} is unknown.", did_you_mean(provider.kind, list(KINDS)))
            continue
        spoken = [endpoint.format for endpoint in KINDS[provider.kind].endpoints]
        for format in provider.formats or ():
            if format not in spoken:
                yield Problem((*where, "formats"), f"kind {provider.kind} does not speak {format!r}.", did_you_mean(format, spoken))
        if provider.base_url is not None and not provider.base_url.startswith(("http://", "https://")):
            yield Problem((*where, "base_url"), f"{provider.base_url!r} does not begin with http:// or https://.")
    for name, model in settings.models.items():
        where = ("models", name)
        if name.count("*") > 1:
            yield Problem(where, "a name may hold one '*'.")
        for target in model.route:
            provider, slash, bare = target.partition("/")
            if not slash or not bare:
                yield Problem((*where, "route"), f"target {target!r} is not of the form provider/model.")
            elif provider not in settings.providers:
                hint = did_you_mean(provider, list(settings.providers))
                yield Problem((*where, "route"), f"target {target!r}: there is no provider {provider!r}.", hint)
            if "*" in target and "*" not in name:
                yield Problem((*where, "route"), f"target {target!r} has a '*', but the name {name!r} has none.")
        if len(set(model.route)) != len(model.route):
            yield Problem((*where, "route"), "a target stands in it twice.")
        if model.retry.cap < model.retry.base:
            yield Problem((*where, "retry"), f"cap {model.retry.cap:g} s is below base {model.retry.base:g} s.")


def _kind(value: object) -> str:
    return {list: "a list", str: "text", int: "a number", float: "a number", bool: "true or false"}.get(
        type(value), type(value).__name__
    )
