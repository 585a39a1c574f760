"""Values and errors as JSON, and back as they were. It knows no database, and never unpickles anything.

A step with a declared type is read back as that type. Without one, the value bears the name of its class, if JSON alone
would not give it back.
"""

from __future__ import annotations

import builtins
import dataclasses
import importlib
import math
from hashlib import blake2b
from typing import Any, cast

import msgspec

from tidyllm import errors
from tidyllm.core import Step
from tidyllm.durable.faithful import Faithful, difference
from tidyllm.durable.types import UNKNOWN, check_type, dec_hook, enc_hook, output_type
from tidyllm.errors import StepFailed, TidyllmError, UnregisteredType

__all__ = ["Codec", "codec_of", "decode_error", "digest", "encode_error", "encode_plain"]

_PLAIN = (str, int, float, bool, type(None))
_TYPE = "!type"
_VALUE = "value"
_TUPLE = "tuple"
_FLOAT = "float"
_FIELDS = "fields"
_sorted = msgspec.json.Encoder(enc_hook=enc_hook, order="deterministic")
_encoder = msgspec.json.Encoder(enc_hook=enc_hook)


class Codec:
    """How the values of one type are saved."""

    def __init__(self, kind: Any, what: str) -> None:
        """:raises UnregisteredType: they cannot be; `what` names function and parameter."""
        check_type(kind, what)
        self.kind = kind
        self.what = what
        self._faithful = Faithful(kind)
        self._decoder: msgspec.json.Decoder[Any] | None = (
            None if kind is UNKNOWN else msgspec.json.Decoder(kind, dec_hook=dec_hook)
        )

    def encode(self, value: Any) -> str:
        """:raises UnregisteredType: this value is not what was declared, or of a class that cannot be saved."""
        try:
            if self._decoder is None:
                return _tagged(value).decode()
            if (lost := self._faithful.lost(value)) is not None:
                raise TypeError(lost)
            text = _encoder.encode(value)
            if self._faithful.rebuilds and (where := self._changed(text, value)) is not None:
                raise TypeError(f"read back, it is another one at {where}: its __post_init__ changes it")
            return text.decode()
        except (TypeError, ValueError, OverflowError, RecursionError, UnregisteredType) as error:
            why = error.message.rstrip(".") if isinstance(error, UnregisteredType) else error
            raise UnregisteredType(
                f"{self.what} gave a {type(value).__qualname__} that cannot be saved: {why}.",
                hint="Declare the type that it gives, or tidyllm.durable.register_type(…).",
            ) from error

    def _changed(self, text: bytes, value: Any) -> str | None:
        """Where a value differs from what is read back, because its class has code that runs then."""
        assert self._decoder is not None
        again = self._decoder.decode(text)
        return None if again == value else difference(_form(value), _form(again))

    def decode(self, text: str) -> Any:
        """The value again.

        :raises UnregisteredType: the text is not of the declared type.
        """
        try:
            return (
                _untagged(msgspec.json.decode(text)) if self._decoder is None else self._decoder.decode(text)
            )
        except (msgspec.MsgspecError, TypeError, ValueError, AttributeError, ImportError) as error:
            raise UnregisteredType(
                f"{self.what} saved {text[:60]!r}…, which is not of its declared type: {error}."
            ) from error


_codecs: dict[Any, Codec] = {}


def codec_of(step: Step[Any, Any]) -> Codec:
    """The codec for what `step` gives.

    :raises UnregisteredType: it declares a type that cannot be saved.
    """
    # Steps are few and live long, while equal ones may be made anew in every call.
    try:
        known = _codecs.get(step)
    except TypeError:  # a step whose class cannot be hashed
        return Codec(output_type(step), f"step {step.name!r}: its answer")
    if known is None:
        known = Codec(output_type(step), f"step {step.name!r}: its answer")
        if len(_codecs) > 10_000:
            _codecs.clear()
        _codecs[step] = known
    return known


def encode_plain(value: Any) -> str:
    """A value with the name of its class, where JSON alone would not give it back."""
    return _tagged(value).decode()


def decode_plain(text: str) -> Any:
    """What `encode_plain` saved."""
    return _untagged(msgspec.json.decode(text))


def digest(value: Any) -> str | None:
    """The same short text for equal inputs, in every process; None for one that cannot be written down."""
    try:
        return blake2b(_sorted.encode(value), digest_size=12).hexdigest()
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None


def _tagged(value: Any) -> bytes:
    return msgspec.json.encode(_marked(value))


