"""What holds on every store: answers come back, bounds hold, and a store that fails costs a call and no more."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from tests.cache.samples import ask, asked, stream
from tests.cache.stores import KINDS, backend, start_worker
from tests.models.raw_server import Connection, serve
from tests.models.upstreams import CHAT, json_body
from tests.store.servers import redis, redis_url, store_url
from tidyllm import clock
from tidyllm.cache import AnswerCache, Backend, RedisCache, StoreCache
from tidyllm.cache.backend import Lease
from tidyllm.errors import ConfigError, StoreDown
from tidyllm.store import SharedState, Store
from tidyllm.store.tables.cache import cache_entries
from tidyllm.testing import scripted

LATER = 10e9


async def kept(cache: Backend, names: str) -> str:
    """Which of these names (one letter each) are there."""
    return "".join([name for name in names if await cache.get(name.encode() * 32) is not None])


async def put(cache: Backend, name: str, value: bytes = b"v", expires_at: float = LATER) -> None:
    await cache.put(name.encode() * 32, value, expires_at=expires_at)
    await written(cache)


async def written(cache: Backend) -> None:
    """Return when the database has what was posted to it."""
    if isinstance(cache, StoreCache):
        await cache.store.write(lambda connection: None)


@pytest.mark.parametrize("kind", KINDS)
async def test_answers_and_streams_come_back(kind: str, tmp_path: Path) -> None:
    async with backend(kind, tmp_path) as store:
        model = scripted("a", "b")
        for cached in (AnswerCache(model, store=store), AnswerCache(model, store=store)):
            assert (await ask(cached, "Hi")).text == "a"
            assert "".join(piece.text for piece in await stream(cached, "Hi")) == "b"
            await written(store)
        assert (cached.counts.hits, cached.counts.misses, len(model.requests)) == (2, 0, 2)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_value_is_replaced_deleted_and_forgotten(kind: str, tmp_path: Path) -> None:
    async with backend(kind, tmp_path) as cache:
        assert await cache.get(b"a" * 32) is None
        for value in (b"\x00one", b"two" * 1000):
            await put(cache, "a", value)
            assert await cache.get(b"a" * 32) == value
        await put(cache, "b")
        await cache.delete(b"a" * 32)
        await cache.delete(b"z" * 32)
        assert await kept(cache, "ab") == "b"
        await cache.clear()
        assert await kept(cache, "ab") == ""


@pytest.mark.parametrize("kind", KINDS)
async def test_what_expired_is_not_given_out(kind: str, tmp_path: Path) -> None:
    async with backend(kind, tmp_path) as cache:
        await put(cache, "a", expires_at=clock.now() + 0.02)
        await put(cache, "b")
        await clock.sleep(0.05)
        assert await kept(cache, "ab") == "b"


@pytest.mark.parametrize("bound", [{"max_entries": 3}, {"max_bytes": 3_100}])
async def test_bounds_in_redis_hold_and_the_least_recently_used_goes(
    bound: dict[str, int], tmp_path: Path
) -> None:
    async with backend("redis", tmp_path, **bound) as cache:
        for name in "abc":
            await put(cache, name, b"x" * 1_000)
        assert await kept(cache, "a") == "a"
        for name in "de":
            await put(cache, name, b"x" * 1_000)
        assert await kept(cache, "abcde") == "ade"
        assert isinstance(cache, RedisCache)
        sizes = await cache.shared.command("HGET", "{tidyllm:cache:answers}:sizes", "bytes")
        assert int(sizes) == 3_000


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("memory", "redis")])
@pytest.mark.parametrize("bound", [{"max_entries": 300}, {"max_bytes": 3_000}])
async def test_bounds_in_the_database_hold_after_a_sweep(
    kind: str, bound: dict[str, int], tmp_path: Path
) -> None:
    async with backend(kind, tmp_path, **bound) as cache:
        assert isinstance(cache, StoreCache)
        for number in range(1_100):
            await cache.put(number.to_bytes(32, "big"), b"x" * 10, expires_at=LATER)
        await cache.put(b"e" * 32, b"x", expires_at=1.0)
        await cache.store.write(lambda connection: cache.sweep(connection, clock.now()))
        keys = await cache.store.read(
            lambda connection: list(connection.execute(select(cache_entries.c.key)).scalars())
        )
    assert len(keys) == 300
    assert (1_099).to_bytes(32, "big") in set(map(bytes, keys))


async def test_who_was_asked_for_is_written_down_once_a_minute(tmp_path: Path) -> None:
    async with backend("sqlite", tmp_path) as cache:
        assert isinstance(cache, StoreCache)
        await put(cache, "a")
        old = cache_entries.update().values(used_at=clock.now() - 100)
        await cache.store.write(lambda connection: connection.execute(old))
        await kept(cache, "a")
        await cache.store.write(lambda connection: None)
        used = await cache.store.read(
            lambda connection: connection.execute(select(func.max(cache_entries.c.used_at))).scalar_one()
        )
    assert used > clock.now() - 50


async def test_memory_in_front_answers_without_the_database(tmp_path: Path) -> None:
    store = Store.open(store_url("sqlite", tmp_path))
    cache = StoreCache(store)
    await put(cache, "a", b"value")
    assert cache.peek(b"a" * 32) == b"value"
    await cache.delete(b"a" * 32)
    assert cache.peek(b"a" * 32) is None
    await store.aclose()


async def test_answers_survive_the_process_in_a_database(tmp_path: Path) -> None:
    model = scripted("a")
    for _ in range(2):
        store = Store.open(store_url("sqlite", tmp_path))
        assert (await ask(AnswerCache(model, store=StoreCache(store)), "Hi")).text == "a"
        await store.aclose()


def slow_server(requests: list[float], seconds: float) -> object:
    """A handler that answers after a while, and writes down when it was asked."""

    async def handler(connection: Connection) -> None:
        while True:
            await connection.request()
            requests.append(clock.monotonic())
            await clock.sleep(seconds)
            await connection.write(json_body(CHAT))

    return handler


async def test_workers_that_ask_the_same_at_once_make_one_call() -> None:
    asked_at: list[float] = []
    async with serve(slow_server(asked_at, 1.5)) as server:  # pyright: ignore[reportArgumentType]
        url = redis_url()
        workers = [await start_worker(url, server.port) for _ in range(2)]
        said = [(await worker.communicate())[0].decode().split() for worker in workers]
        later = await start_worker(url, server.port)
        said.append((await later.communicate())[0].decode().split())
    assert len(asked_at) == 1
    assert sorted(said) == [["False", "Hello.", "None"]] + [["True", "Hello.", "0.002000"]] * 2


async def test_a_worker_that_died_in_a_call_holds_up_the_others_for_its_lock_only() -> None:
    asked_at: list[float] = []
    async with serve(slow_server(asked_at, 0.6)) as server:  # pyright: ignore[reportArgumentType]
        url = redis_url()
        first = await start_worker(url, server.port, lock_seconds=1.0)
        while not asked_at:
            await clock.sleep(0.01)
        first.kill()
        await first.communicate()
        second = await start_worker(url, server.port, lock_seconds=1.0)
        said = (await second.communicate())[0].decode().split()
    assert said == ["False", "Hello.", "None"]
    assert len(asked_at) == 2


async def test_a_lock_is_renewed_while_the_call_goes_on() -> None:
    shared = SharedState.open(redis_url())
    cache = RedisCache(shared, lock_seconds=0.3)
    lease = await cache.lead(b"k" * 32)
    waiting = asyncio.ensure_future(cache.lead(b"k" * 32))
    await clock.sleep(0.9)
    assert not waiting.done()
    assert lease is not None
    assert not isinstance(lease, bytes)
    await lease.release()
    other = await waiting
    assert not isinstance(other, bytes | None)
    await other.release()
    await shared.aclose()


async def test_a_worker_that_waits_gets_what_the_other_kept() -> None:
    shared = SharedState.open(redis_url())
    cache = RedisCache(shared)
    lease = await cache.lead(b"k" * 32)
    waiting = asyncio.ensure_future(cache.lead(b"k" * 32))
    await cache.put(b"k" * 32, b"value", expires_at=LATER)
    assert await waiting == b"value"
    assert lease is not None
    assert not isinstance(lease, bytes)
    await lease.release()
    await shared.aclose()


class Down(Backend):
    """A store that fails, whatever it is asked."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.asked = 0

    def _fail(self) -> None:
        self.asked += 1
        raise self.error

    async def get(self, key: bytes) -> bytes | None:
        self._fail()

    async def put(self, key: bytes, value: bytes, *, expires_at: float) -> None:
        self._fail()

    async def delete(self, key: bytes) -> None:
        self._fail()

    async def clear(self) -> None:
        self._fail()

    async def lead(self, key: bytes) -> Lease | bytes | None:
        self._fail()
        return None


