"""Compressed bodies, piece by piece."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.errors import BadAnswer, Unreachable
from tidyllm.models.inflate import Inflater


def inflate(encoding: str, *chunks: bytes) -> bytes:
    inflater = Inflater(encoding)
    plain = b"".join(piece for chunk in chunks for piece in inflater.feed(chunk))
    inflater.close()
    return plain


@given(
    plain=st.binary(max_size=300),
    size=st.integers(1, 50),
    encoding=st.sampled_from(["gzip", "x-GZIP ", "deflate"]),
)
def test_what_was_compressed_comes_out_wherever_it_is_cut(plain: bytes, size: int, encoding: str) -> None:
    packed = zlib.compress(plain) if encoding == "deflate" else gzip.compress(plain, mtime=0)
    assert inflate(encoding, *(packed[at : at + size] for at in range(0, len(packed), size))) == plain


def test_what_is_there_comes_out_before_the_rest_is() -> None:
    packer = zlib.compressobj(wbits=31)
    inflater = Inflater("gzip")
    for event in (b"data: 1\n\n", b"data: 2\n\n"):
        assert b"".join(inflater.feed(packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH))) == event


def test_a_bomb_comes_out_in_small_pieces_made_one_at_a_time() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000, mtime=0)
    pieces = Inflater("gzip").feed(bomb)
    assert [len(next(pieces)) for _ in range(3)] == [262_144] * 3


def test_members_of_a_gzip_body_follow_each_other() -> None:
    assert (
        inflate(
            "gzip",
            gzip.compress(b"one", mtime=0) + gzip.compress(b"two", mtime=0)[:5],
            gzip.compress(b"two", mtime=0)[5:],
        )
        == b"onetwo"
    )


@pytest.mark.parametrize("packed", [b"plain text", gzip.compress(b"x" * 999, mtime=0)[:10] + b"\xff" * 20])
def test_broken_data_is_a_bad_answer(packed: bytes) -> None:
    with pytest.raises(BadAnswer, match="gzip compression is broken"):
        inflate("gzip", packed)


def test_data_that_ends_early_is_no_answer() -> None:
    with pytest.raises(Unreachable, match="ended early"):
        inflate("gzip", gzip.compress(b"hello", mtime=0)[:-1])
    assert inflate("gzip") == b""
    assert inflate("identity", b"as", b"it is") == b"asit is"


def test_other_encodings_are_refused_by_name() -> None:
    with pytest.raises(BadAnswer, match="'gzip, br'"):
        Inflater("gzip, br")
