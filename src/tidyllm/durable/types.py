"""Which type a step gives, and whether values of it can be saved and read back. It saves nothing itself."""

from __future__ import annotations

import builtins
import collections.abc
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import msgspec
import msgspec.inspect

from tidyllm.core import FunctionStep, GeneratorStep, Parallel, Sequence, Step, Wrapper
from tidyllm.errors import UnregisteredType

__all__ = ["UNKNOWN", "check_type", "dec_hook", "enc_hook", "input_type", "output_type", "register_type"]

T = TypeVar("T")

UNKNOWN: Any = object()
"""No type was declared: values are saved with the name of theirs."""

_custom: dict[type, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {}


def register_type(kind: type[T], encode: Callable[[T], Any], decode: Callable[[Any], T]) -> None:
    """Say how values of `kind` become JSON (`encode`: something that JSON can hold) and values again (`decode`)."""
    _custom[kind] = encode, decode


def enc_hook(value: Any) -> Any:
    """For msgspec: a registered value as JSON can hold it. :raises TypeError: its type is not registered."""
    for kind in type(value).__mro__:
        if kind in _custom:
            return _custom[kind][0](value)
    raise TypeError(f"values of type {type(value).__qualname__} cannot be saved")


def dec_hook(kind: type[Any], value: Any) -> Any:
    """For msgspec: a registered value again. :raises TypeError: its type is not registered."""
    if kind in _custom:
        return _custom[kind][1](value)
    raise TypeError(f"values of type {kind.__qualname__} cannot be read back")


def output_type(step: Step[Any, Any]) -> Any:
    """What `step` says it gives; `UNKNOWN` when it does not say."""
    if isinstance(step, Wrapper):
        return output_type(step.inner)
    if isinstance(step, FunctionStep):
        return _settled(_hint(step.function, "return"))
    if isinstance(step, GeneratorStep):
        return _joined(step)
    if isinstance(step, Sequence):
        return output_type(step.steps[-1])
    if isinstance(step, Parallel):
        return _side_by_side(step)
    declared = getattr(step, "output_type", UNKNOWN)
    if declared is not UNKNOWN:
        return declared
    return _settled(_hint(type(step).invoke, "return"))


def input_type(step: Step[Any, Any]) -> Any:
    """What `step` says it takes; `UNKNOWN` when it does not say."""
    if isinstance(step, Wrapper):
        return input_type(step.inner)
    if isinstance(step, FunctionStep | GeneratorStep):
        function = cast("FunctionStep[Any, Any]", step).function
        return _settled(_hint(function, _first_parameter(function)))
    return _settled(_hint(type(step).invoke, "x"))


def _side_by_side(step: Parallel[Any, Any]) -> Any:
    kinds = [output_type(one) for one in step.steps]
    if step.collect or any(kind is UNKNOWN for kind in kinds):
        return UNKNOWN
    if not step.is_dict:
        return tuple[tuple(kinds)]
    return dict[str, kinds[0]] if all(kind == kinds[0] for kind in kinds) else UNKNOWN


def _joined(step: GeneratorStep[Any, Any]) -> Any:
    told = typing.get_args(_hint(step.function, "return"))
    # How pieces are joined by a function of the user's own is only known by its annotation.
    join = getattr(step, "_join", None)
    if join is not None:
        return _settled(_hint(join, "return"))
    if not told or _settled(told[0]) is UNKNOWN:
        return UNKNOWN
    return str if told[0] is str else list[told[0]]


def _hint(function: Callable[..., Any], name: str) -> Any:
    plain: Any = getattr(function, "func", function)
    if not isinstance(plain, types.FunctionType | types.MethodType) and not isinstance(plain, type):
        plain = getattr(cast("type[Any]", type(plain)), "__call__", plain)  # noqa: B004 - the annotation, not whether it can be called
    try:
        return typing.get_type_hints(plain, include_extras=True).get(name, UNKNOWN)
    except Exception:  # noqa: BLE001 - names in annotations may exist for the type checker only
        return UNKNOWN


def _first_parameter(function: Callable[..., Any]) -> str:
    import inspect

    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return ""
    return names[0] if names else ""


def _settled(kind: Any) -> Any:
    """The type itself, where it says everything; `UNKNOWN` where something of it is left open."""
    origin = typing.get_origin(kind)
    if origin in (collections.abc.Coroutine, collections.abc.Awaitable):
        return _settled(typing.get_args(kind)[-1])
    if kind is Any or kind is object or isinstance(kind, TypeVar):
        return UNKNOWN
    if any(isinstance(part, TypeVar) for part in getattr(kind, "__parameters__", ())):
        return UNKNOWN
    return kind


def check_type(kind: Any, what: str) -> None:
    """:raises UnregisteredType: values of `kind` cannot be saved. `what` names function and parameter."""
    if kind is UNKNOWN:
        return
    try:
        info = msgspec.inspect.type_info(kind)
        bad = next(_foreign(info, set()), None)
        if bad is None:
            msgspec.json.Decoder(kind, dec_hook=dec_hook)
            return
        why = (
            bad
            if isinstance(bad, str)
            else (
                f"{bad.__module__}.{bad.__qualname__}"
                if bad.__module__ != builtins.__name__
                else bad.__qualname__
            )
        )
        why += " has no form in JSON" if isinstance(bad, type) else ""
    except (TypeError, ValueError, NotImplementedError) as error:
        why = str(error).splitlines()[0].rstrip(".")
    raise UnregisteredType(
        f"{what} is {_shown(kind)}, which cannot be saved and read back: {why}.",
        hint="Use plain types, dataclasses or msgspec.Struct (tagged, in unions), or tidyllm.durable.register_type(…).",
    )


def _foreign(info: Any, seen: set[int]) -> Iterator[type | str]:
    """Classes in a type that nobody said how to save, or what else cannot be."""
    if isinstance(info, msgspec.inspect.CustomType):
        if info.cls not in _custom:
            yield info.cls
        return
    if isinstance(info, msgspec.inspect.Metadata):
        yield from _foreign(info.type, seen)
        return
    if not isinstance(info, msgspec.inspect.Type) or id(info) in seen:
        return
    seen.add(id(info))
    if isinstance(info, msgspec.inspect.DictType) and not _is_key(info.key_type):
        yield "a key of a dict can only be text, a number, or what has such a form in JSON"
    for name in getattr(info, "__struct_fields__", ()):
        value = getattr(info, name)
        parts: tuple[Any, ...] = cast("tuple[Any, ...]", value) if isinstance(value, tuple) else (value,)
        for part in parts:
            yield from _foreign(part.type if isinstance(part, msgspec.inspect.Field) else part, seen)


_NO_KEYS = (
    *(msgspec.inspect.BoolType, msgspec.inspect.NoneType, msgspec.inspect.DictType, msgspec.inspect.ListType),
    *(
        msgspec.inspect.SetType,
        msgspec.inspect.FrozenSetType,
        msgspec.inspect.TupleType,
        msgspec.inspect.VarTupleType,
    ),
    *(msgspec.inspect.StructType, msgspec.inspect.DataclassType, msgspec.inspect.NamedTupleType),
)


def _is_key(info: Any) -> bool:
    if isinstance(info, msgspec.inspect.UnionType):
        return all(map(_is_key, info.types))
    return not isinstance(info, _NO_KEYS)


def _shown(kind: Any) -> str:
    return kind.__qualname__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)