async def test_a_store_that_fails_costs_a_call_and_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    cached = AnswerCache(scripted("a", "b", "c"), store=Down(ValueError("odd")))
    with caplog.at_level(logging.WARNING, "tidyllm.cache"):
        texts = [(await ask(cached, "Hi")).text for _ in range(2)]
        texts.append("".join(piece.text for piece in await stream(cached, "Hi")))
    assert texts == ["a", "b", "c"]
    assert caplog.text.count("works without its store") == 1
    assert cached.counts.store_failures == 9


async def test_a_store_that_cannot_be_reached_is_left_alone_for_a_while() -> None:
    store = Down(StoreDown("away"))
    cached = AnswerCache(scripted("a", "b"), store=store)
    for _ in range(2):
        await ask(cached, "Hi")
    assert store.asked == 1


@pytest.mark.proof
async def test_redis_may_go_and_come_back(tmp_path: Path) -> None:
    server = redis(tmp_path / "redis")
    server.start()
    shared = SharedState.open(f"redis://127.0.0.1:{server.port}/0", patience=0.5)
    cached = AnswerCache(scripted(lambda request: "x"), store=RedisCache(shared, front_bytes=0))
    await ask(cached, asked())
    server.stop()
    await ask(cached, asked())
    assert cached.counts.store_failures
    server.start()
    await clock.sleep(1.1)
    for _ in range(2):
        await ask(cached, asked())
    assert cached.counts.hits == 1
    await shared.aclose()
    server.close()


@pytest.mark.parametrize("options", [{"max_bytes": 0}, {"max_entries": 0}])
def test_bounds_below_one_are_refused(options: dict[str, Any], tmp_path: Path) -> None:
    store = Store.open(store_url("sqlite", tmp_path))
    with pytest.raises(ConfigError, match=f"StoreCache.{next(iter(options))}"):
        StoreCache(store, **options)
    store.close()
    with pytest.raises(ConfigError, match=f"RedisCache.{next(iter(options))}"):
        RedisCache(SharedState.open("redis://127.0.0.1/0"), **options)
    with pytest.raises(ConfigError, match=r"RedisCache.lock_seconds"):
        RedisCache(SharedState.open("redis://127.0.0.1/0"), lock_seconds=0)
