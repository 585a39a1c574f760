"""The peers' side of `steps.py`: run by their own interpreter; prints seconds a call as JSON on its last line."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypedDict

import litellm
from langgraph.graph import END, START, StateGraph
from litellm import Router

ROUNDS = 15
CALLS = 60


class State(TypedDict):
    x: int


async def answer(x: int) -> int:
    return x


async def node(state: State) -> State:
    return {"x": state["x"]}


def graph() -> Any:
    builder = StateGraph(State)
    builder.add_node("a", node)
    builder.add_node("b", node)
    builder.add_node("c", node)
    builder.add_edge(START, "a")
    builder.add_edge("a", "b")
    builder.add_edge("b", "c")
    builder.add_edge("c", END)
    return builder.compile()


async def main() -> None:
    logging.disable(logging.CRITICAL)
    litellm.suppress_debug_info = True
    router = Router(
        model_list=[
            {
                "model_name": name,
                "litellm_params": {"model": "openai/x", "api_key": "k", "mock_response": "Hi"},
            }
            for name in ("fast", "spare")
        ],
        fallbacks=[{"fast": ["spare"]}],
        num_retries=2,
        timeout=60,
        allowed_fails=5,
        cooldown_time=10,
    )
    compiled = graph()
    messages = [{"role": "user", "content": "Hi"}]
    cases: dict[str, Callable[[int], Awaitable[Any]]] = {
        "bare": answer,
        "LiteLLM Router, retries, timeout and fallback, mocked answer": lambda _: router.acompletion(
            "fast", messages
        ),
        "LangGraph, three nodes": lambda x: compiled.ainvoke({"x": x}),
    }
    best = dict.fromkeys(cases, float("inf"))
    for _ in range(ROUNDS):
        for name, call in cases.items():
            count = CALLS * 20 if name == "bare" else CALLS
            started = time.perf_counter()
            for i in range(count):
                await call(i)
            best[name] = min(best[name], (time.perf_counter() - started) / count)
    print(json.dumps(best))


asyncio.run(main())
