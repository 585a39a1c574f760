"""What a hit costs: the key of a request, the look-up, the answer as bytes again. CPU of one core, no sockets.

    .venv/bin/python benchmarks/cache_micro.py

The machine may be busy, so every row is measured in turn within each round, and the best round counts.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from tidyllm.cache import AnswerCache, Cache
from tidyllm.cache.key import Memo, canonical_json, forward_key, request_key
from tidyllm.core import Context, Step, step
from tidyllm.models import Request, Response
from tidyllm.models.forward import Forward, Forwarded, ForwardedPiece
from tidyllm.models.piece import Finish, Served, Start, UsagePiece
from tidyllm.models.response import Usage

CALLS = 2_000
ROUNDS = 25

SMALL: dict[str, Any] = {
    "model": "fast",
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "What is the capital of France?"},
    ],
    "temperature": 0.2,
    "max_tokens": 100,
}
LARGE = {**SMALL, "messages": [{"role": "user", "content": "All work and no play. " * 5_000}]}
ANSWER = msgspec.json.encode(
    {
        "id": "chatcmpl-123456789",
        "object": "chat.completion",
        "created": 1_750_000_000,
        "model": "gpt-5-mini-2025-08-07",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "The capital of France is Paris. " * 8},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 28, "completion_tokens": 60, "total_tokens": 88},
    }
)
USAGE = Usage(input_tokens=28, output_tokens=60)


class Canned(Step[Any, Response]):
    """Answers at once, as a model that passes on does."""

    async def invoke(self, x: Any, ctx: Context) -> Response:
        return Forwarded(body=ANSWER, finish_reason="stop", usage=USAGE, provider="up", model="gpt-5-mini")

    async def invoke_stream(self, x: Any, ctx: Context) -> Any:
        yield ForwardedPiece(b"data: {}\n\n", (Start(model="gpt-5-mini", served=Served("up")),))
        for _ in range(50):
            yield ForwardedPiece(b'data: {"choices":[{"delta":{"content":"word "}}]}\n\n')
        yield ForwardedPiece(b"data: [DONE]\n\n", (UsagePiece(USAGE), Finish("stop")))

    def join(self, pieces: Any) -> Response:
        return Response(finish_reason="stop", usage=USAGE)


def forward(body: dict[str, Any], *, stream: bool = False) -> Forward:
    fields = msgspec.json.decode(msgspec.json.encode(body), type=dict[str, msgspec.Raw])
    return Forward("openai_chat", fields, stream, lambda: Request("Hi"))


async def times(call: Callable[[], Awaitable[object]]) -> float:
    gc.disable()
    begun = time.process_time()
    for _ in range(CALLS):
        await call()
    took = time.process_time() - begun
    gc.enable()
    return took / CALLS * 1e6


async def read(pieces: Any) -> None:
    async for _ in pieces:
        pass


async def main() -> None:
    hooks = (lambda event: None,)
    ctx = Context.new(hooks=hooks)
    cached = AnswerCache(Canned("up"))
    small, large = forward(SMALL), forward(LARGE)
    streamed = forward({**SMALL, "stream": True}, stream=True)
    question = Request("What is the capital of France?", max_output_tokens=100)
    memo, place = Memo(), ("route", "tenant")
    doubled = Cache(step(_double))
    raw = msgspec.json.encode(SMALL)

    async def key_small() -> None:
        forward_key(small, place, memo)

    async def key_first() -> None:
        forward_key(small, place, Memo(1))

    async def key_large() -> None:
        forward_key(large, place, memo)

    async def key_request() -> None:
        request_key(question, place, stream=False)

    async def canonical() -> None:
        canonical_json(raw)

    fresh = Context.new(hooks=hooks, tags={"tidyllm.cache-control": "no-store"})
    rows: dict[str, Callable[[], Awaitable[object]]] = {
        "key of a body seen before, 0.2 kB": key_small,
        "key of a new body, 0.2 kB": key_first,
        "canonical JSON alone, 0.2 kB": canonical,
        "key of a body seen before, 110 kB": key_large,
        "key of a typed request": key_request,
        "hit: a body passed on (with a hook)": lambda: cached.invoke(small, ctx),
        "hit: a typed request": lambda: cached.invoke(question, ctx),
        "hit: a stream of 52 pieces": lambda: read(cached.invoke_stream(streamed, ctx)),
        "hit: Cache around a function": lambda: doubled.invoke(21, ctx),
        "bypass (no-store): what is left of a call": lambda: cached.invoke(small, fresh),
    }
    for call in rows.values():
        await call()
    best = dict.fromkeys(rows, float("inf"))
    for _ in range(ROUNDS):
        for name, call in rows.items():
            best[name] = min(best[name], await times(call))
    width = max(map(len, rows))
    for name, took in best.items():
        print(f"{name:<{width}}  {took:8.2f} µs")
    print(f"counts: {cached.counts.as_dict()}")


async def _double(x: int) -> int:
    return 2 * x


if __name__ == "__main__":
    asyncio.run(main())
