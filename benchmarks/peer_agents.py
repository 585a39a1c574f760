"""The peers' side of `agents.py`: run by their own interpreter; prints seconds a turn as JSON on its last line.

A peer that is not installed is left out, and its absence is said on the error stream.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

ROUNDS = 8


async def pydantic_ai(turns: int) -> float:
    """An agent with one tool, its model a function in this process."""
    from pydantic_ai import Agent
    from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
    from pydantic_ai.models.function import AgentInfo, FunctionModel
    from pydantic_ai.usage import UsageLimits

    def answer(messages: list[Any], info: AgentInfo) -> ModelResponse:
        turn = len(messages) // 2
        if turn >= turns - 1:
            return ModelResponse(parts=[TextPart("done")])
        return ModelResponse(parts=[ToolCallPart("add", {"a": turn, "b": 1}, tool_call_id=f"call_{turn}")])

    agent = Agent(FunctionModel(answer), instructions="Add.")

    @agent.tool_plain
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    best = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        await agent.run("Add numbers.", usage_limits=UsageLimits(request_limit=None))
        best = min(best, (time.perf_counter() - started) / turns)
    return best


async def main() -> None:
    turns = int(sys.argv[1])
    best: dict[str, float] = {}
    try:
        best["pydantic-ai, one tool a turn"] = await pydantic_ai(turns)
    except ImportError as error:
        print(f"left out: {error}", file=sys.stderr)
    print(json.dumps(best))


asyncio.run(main())
