"""One side of `in_flight.py`, by name; prints its figures as JSON on its last line."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

COUNT = 10_000


async def call(x: Any) -> Any:
    await asyncio.sleep(0.1)
    return x


def ours() -> Callable[[int], Awaitable[Any]]:
    from tidyllm.core import install, step
    from tidyllm.observe import Metrics, Recorder
    from tidyllm.resilience import CircuitBreaker, Fallback, Retry, Timeout

    install(Recorder())
    install(Metrics())
    return Fallback(
        Retry(CircuitBreaker(Timeout(step(call), total=60), name="bench")), step(name="spare")(call)
    )


def litellm() -> Callable[[int], Awaitable[Any]]:
    from litellm import Router

    logging.disable(logging.CRITICAL)
    parameters = {"model": "openai/x", "api_key": "k", "mock_response": "Hi", "mock_delay": 0.1}
    router = Router(
        model_list=[{"model_name": "fast", "litellm_params": parameters}], num_retries=2, timeout=60
    )
    messages = [{"role": "user", "content": "Hi"}]
    return lambda _: router.acompletion("fast", messages)


def langgraph() -> Callable[[int], Awaitable[Any]]:
    from langgraph.graph import END, START, StateGraph

    builder: Any = StateGraph(dict)
    builder.add_node("a", call)
    builder.add_edge(START, "a")
    builder.add_edge("a", END)
    graph = builder.compile()
    return lambda x: graph.ainvoke({"x": x})


def peak_kib() -> int:
    """Not `ru_maxrss`: it begins with what the parent had."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


async def measure(one: Callable[[int], Awaitable[Any]]) -> dict[str, float]:
    await one(0)
    before = peak_kib()
    started = time.perf_counter()
    await asyncio.gather(*(one(i) for i in range(COUNT)))
    wall = time.perf_counter() - started
    peak = peak_kib()
    return {"wall": wall, "peak_mib": peak / 1024, "kib_each": (peak - before) / COUNT}


def main() -> None:
    make = {"bare": lambda: call, "ours": ours, "litellm": litellm, "langgraph": langgraph}[sys.argv[1]]
    try:
        import uvloop

        runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    except ImportError:
        runner = asyncio.Runner()
    with runner:
        print(json.dumps(runner.run(measure(make()))))


main()
