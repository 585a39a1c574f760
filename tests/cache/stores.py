"""Caches on every kind of store, for tests that hold on all of them; and a worker in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from tests.shared_data import ROOT
from tests.store.servers import databases, redis_url, store_url
from tidyllm.cache import Backend, MemoryCache, RedisCache, StoreCache
from tidyllm.store import SharedState, Store

__all__ = ["KINDS", "backend", "start_worker"]

KINDS = ("memory", *databases(), "redis")


@contextlib.asynccontextmanager
async def backend(kind: str, folder: Path, **bounds: Any) -> AsyncGenerator[Backend]:
    """A new, empty cache of a kind, with no memory in front of it."""
    if kind == "memory":
        yield MemoryCache(**bounds)
    elif kind == "redis":
        shared = SharedState.open(redis_url())
        try:
            yield RedisCache(shared, front_bytes=0, **bounds)
        finally:
            await shared.aclose()
    else:
        store = Store.open(store_url(kind, folder))
        try:
            yield StoreCache(store, front_bytes=0, **bounds)
        finally:
            await store.aclose()


async def start_worker(url: str, port: int, *, lock_seconds: float = 10.0) -> asyncio.subprocess.Process:
    """A process that asks the model at `port` one question, through a cache in Redis, and prints what came."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.cache.worker",
        url,
        str(port),
        str(lock_seconds),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
