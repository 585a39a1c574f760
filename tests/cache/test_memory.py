"""The cache in memory: bounds by bytes and count hold, and who was asked for last stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.cache import MemoryCache
from tidyllm.errors import ConfigError
from tidyllm.testing import FakeClock

LATER = 10e9


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 900))), st.integers(1, 12_000), st.integers(1, 8))
def test_bounds_hold_whatever_is_kept(acts: list[tuple[int, int]], most: int, count: int) -> None:
    cache = MemoryCache(most, count)
    for name, size in acts:
        cache.keep(bytes([name]), b"x" * size, expires_at=LATER)
        assert cache.bytes <= most
        assert len(cache) <= count
    for name in range(10):
        cache.forget(bytes([name]))
    assert (cache.bytes, len(cache)) == (0, 0)


def test_the_least_recently_used_goes_first() -> None:
    cache = MemoryCache(max_entries=2)
    for name in (b"a", b"b"):
        cache.keep(name, name, expires_at=LATER)
    cache.peek(b"a")
    cache.keep(b"c", b"c", expires_at=LATER)
    assert [cache.peek(name) for name in (b"a", b"b", b"c")] == [b"a", None, b"c"]


def test_what_expired_is_gone_and_takes_no_room() -> None:
    with FakeClock() as fake:
        cache = MemoryCache()
        cache.keep(b"a", b"x", expires_at=fake.now())
        assert cache.peek(b"a") is None
        assert cache.bytes == 0


def test_an_entry_that_would_push_out_all_others_is_not_kept() -> None:
    cache = MemoryCache(max_bytes=8_000)
    cache.keep(b"a", b"x", expires_at=LATER)
    cache.keep(b"b", b"x" * 900, expires_at=LATER)
    assert (cache.peek(b"a"), cache.peek(b"b")) == (b"x", None)


async def test_clear_forgets_everything() -> None:
    cache = MemoryCache()
    await cache.put(b"a", b"x", expires_at=LATER)
    assert await cache.get(b"a") == b"x"
    await cache.delete(b"a")
    await cache.put(b"b", b"x", expires_at=LATER)
    await cache.clear()
    assert (len(cache), cache.bytes) == (0, 0)


@pytest.mark.parametrize(
    "bounds", [{"max_bytes": 0}, {"max_entries": -1}, {"max_bytes": True}, {"max_entries": 1.5}]
)
def test_bounds_below_one_are_refused(bounds: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=f"MemoryCache.{next(iter(bounds))}"):
        MemoryCache(**bounds)
