"""A cache around any step: typed answers, keys by the user's choice, and no answer that would come back changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from tests.cache.samples import stream
from tidyllm.cache import Cache, MemoryCache
from tidyllm.core import Step, step
from tidyllm.errors import ConfigError, StepError


class City(msgspec.Struct):
    name: str
    people: int


calls: list[Any] = []


@pytest.fixture(autouse=True)
def no_calls() -> None:
    calls.clear()


@step
async def city(name: str) -> City:
    """Says how many live there."""
    calls.append(name)
    return City(name, len(name))


@step
async def describe(city: City) -> str:
    """Says what it is."""
    return f"{city.name} has {city.people}"


async def test_answers_come_back_as_the_type_that_the_function_promises() -> None:
    cached = Cache(city)
    assert [await cached("Rome") for _ in range(2)] == [City("Rome", 4)] * 2
    assert calls == ["Rome"]


async def test_the_users_key_decides_what_is_equal() -> None:
    cached = Cache(city, key=str.casefold)
    assert [(await cached(name)).name for name in ("Rome", "ROME", "Oslo")] == ["Rome", "Rome", "Oslo"]


async def test_answers_that_would_come_back_changed_are_not_kept() -> None:
    @step
    async def odd(x: int) -> Any:
        calls.append(x)
        return [(1, 2), City("a", 1), {1: 2.0}, object()][x]

    cached = Cache(odd)
    for x in (0, 1, 3):
        first, second = await cached(x), await cached(x)
        assert type(first) is type(second)
    assert calls == [0, 0, 1, 1, 3, 3]
    assert await cached(2) == await cached(2)
    assert cached.counts.not_kept == 6


async def test_a_given_type_reads_kept_answers() -> None:
    @step
    async def pair(x: int) -> Any:
        calls.append(x)
        return (x, City("a", x))

    cached = Cache(pair, answer=tuple[int, City])
    assert await cached(1) == await cached(1) == (1, City("a", 1))
    assert calls == [1]


async def test_streams_are_kept_as_their_pieces() -> None:
    @step
    async def words(x: str) -> AsyncIterator[str]:
        calls.append(x)
        for word in x.split():
            yield word

    cached = Cache(words)
    assert [await stream(cached, "a b c") for _ in range(2)] == [["a", "b", "c"]] * 2
    assert await cached("a b c") == "abc"
    assert calls == ["a b c"] * 2


async def test_two_functions_on_one_store_do_not_mix() -> None:
    @step(name="same")
    async def one(x: int) -> str:
        return "one"

    @step(name="same")
    async def other(x: int) -> str:
        return "other"

    store = MemoryCache()
    assert [await Cache(fn, store=store)(1) for fn in (one, other)] == ["one", "other"]
    spaces = [Cache(fn, store=store, space="s") for fn in (one, other)]
    assert [await cached(1) for cached in spaces] == ["one", "one"]


async def test_an_input_without_a_key_is_refused_with_a_hint() -> None:
    anything: Step[Any, Any] = city
    cached: Step[Any, Any] = Cache(anything)
    with pytest.raises(StepError, match="key=…"):
        await cached(object())


@pytest.mark.parametrize(
    "options", [{"ttl_seconds": -1}, {"ttl_seconds": "x"}, {"answer": City | dict[str, int]}]
)
def test_arguments_out_of_range_are_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"Cache.{next(iter(options))}"):
        Cache(city, **options)


def test_it_composes_like_any_step() -> None:
    assert repr(Cache(city) >> describe) == "Cache(city, 3600) >> describe"
    assert Cache(city).run_sync("Oslo") == City("Oslo", 4)
