"""A learned policy as a file of JSON text: its facts for people, its weights as base64 of small numbers. No pickle."""

from __future__ import annotations

import base64
import binascii
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from tidyllm.errors import ConfigError
from tidyllm.routing.features import BITS, FAMILIES, SHAPES
from tidyllm.routing.foreign import Foreign
from tidyllm.routing.forest import Forest
from tidyllm.routing.kernel import Kernel
from tidyllm.routing.learned import Facts, LearnedPolicy, Weights
from tidyllm.routing.mixture import Mixture
from tidyllm.routing.signs import SIGNS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

__all__ = ["read", "write"]

_FORMAT = "tidyllm routing policy"
_VERSION = 4
_LARGEST = 64 << 20
"""Bytes of one part: the words of a policy with a thousand groups take a quarter of that."""
_MOST = 1e9
"""No measured number is larger; what is could make a choice overflow."""


class _Packed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A matrix: bytes from -127 to 127 in rows, times one `scale` for each column."""

    rows: int
    scale: tuple[float, ...]
    data: str


class _Foreign(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    inverse: tuple[tuple[float, ...], ...]
    far: float
    unknown: float
    seen: str


class _Kernel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The arrays of `Kernel`, in rows; `landmarks` and `weights` as bytes of the named type, little end first."""

    landmarks_float16: str
    weights_float32: str
    mean: tuple[float, ...]


