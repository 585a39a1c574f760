"""A cache around any step. It knows values and their types, nothing of models."""

from __future__ import annotations

import typing
from collections.abc import Callable
from collections.abc import Sequence as Pieces
from datetime import timedelta
from typing import Any, TypeVar, final

import msgspec

from tidyllm.cache.backend import Backend
from tidyllm.cache.caching import Caching
from tidyllm.cache.entry import Corrupt, Entry
from tidyllm.cache.key import value_key
from tidyllm.cache.landed import Packed
from tidyllm.core import Context, FunctionStep, Step
from tidyllm.errors import ConfigError

__all__ = ["Cache"]

I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)

_encode = msgspec.msgpack.Encoder().encode
_UNWRITABLE = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)


@final
class Cache(Caching[I_contra, O_co]):
    """`Cache(step)`: equal inputs are answered once.

    - `ttl_seconds`: how long an answer is kept, in seconds or as a `timedelta`; an hour.
    - `key`: makes of an input what decides whether two are equal: text, numbers, or lists and dicts of them. Default:
      the whole input, with the types of what is in it.
    - `store`: where; default: the memory of this process.
    - `answer`: the type of the step's answers, for reading kept ones. Default: what its function says it returns. An
      answer that would not come back equal from the store is passed on, and not kept.
    - `space`: answers of two caches on one store are apart when this differs. Default: the step's name and, for a
      function, its module. Change it when the step's meaning changes.
    - `max_entry_bytes`: larger answers are passed on, and not kept. 1 MB.

    Errors are not kept. Streams are kept as their pieces, apart from whole answers. For models and routes use
    `AnswerCache`, which knows what of a request matters.

    :raises ConfigError: an argument is out of range.
    :raises StepError: an input cannot be made a key.
    """

    def __init__(
        self,
        step: Step[I_contra, O_co] | Callable[[I_contra], Any],
        ttl_seconds: float | timedelta = 3600,
        *,
        key: Callable[[I_contra], Any] | None = None,
        store: Backend | None = None,
        answer: Any = None,
        space: str | None = None,
        max_entry_bytes: int = 1_000_000,
        name: str | None = None,
    ) -> None:
        super().__init__(step, ttl_seconds, store, max_entry_bytes, name)
        self.space = _space(self.inner) if space is None else space
        self._key_of = key
        kind = _answer_of(self.inner) if answer is None else answer
        try:
            self._decode = msgspec.msgpack.Decoder(kind).decode
        except (TypeError, ValueError) as error:
            if answer is not None:
                raise ConfigError(
                    f"{kind!r} is no type that can be read back: {error}.", where="Cache.answer"
                ) from error
            self._decode = msgspec.msgpack.Decoder().decode
        self._decode_pieces = msgspec.msgpack.Decoder(list[Any]).decode

    def _key(self, x: Any, ctx: Context, *, stream: bool) -> bytes:
        return value_key(x if self._key_of is None else self._key_of(x), (self.space,), stream=stream)

    def _pack(self, answer: Any, x: Any) -> tuple[Packed | None, bool]:
        return self._packed("value", answer, self._decode)

    def _pack_pieces(self, pieces: Pieces[Any], x: Any) -> tuple[Packed | None, bool]:
        return self._packed("pieces", list(pieces), self._decode_pieces)

    def _packed(self, kind: str, value: Any, decode: Callable[[bytes], Any]) -> tuple[Packed | None, bool]:
        try:
            body = _encode(value)
            again = decode(body)
            same = type(again) is type(value) and bool(again == value) and _alike(again, value)
        except _UNWRITABLE:
            same, body = False, b""
        return (Packed(kind, body), True) if same else (None, False)

    def _unpack(self, entry: Entry, x: Any) -> Any:
        return _read("value", entry, self._decode)

    def _unpack_pieces(self, entry: Entry, x: Any) -> Pieces[Any]:
        return _read("pieces", entry, self._decode_pieces)


def _read(kind: str, entry: Entry, decode: Callable[[bytes], Any]) -> Any:
    if entry.kind != kind:
        raise Corrupt(f"it holds {entry.kind!r} where {kind!r} was expected")
    try:
        return decode(entry.body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Corrupt(f"its answer cannot be read: {error}") from error


def _alike(one: Any, other: Any) -> bool:
    """Whether equal values are of equal types inside: 1 == 1.0 == True, and a tuple of lists comes back as lists."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return all(_alike(value, other[name]) for name, value in typing.cast("dict[Any, Any]", one).items())
    if isinstance(one, list | tuple):
        pairs = zip(typing.cast("list[Any]", one), typing.cast("list[Any]", other), strict=True)
        return all(_alike(mine, theirs) for mine, theirs in pairs)
    return True


def _space(step: Step[Any, Any]) -> str:
    if isinstance(step, FunctionStep):
        function = typing.cast("Any", step).function
        return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '')} {step.name}"
    return f"{type(step).__module__}.{type(step).__qualname__} {step!r}"


def _answer_of(step: Step[Any, Any]) -> Any:
    """What a step's function says it returns; anything where it does not say."""
    if not isinstance(step, FunctionStep):
        return Any
    try:
        return typing.get_type_hints(typing.cast("Any", step).function).get("return", Any)
    except (NameError, TypeError, AttributeError):
        return Any
