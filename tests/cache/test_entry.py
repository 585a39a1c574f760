"""Entries: what was sealed is opened, and nothing else is taken for it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.cache.entry import Corrupt, Entry

KEY = b"k" * 32
ENTRY = Entry(1.0, 2.0, "response", b"\x00body", Decimal("0.0001"), {"provider": "up", "input_tokens": 3})


def test_what_was_sealed_is_opened() -> None:
    assert Entry.open(KEY, ENTRY.seal(KEY)) == ENTRY


@given(st.integers(0), st.integers(1, 255))
def test_one_changed_byte_is_seen(place: int, change: int) -> None:
    data = bytearray(ENTRY.seal(KEY))
    data[place % len(data)] ^= change
    with pytest.raises(Corrupt):
        Entry.open(KEY, bytes(data))


@given(st.binary(max_size=200))
def test_bytes_of_others_are_refused(data: bytes) -> None:
    for one in (data, b"tc1" + data):
        with pytest.raises(Corrupt):
            Entry.open(KEY, one)


def test_an_entry_under_another_key_is_refused() -> None:
    with pytest.raises(Corrupt, match="checksum"):
        Entry.open(b"l" * 32, ENTRY.seal(KEY))


@given(st.integers(0, 60))
def test_an_entry_that_was_cut_is_refused(left: int) -> None:
    data = ENTRY.seal(KEY)
    with pytest.raises(Corrupt):
        Entry.open(KEY, data[: min(left, len(data) - 1)])