class _Forest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The arrays of `Forest`, each as bytes of the named type, little end first."""

    column_int16: str
    cut_float32: str
    other_int32: str
    quality_float16: str
    roots: tuple[int, ...]


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: str
    version: int
    facts: Facts
    look_names: tuple[str, ...]
    look_mean: tuple[float, ...]
    look_spread: tuple[float, ...]
    offset: tuple[float, ...]
    shapes: tuple[tuple[float, ...], ...]
    kernel: _Kernel
    forest: _Forest
    foreign: _Foreign
    rare: tuple[_Packed, ...]
    words: tuple[_Packed, ...]


class _Head(msgspec.Struct):
    format: str = ""
    version: int = 0


def write(policy: LearnedPolicy, path: Path) -> None:
    """Write beside `path` and move it there, so that no reader ever sees half a policy."""
    import numpy as np

    weights = policy.weights
    kernel, forest = weights.mixture.kernel, weights.mixture.forest
    file = _File(
        format=_FORMAT,
        version=_VERSION,
        facts=policy.facts,
        look_names=(*SHAPES, *SIGNS),
        look_mean=tuple(weights.look_mean.tolist()),
        look_spread=tuple(weights.look_spread.tolist()),
        offset=tuple(weights.offset.tolist()),
        shapes=tuple(map(tuple, weights.shapes.round(6).tolist())),
        kernel=_Kernel(
            landmarks_float16=_text(kernel.landmarks.astype("<f2").tobytes()),
            weights_float32=_text(kernel.weights.astype("<f4").tobytes()),
            mean=tuple(kernel.mean.tolist()),
        ),
        forest=_Forest(
            column_int16=_text(forest.column.astype("<i2").tobytes()),
            cut_float32=_text(forest.cut.astype("<f4").tobytes()),
            other_int32=_text(forest.other.astype("<i4").tobytes()),
            quality_float16=_text(forest.quality.astype("<f2").tobytes()),
            roots=tuple(forest.roots.tolist()),
        ),
        foreign=_Foreign(
            inverse=tuple(map(tuple, weights.foreign.inverse.tolist())),
            far=weights.foreign.far,
            unknown=weights.foreign.unknown,
            seen=_text(np.packbits(weights.foreign.seen).tobytes()),
        ),
        rare=tuple(_pack(each[:, None]) for each in weights.rare),
        words=tuple(_pack(each) for each in weights.words),
    )
    data = msgspec.json.format(msgspec.json.encode(file), indent=1)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            with beside.open("wb") as out:
                out.write(data + b"\n")
                out.flush()
                os.fsync(out.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror or error}.", where=str(path)) from error


def read(path: Path) -> LearnedPolicy:
    """:raises ConfigError: it is missing, damaged, not a policy, or of a newer version."""
    import numpy as np

    where = str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror or error}.", where=where) from error
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.format != _FORMAT:
            raise ConfigError(
                "is not a routing policy.", where=where, hint="Make one with `tidyllm route train`."
            )
        if head.version != _VERSION:
            raise ConfigError(
                f"is a policy of version {head.version}; this program reads version {_VERSION}.",
                where=where,
                hint="Train it again, or use the program that wrote it.",
            )
        file = msgspec.json.decode(data, type=_File)
        _check_parts(file)
        foreign = file.foreign
        seen = np.unpackbits(np.frombuffer(_bytes(foreign.seen), np.uint8))
        weights = Weights(
            words=[_unpack(each) for each in file.words],
            shapes=np.array(file.shapes, float),
            offset=np.array(file.offset, float),
            rare=[_unpack(each).reshape(-1) for each in file.rare],
            look_mean=np.array(file.look_mean, float),
            look_spread=np.array(file.look_spread, float),
            mixture=_mixture(file),
            foreign=Foreign(np.array(foreign.inverse, float), foreign.far, seen, foreign.unknown),
        )
        _check(file, weights)
    except (
        msgspec.DecodeError,
        ArithmeticError,
        ValueError,
        RecursionError,
        binascii.Error,
        zlib.error,
    ) as error:
        raise ConfigError(f"is damaged: {error}.", where=where, hint="Train it again.") from error
    return LearnedPolicy(file.facts, weights)


def _check_parts(file: _File) -> None:
    """Before anything is unpacked: small text can stand for much memory.

    :raises ValueError: parts are missing, or of the wrong size.
    """
    tables = [*((each, len(file.offset)) for each in file.words), *((each, 1) for each in file.rare)]
    fits = len(file.words) == len(file.rare) == FAMILIES and all(
        each.rows == 1 << BITS
        and len(each.scale) == columns
        and all(0 <= scale <= _MOST for scale in each.scale)
        for each, columns in tables
    )
    if not fits:
        raise ValueError("its parts do not fit together")


def _check(file: _File, weights: Weights) -> None:
    """:raises ValueError: parts do not fit together."""
    import numpy as np

    facts, names, wide = file.facts, (*SHAPES, *SIGNS), len(weights.offset)
    fits = (
        file.look_names == names
        and weights.shapes.shape == (len(SHAPES), wide)
        and wide >= len(facts.groups)
        and weights.mixture.fits(len(names) + wide, len(facts.routes))
        and weights.look_mean.shape == weights.look_spread.shape == (len(names),)
        and bool((weights.look_spread >= 1e-9).all())
        and all(
            bool((np.abs(each) <= _MOST).all())
            for each in (weights.shapes, weights.offset, weights.look_mean, weights.look_spread)
        )
        and weights.foreign.inverse.shape == (len(SHAPES), len(SHAPES))
        and weights.foreign.seen.shape == (1 << 18,)
        and facts.safe in facts.routes
        and len(facts.routes) == len(facts.costs_usd) == len(facts.offset) == len(facts.singles)
        and 0 <= min(facts.costs_usd) <= max(facts.costs_usd) <= _MOST
        and max(facts.costs_usd) > 0
        and all(0 <= each <= 1 for each in facts.singles)
        and all(abs(each) <= _MOST for each in (*facts.offset, *facts.slope))
        and bool(facts.curve)
        and all(len(point.shares) == len(facts.routes) for point in (*facts.curve, *facts.hindsight))
    )
    if not fits:
        raise ValueError("its parts do not fit together")


def _mixture(file: _File) -> Mixture:
    import numpy as np

    kernel, forest, routes = file.kernel, file.forest, len(file.facts.routes)
    weights = np.frombuffer(_bytes(kernel.weights_float32), "<f4").reshape(-1, routes)
    landmarks = np.frombuffer(_bytes(kernel.landmarks_float16), "<f2").astype(np.float32)
    return Mixture(
        Kernel(landmarks.reshape(len(weights), -1), weights, np.array(kernel.mean, np.float32)),
        Forest(
            np.frombuffer(_bytes(forest.column_int16), "<i2"),
            np.frombuffer(_bytes(forest.cut_float32), "<f4"),
            np.frombuffer(_bytes(forest.other_int32), "<i4"),
            np.frombuffer(_bytes(forest.quality_float16), "<f2").astype(np.float32).reshape(-1, routes),
            np.array(forest.roots, np.int64),
        ),
    )


def _pack(matrix: Array) -> _Packed:
    import numpy as np

    scale = np.abs(matrix).max(0) / 127
    small = np.rint(matrix / np.where(scale > 0, scale, 1)).astype(np.int8)
    return _Packed(rows=len(matrix), scale=tuple(scale.tolist()), data=_text(small.tobytes()))


def _unpack(packed: _Packed) -> Array:
    import numpy as np

    small = np.frombuffer(_bytes(packed.data), np.int8).reshape(packed.rows, len(packed.scale))
    return small.astype(np.float32) * np.array(packed.scale, np.float32)


def _text(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 6)).decode()


def _bytes(text: str) -> bytes:
    """:raises ValueError: it would be larger than any part of a policy is."""
    stream = zlib.decompressobj()
    data = stream.decompress(base64.b64decode(text, validate=True), _LARGEST)
    if not stream.eof:
        raise ValueError(f"a part is cut off or larger than {_LARGEST:,} bytes")
    return data
