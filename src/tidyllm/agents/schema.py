"""The parameters of a function as a JSON schema, and a model's arguments as values for them. It calls no function.

Arguments are checked strictly: unknown names, missing ones and wrong types are refused. Where that fails, what models
write by mistake and what can mean only one thing is taken: `"12"`, `"true"`, `"null"` and `3.0` where a number, a
boolean, nothing or a whole number is wanted, and a list or an object written as the JSON text of one. A number never
becomes text, nothing is rounded, and text stays text where text is allowed.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from types import SimpleNamespace, UnionType
from typing import Annotated, Any, cast

import msgspec

from tidyllm.agents.docstrings import describe
from tidyllm.core.context import Context
from tidyllm.errors import BadToolCall, ToolError

__all__ = ["Parameters", "takes_text"]

_MOST_NAMED = 400
"""Characters of a reason that go to the model: a value quoted in it may be long."""


class Parameters:
    """What a function takes: `schema` for the model, `values(arguments)` for the call.

    :raises ToolError: the function takes `*args`, positional-only or untyped parameters, or a type without a schema.
    """

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        signature = _signature(function, name)
        ctx = signature.parameters.get("ctx")
        self.takes_ctx = ctx is not None and _is_context(function, ctx, name)
        shown = {
            key: one for key, one in signature.parameters.items() if not (self.takes_ctx and key == "ctx")
        }
        self.description, words = describe(function.__doc__, shown.keys())
        fields: list[tuple[str, Any, Any]] = []
        defaults: dict[str, Any] = {}
        for key, one in shown.items():
            hint = _type_of(function, one, name)
            if _says_nothing(hint):
                raise ToolError(
                    f"{name!r} cannot be a tool: its parameter {key!r} is {_words(hint)}, and object says nothing.",
                    hint=f"Write the type that the model is to give ({key}: str), or Any where anything may come.",
                )
            if key in words:
                hint = Annotated[hint, msgspec.Meta(description=words[key])]
            if one.default is inspect.Parameter.empty:
                fields.append((key, hint, msgspec.field()))
            else:
                defaults[key] = one.default
                fields.append((key, hint, msgspec.field(default_factory=lambda: None)))
        try:
            self._type = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
            self.schema = _schema(self._type, defaults)
        except (TypeError, RecursionError) as error:
            raise ToolError(
                f"no JSON schema can be made of the parameters of {name!r}: {error}",
                hint="Use str, int, float, bool, list, dict, Literal, Enum, Optional, msgspec.Struct or a dataclass.",
            ) from error

    def values(self, arguments: Mapping[str, Any], name: str) -> dict[str, Any]:
        """The arguments as the function's own types; those left out are left to its defaults.

        :raises BadToolCall: they do not fit; the message is for the model.
        """
        given = dict(arguments)
        try:
            fitted = msgspec.convert(given, self._type, strict=True)
        except (msgspec.ValidationError, RecursionError, OverflowError) as error:
            fitted = self._loosely(given)
            if fitted is None:
                raise BadToolCall(self._reason(name, str(error))) from None
        return {key: getattr(fitted, key) for key in given}

    def _loosely(self, given: dict[str, Any]) -> Any:
        try:
            return msgspec.convert(given, self._type, strict=False)
        except (msgspec.ValidationError, RecursionError, OverflowError):
            pass
        # A list or an object that came as the text of one. Only where it is wanted: text elsewhere is not touched.
        wants = cast("dict[str, Any]", self.schema["properties"])
        opened = {
            key: _opened(value) if key in wants and not takes_text(wants[key], self.schema) else value
            for key, value in given.items()
        }
        try:
            return msgspec.convert(opened, self._type, strict=False)
        except (msgspec.ValidationError, RecursionError, OverflowError):
            return None

    def _reason(self, name: str, error: str) -> str:
        properties = cast("dict[str, Any]", self.schema["properties"])
        required = cast("list[str]", self.schema["required"])
        listed = ", ".join(f"{key}{'' if key in required else ' (optional)'}" for key in properties) or "none"
        return (
            f"{name} was not called, because its arguments do not fit: {error[:_MOST_NAMED]}. "
            f"Its parameters are: {listed}."
        )


def _signature(function: Callable[..., Any], name: str) -> inspect.Signature:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        raise ToolError(
            f"{name!r} cannot be a tool: it does not tell what it takes.",
            hint="Write a typed function around it.",
        ) from None
    for key, one in signature.parameters.items():
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            stars = "*" if one.kind is one.VAR_POSITIONAL else "**"
            raise ToolError(
                f"{name!r} cannot be a tool: it takes {stars}{key}, which no schema can describe.",
                hint="Name each parameter, or take one parameter of type list or dict.",
            )
        if one.kind is one.POSITIONAL_ONLY:
            raise ToolError(
                f"{name!r} cannot be a tool: its parameter {key!r} has no name for a caller (it stands before /).",
                hint="Drop the slash.",
            )
        if key != "ctx" and one.annotation is inspect.Parameter.empty:
            hint = "Write the type of each parameter"
            raise ToolError(
                f"{name!r} cannot be a tool: its parameter {key!r} has no type.",
                hint=f"{hint}, or make the tool of the bound method."
                if key == "self"
                else f"{hint}: {key}: str",
            )
    return signature


def _is_context(function: Callable[..., Any], one: inspect.Parameter, name: str) -> bool:
    """Whether a parameter `ctx` is the context, and no argument that happens to be called so."""
    if one.annotation is inspect.Parameter.empty:
        return True
    try:
        hint = _type_of(function, one, name)
    except ToolError:  # known to type checkers only
        return True
    kinds = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, UnionType) else (hint,)
    return any(
        kind is Any or kind is object or (isinstance(kind, type) and issubclass(kind, Context))
        for kind in kinds
    )


def _says_nothing(hint: Any) -> bool:
    return hint is object or any(map(_says_nothing, typing.get_args(hint)))


def _words(hint: Any) -> str:
    return "object" if hint is object else str(hint)


def _type_of(function: Callable[..., Any], one: inspect.Parameter, name: str) -> Any:
    inner = inspect.unwrap(function)
    inner = getattr(inner, "__func__", getattr(inner, "func", inner))
    names: dict[str, Any] = dict(getattr(inner, "__globals__", {}))
    cells = getattr(inner, "__closure__", None) or ()
    for free, cell in zip(getattr(getattr(inner, "__code__", None), "co_freevars", ()), cells, strict=False):
        try:
            names[free] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    # One by one: the type of ctx is often known to type checkers only, and is not needed.
    holder = SimpleNamespace(__annotations__={"it": one.annotation})
    try:
        return typing.get_type_hints(holder, globalns=names, include_extras=True)["it"]
    except (NameError, TypeError, SyntaxError, AttributeError) as error:
        raise ToolError(
            f"{name!r} cannot be a tool: the type of {one.name!r} cannot be found: {error}.",
            hint="Import or define that type where the function's module can see it at runtime.",
        ) from error


def _schema(shape: type[msgspec.Struct], defaults: Mapping[str, Any]) -> dict[str, Any]:
    (reference,), definitions = msgspec.json.schema_components([shape], ref_template="#/$defs/{name}")
    own = str(reference["$ref"]).rpartition("/")[2]
    root: dict[str, Any] = definitions.pop(own)
    root.pop("title", None)
    root.setdefault("properties", {})
    root.setdefault("required", [])
    for key, value in defaults.items():
        shown = root["properties"][key] = {**root["properties"][key]}
        shown.pop("default", None)
        try:
            shown["default"] = msgspec.to_builtins(value, str_keys=True)
        except TypeError:  # such a default is the function's own business
            continue
    if definitions:
        root["$defs"] = definitions
    return root


def _opened(value: Any) -> Any:
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return value


def takes_text(wanted: Any, root: Mapping[str, Any], depth: int = 0) -> bool:
    """Whether text may stand there; also where the schema leaves it open."""
    if not isinstance(wanted, dict) or depth > 8:
        return True
    schema = cast("dict[str, Any]", wanted)
    if isinstance(schema.get("$ref"), str):
        definitions = cast("dict[str, Any]", root.get("$defs", {}))
        return takes_text(definitions.get(schema["$ref"].rpartition("/")[2]), root, depth + 1)
    for word in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(word), list):
            return any(takes_text(one, root, depth + 1) for one in schema[word])
    if "enum" in schema:
        return any(isinstance(one, str) for one in schema["enum"])
    if "const" in schema:
        return isinstance(schema["const"], str)
    kinds = schema.get("type")
    return kinds is None or kinds == "string" or (isinstance(kinds, list) and "string" in kinds)
