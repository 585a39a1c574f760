"""What the wrappers cost: the plain composition over a bare `await`, in one run, best of many rounds.

    .venv/bin/python benchmarks/resilience_micro.py

The machine may be busy, so every row is measured in turn within each round and the best round counts.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tidyllm.core import Branch, Context, Event, Step, step
from tidyllm.resilience import CircuitBreaker, Fallback, Hedge, Limit, Retry, Timeout

CALLS = 2_000
ROUNDS = 60
PIECES = 2_000


async def answer(x: int) -> int:
    return x


class Count:
    """A hook that counts, as metrics do."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, event: Event, /) -> None:
        self.seen += 1


def stack(call: Step[int, int]) -> Step[int, int]:
    target = Retry(CircuitBreaker(Timeout(call, total=60)))
    return Branch({"fast": Fallback(target, call)}, by=lambda x: "fast")


async def per_call(call: Callable[[int], Awaitable[Any]]) -> float:
    start = time.perf_counter()
    for i in range(CALLS):
        await call(i)
    return (time.perf_counter() - start) / CALLS


async def per_piece(source: Step[int, Any]) -> float:
    start = time.perf_counter()
    async for _ in source.stream(PIECES):
        pass
    return (time.perf_counter() - start) / PIECES


@step
async def pieces(x: int):
    for i in range(x):
        yield i


def with_hooks(target: Step[int, Any], ctx: Context) -> Callable[[int], Awaitable[Any]]:
    return lambda x: ctx.call(target, x)


async def rows() -> dict[str, Callable[[], Awaitable[float]]]:
    call = step(answer)
    whole = stack(call)
    watched = Context.new(hooks=(Count(),))
    one: dict[str, Step[int, int]] = {
        "call as a step": call,
        "Retry": Retry(call),
        "Timeout": Timeout(call, total=60),
        "Fallback": Fallback(call, call),
        "CircuitBreaker": CircuitBreaker(call),
        "Limit (concurrency)": Limit(call, concurrency=10),
        "Limit (rate)": Limit(call, rate=1e9, burst=10**9),
        "Hedge": Hedge(call, delay=60),
    }
    table: dict[str, Callable[[], Awaitable[float]]] = {"bare await": lambda: per_call(answer)}
    for name, target in one.items():
        table[name] = lambda target=target: per_call(target)
    table["Branch > Fallback > Retry > Breaker > Timeout > call, no hooks"] = lambda: per_call(whole)
    table["the same with a hook"] = lambda: per_call(with_hooks(whole, watched))
    streams: dict[str, Step[int, Any]] = {
        "stream, a piece": pieces,
        "stream through Retry > Breaker > Timeout(total, first_piece, gap), a piece": Retry(
            CircuitBreaker(Timeout(pieces, total=60, first_piece=15, gap=15))
        ),
        "stream through all, a piece": Branch(
            {"fast": Fallback(Retry(CircuitBreaker(Timeout(pieces, total=60, first_piece=15, gap=15))))},
            by=lambda x: "fast",
        ),
    }
    for name, target in streams.items():
        table[name] = lambda target=target: per_piece(target)
    return table


async def main() -> None:
    table = await rows()
    best = dict.fromkeys(table, float("inf"))
    for _ in range(ROUNDS):
        for name, measure in table.items():
            best[name] = min(best[name], await measure())
    bare = best["bare await"]
    for name, seconds in best.items():
        print(f"{name:78} {seconds * 1e6:7.2f} us  {(seconds - bare) * 1e6:+7.2f}  x{seconds / bare:6.1f}")


if __name__ == "__main__":
    if "--uvloop" in sys.argv:
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())
