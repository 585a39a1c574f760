"""What the core costs, part by part, over a bare `await`, in one run, best of many rounds.

    .venv/bin/python benchmarks/core_micro.py [--uvloop]

The machine may be busy, so every row is measured in turn within each round and the best round counts. Each row has a
loop of its own, compiled for it: a loop shared by functions and objects would be slower for all of them.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from tidyllm.core import Branch, Context, Event, Parallel, Sequence, Step, install, step

CALLS = 1_000
ROUNDS = 100

CALL_LOOP = """
async def per_call():
    start = now()
    for _ in range(CALLS):
        await call(1)
    return (now() - start) / CALLS
"""
STREAM_LOOP = """
async def per_piece():
    start = now()
    async for _ in call(CALLS):
        pass
    return (now() - start) / CALLS
"""


def measured(call: Callable[..., Any], source: str = CALL_LOOP) -> Callable[[], Awaitable[float]]:
    """A function that measures `call` once, in seconds a call or piece."""
    names: dict[str, Any] = {"now": time.perf_counter, "call": call, "CALLS": CALLS}
    exec(compile(source, "<loop>", "exec"), names)
    return names["per_call" if source is CALL_LOOP else "per_piece"]


async def bare(x: int) -> int:
    return x


async def bare_pieces(x: int) -> AsyncIterator[int]:
    for i in range(x):
        yield i


async def placed(x: int, ctx: Context) -> int:
    return x


def plain(x: int) -> int:
    return x


async def nested(x: int) -> int:
    return await a(x)


a, b, c = step(bare, name="a"), step(bare, name="b"), step(bare, name="c")
pieces = step(bare_pieces)
CASES: dict[str, Step[int, Any]] = {
    "a": a,
    "a that declares ctx": step(placed),
    "a, a plain function": step(plain),
    "a >> b >> c": a >> b >> c,
    "Branch({1: a}, by=plain)": Branch({1: a}, by=plain),
    "Parallel(a)": Parallel(a),
    "a | b | c": a | b | c,
    "a step that calls a": step(nested),
}
STREAMS: dict[str, Step[int, Any]] = {
    "stream, a piece": pieces,
    "stream of a >> pieces, a piece": Sequence(plain, pieces),
    "stream of pieces | pieces, a piece": Parallel(pieces),
}


async def measure(rows: dict[str, Callable[[], Awaitable[float]]]) -> dict[str, float]:
    best = dict.fromkeys(rows, float("inf"))
    for _ in range(ROUNDS):
        for name, row in rows.items():
            best[name] = min(best[name], await row())
    return best


def with_context(target: Step[int, Any], **options: Any) -> Callable[[int], Awaitable[Any]]:
    return lambda x: target(x, Context.new(**options))


class Count:
    """A hook that counts, as metrics do."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, event: Event, /) -> None:
        self.seen += 1


async def main() -> None:
    rows = {"bare await": measured(bare), "bare async for, a piece": measured(bare_pieces, STREAM_LOOP)}
    rows |= {name: measured(case) for name, case in CASES.items()}
    rows["a, with a context of its own"] = measured(with_context(a))
    rows["a, with a deadline"] = measured(with_context(a, deadline=60))
    rows |= {name: measured(case.stream, STREAM_LOOP) for name, case in STREAMS.items()}
    unwatched = await measure(rows)
    remove = install(Count())
    watched = await measure(rows)
    remove()
    floor = unwatched["bare await"]
    print(f"{'':40} {'us':>7} {'over bare':>10} {'with a hook':>12} {'difference':>11}")
    for name, seconds in unwatched.items():
        base = unwatched["bare async for, a piece"] if name.endswith("a piece") else floor
        print(
            f"{name:40} {seconds * 1e6:7.2f} {(seconds - base) * 1e6:+10.2f} {watched[name] * 1e6:12.2f}"
            f" {(watched[name] - seconds) * 1e6:+11.2f}"
        )
    in_sequence = watched["a >> b >> c"] - unwatched["a >> b >> c"] - (watched["a"] - unwatched["a"])
    print(f"\none more call under a hook costs {in_sequence / 3 * 1e6:.2f} us more than without")


if __name__ == "__main__":
    if "--uvloop" in sys.argv:
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())
