"""`python -m tests.cache.worker REDIS_URL PORT LOCK_SECONDS`: one worker of many that share a cache in Redis."""

from __future__ import annotations

import asyncio
import sys

from tests.models.upstreams import CATALOG
from tidyllm.cache import AnswerCache, RedisCache
from tidyllm.models.factory import build
from tidyllm.models.provider import provider
from tidyllm.store import SharedState


async def main(url: str, port: str, lock_seconds: str) -> None:
    """Ask, and print whether the answer was kept, its text, and what it saved."""
    service = provider("openai", name="up", base_url=f"http://127.0.0.1:{port}/v1", api_key="sk-up")
    model = build("priced", service, catalog=CATALOG, own=("up/priced",))
    shared = SharedState.open(url)
    cached = AnswerCache(model, store=RedisCache(shared, lock_seconds=float(lock_seconds)))
    answer = await cached("Hi")
    print(answer.cached, answer.text, answer.saved_usd)  # noqa: T201 - this is how it answers
    await shared.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
