"""What makes two questions equal: canonical bytes, and the digest that a store finds an answer by. Pure functions.

Order of JSON keys and whitespace do not matter; everything else does. Where it cannot be told whether two bodies say
the same (a key that stands twice, an escaped colon) they are taken for different ones: a needless call costs less than
another's answer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from hashlib import blake2b
from typing import Any, cast

import msgspec

from tidyllm.errors import BadRequest, StepError
from tidyllm.models.forward import Forward
from tidyllm.models.output import json_schema
from tidyllm.models.request import Request

__all__ = ["Memo", "canonical_json", "digest", "forward_key", "request_key", "value_key"]

_pack = msgspec.msgpack.Encoder(order="deterministic").encode
_encode = msgspec.json.Encoder(order="deterministic").encode
_encode_as_is = msgspec.json.Encoder().encode
# Numbers with a point stay as they were written: 0.1 and 0.10000000000000001 are one float, but two texts.
_decode = msgspec.json.Decoder(float_hook=lambda text: msgspec.Raw(text.encode())).decode

_OF_ONE_SENDING = frozenset({"idempotency-key", "x-client-request-id"})
"""Headers that name one act of sending. They tell nothing of what is asked, and many clients draw them at random."""


class Memo:
    """Digests of bodies as they came, with the keys that were found for them: equal bytes are read once.

    `most` is how many are kept (about 300 bytes each); the oldest goes first.
    """

    __slots__ = ("_kept", "_most")

    def __init__(self, most: int = 4096) -> None:
        self._most = most
        self._kept: dict[bytes, bytes] = {}

    def get(self, seen: bytes) -> bytes | None:
        """The key for the body with this digest, if it was seen."""
        return self._kept.get(seen)

    def put(self, seen: bytes, key: bytes) -> None:
        """Keep it."""
        while len(self._kept) >= self._most:
            self._kept.pop(next(iter(self._kept), b""), None)
        self._kept[seen] = key


def digest(data: bytes) -> bytes:
    """32 bytes that stand for `data`."""
    return blake2b(data, digest_size=32).digest()


def canonical_json(raw: bytes) -> bytes:
    """The same for all spellings of one JSON value, and different for different values."""
    try:
        text = _encode(_decode(raw))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return b"\0" + raw
    # A key that stands twice loses its colon, an integer -0 its sign; escapes may hide either.
    if (
        raw.count(b":") != text.count(b":")
        or raw.count(b"-0") != text.count(b"-0")
        or b"\\u003a" in raw
        or b"\\u003A" in raw
    ):
        return b"\0" + raw
    return text


def forward_key(call: Forward, place: tuple[str, ...], memo: Memo) -> bytes:
    """The key of a caller's own request. `place`: what else must be equal (the route, the tenant, …)."""
    headers = call.headers
    passed = (
        [(name, headers[name]) for name in sorted(headers) if name not in _OF_ONE_SENDING] if headers else ()
    )
    head = _pack((place, "forward", call.format, call.stream, passed))
    raw = _encode_as_is(call.fields)
    seen = digest(head + raw)
    key = memo.get(seen)
    if key is None:
        key = digest(head + canonical_json(raw))
        memo.put(seen, key)
    return key


def request_key(request: Request, place: tuple[str, ...], *, stream: bool) -> bytes | None:
    """The key of a request in our types; None when it holds what cannot be written as JSON, and so cannot be sent."""
    try:
        schema = None if request.output in (None, "json") else json_schema(request.output)
        wanted = (request.output if schema is None else None, schema)
        changes: dict[str, Any] = {} if request.output is None else {"output": None}
        if isinstance(request.messages, str):
            changes["messages"] = request.turns
        plain = msgspec.structs.replace(request, **changes) if changes else request
        return digest(_pack((place, "request", stream)) + _encode((wanted, plain)))
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError, BadRequest):
        return None


def value_key(value: object, place: tuple[str, ...], *, stream: bool) -> bytes:
    """The key of any step's input, with the names of the types in it.

    :raises StepError: something in it has no canonical form.
    """
    try:
        return digest(_pack((place, "value", stream, _typed(value))))
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise StepError(
            f"a {type(value).__name__} cannot be made a key of the cache: {error}.",
            hint="Give the cache key=…, a function that makes text or numbers of the input.",
        ) from error


def _typed(value: Any) -> Any:
    """`value` with each object marked by its type, so that two types with equal fields are two values."""
    kind = cast("type[Any]", type(value))
    if value is None or kind in _PLAIN:
        return value
    if kind is list or kind is tuple:
        return [kind.__name__, *(_typed(item) for item in cast("list[Any]", value))]
    if isinstance(value, Mapping):
        items = [(_typed(name), _typed(item)) for name, item in cast("Mapping[Any, Any]", value).items()]
        return [_name(kind), sorted(items, key=_pack)]
    if isinstance(value, AbstractSet):
        return [_name(kind), sorted(map(_pack, map(_typed, cast("AbstractSet[Any]", value))))]
    if isinstance(value, msgspec.Struct):
        return [_name(kind), [_typed(getattr(value, name)) for name in value.__struct_fields__]]
    if dataclasses.is_dataclass(value):
        return [_name(kind), [_typed(getattr(value, field.name)) for field in dataclasses.fields(value)]]
    if isinstance(value, int):
        return [_name(kind), _whole(value)]
    return [_name(kind), _pack(value)]


_PLAIN: frozenset[type] = frozenset({str, float, bool, bytes})


def _whole(value: int) -> str:
    return str(int(value))


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