def _marked(value: Any) -> Any:
    """The value with names of classes where JSON needs them."""
    kind = cast("type[Any]", type(value))
    if kind is float and not math.isfinite(value):
        return {_TYPE: _FLOAT, _VALUE: repr(value)}
    if kind in _PLAIN:
        return value
    if kind is list:
        return [_marked(one) for one in value]
    if kind is dict and _TYPE not in value and all(type(key) is str for key in value):
        return {key: _marked(one) for key, one in value.items()}
    if kind is tuple:
        return {_TYPE: _TUPLE, _VALUE: [_marked(one) for one in value]}
    if "<locals>" in kind.__qualname__:
        raise TypeError(f"{kind.__qualname__} is defined inside of a function, where nobody finds it again")
    check_type(kind, "its value")
    text = _encoder.encode(value)
    named = f"{kind.__module__}:{kind.__qualname__}"
    if _reads_back(text, kind, value):
        return {_TYPE: named, _VALUE: msgspec.Raw(text)}
    # Its fields may hold anything: each bears the name of its own class.
    names = _fields(kind)
    if names is None:
        raise TypeError(f"a {kind.__qualname__} would not be read back equal; declare the step's type")
    fields = {name: _marked(getattr(value, name)) for name in names}
    made = {_TYPE: named, _FIELDS: fields}
    if hasattr(kind, "__post_init__"):
        again = _untagged(msgspec.json.decode(msgspec.json.encode(made)))
        for name in _fields(cast("type[Any]", type(again))) or ():
            if name in names and msgspec.json.encode(_marked(getattr(again, name))) != msgspec.json.encode(
                fields[name]
            ):
                raise TypeError(f"read back, its {name!r} is another one: its __post_init__ changes it")
    return made


def _form(value: Any) -> Any:
    return msgspec.json.decode(_sorted.encode(value))


def _reads_back(text: bytes, kind: type[Any], value: Any) -> bool:
    try:
        return bool(msgspec.json.decode(text, type=kind, dec_hook=dec_hook) == value)
    except msgspec.ValidationError:
        return False


def _fields(kind: type[Any]) -> tuple[str, ...] | None:
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_fields__
    if dataclasses.is_dataclass(kind):
        return tuple([one.name for one in dataclasses.fields(kind) if one.init])
    return None


def _untagged(found: Any) -> Any:
    if isinstance(found, list):
        return [_untagged(one) for one in cast("list[Any]", found)]
    if not isinstance(found, dict):
        return found
    named = cast("dict[str, Any]", found)
    if _TYPE not in named:
        return {key: _untagged(one) for key, one in named.items()}
    if named[_TYPE] == _TUPLE:
        return tuple(_untagged(one) for one in named[_VALUE])
    if named[_TYPE] == _FLOAT:
        return float(named[_VALUE])
    home, _, name = str(named[_TYPE]).partition(":")
    kind: Any = importlib.import_module(home)
    for part in name.split("."):
        kind = getattr(kind, part)
    if not isinstance(kind, type):
        raise TypeError(f"{home}:{name} is no class")
    if _FIELDS in named:
        made: Any = kind(**{key: _untagged(one) for key, one in named[_FIELDS].items()})
        return made
    # By way of text: what JSON has no form for (bytes, times) is read in the one way in which it was written.
    decoder: Any = msgspec.json.Decoder(cast("type[Any]", kind), dec_hook=dec_hook)
    return decoder.decode(msgspec.json.encode(named[_VALUE]))


# -- errors


def encode_error(error: BaseException) -> str:
    """Our errors by class and fields; those of Python by class and arguments; of others the words."""
    kind = type(error)
    note: dict[str, Any] = {"class": kind.__qualname__, "message": str(error)}
    if getattr(errors, kind.__name__, None) is kind:
        fields = {name: _kept(value) for name, value in error.__dict__.items() if not name.startswith("__")}
        note |= {"of": "tidyllm", "args": [_kept(one) for one in error.args], "fields": fields}
    elif getattr(builtins, kind.__name__, None) is kind and all(
        isinstance(one, _PLAIN) for one in error.args
    ):
        note |= {"of": "python", "args": list(error.args)}
    else:
        note["of"] = "other"
    return msgspec.json.encode(note).decode()


def decode_error(text: str, *, step: str, run_id: str | None = None) -> Exception:
    """The error as it was; `StepFailed` for one of a class that we do not know."""
    note: dict[str, Any] = msgspec.json.decode(text)
    name = note["class"]
    if note["of"] == "tidyllm":
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, TidyllmError):
            args = tuple(_again(one) for one in note["args"])
            error = kind.__new__(kind, *args)
            error.args = args
            error.__dict__.update({key: _again(value) for key, value in note["fields"].items()})
            return error
    if note["of"] == "python":
        found = getattr(builtins, name, None)
        if isinstance(found, type) and issubclass(found, Exception):
            return found(*note["args"])
    return StepFailed(f"step {step!r} failed: {name}: {note['message']}", step=step, kind=name, run_id=run_id)


def _kept(value: Any) -> Any:
    """A field of an error: saved if it can be, else as words."""
    try:
        return msgspec.Raw(_tagged(value))
    except (TypeError, ValueError, UnregisteredType):
        return {_TYPE: "", _VALUE: str(value)}


def _again(value: Any) -> Any:
    if isinstance(value, dict) and value.get(_TYPE) == "":  # pyright: ignore[reportUnknownMemberType]
        return cast("dict[str, Any]", value)[_VALUE]
    return _untagged(cast("Any", value))
