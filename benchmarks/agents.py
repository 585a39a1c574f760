"""What an agent's loop costs without its model: a turn with one tool, and a thousand agents at once."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import time
import tracemalloc

from benchmarks.peers import ROOT, peers_environment, peers_python
from benchmarks.table import Table
from tidyllm.agents import Agent, AgentLimits, tool
from tidyllm.core import step
from tidyllm.models import Request, Response, ToolCall, Usage

__all__ = ["run"]

ROUNDS = 30
TURNS = 20
AGENTS = 1_000


@tool(reads=True)
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def answer(request: Request) -> Response:
    """A model in this process: a call of the tool in each turn, and words in the last one."""
    turn = len(request.messages) // 2
    usage = Usage(input_tokens=100, output_tokens=10)
    if turn >= TURNS - 1:
        return Response(content=(), finish_reason="refused", usage=usage)
    call = ToolCall(
        id=f"call_{turn}", name="add", arguments={"a": turn, "b": 1}, raw_arguments=f'{{"a":{turn},"b":1}}'
    )
    return Response(content=(call,), finish_reason="tool_calls", usage=usage)


def run() -> list[Table]:
    """Best of many runs of one agent, the peer right after; then memory and time of a thousand."""
    turn = asyncio.run(_turn())
    table = Table("agents", "An agent's turn with one tool, without the model", ("", "µs a turn"))
    table.add("`Agent`, one tool a turn", turn * 1e6)
    table.add(
        "`Agent`, with caps on tokens and seconds and an observer", asyncio.run(_turn(watched=True)) * 1e6
    )
    for name, seconds in _peers().items():
        table.add(name, seconds * 1e6)
    many = Table("agents_many", f"{AGENTS:,} agents at once", ("", "KiB an agent", "s in all"))
    many.add("`Agent`, each waiting for its second answer", *asyncio.run(_many()))
    return [table, many]


async def _turn(*, watched: bool = False) -> float:
    heard: list[object] = []
    limits = AgentLimits(turns=None, tool_calls=None, no_progress=0)
    if watched:
        limits = AgentLimits(turns=None, tool_calls=None, no_progress=0, tokens=10**9, seconds=3_600)
    model = step(answer)
    agent = Agent(model, [add], "Add.", limits=limits, observe=heard.append if watched else None)
    best = float("inf")
    gc.collect()
    for _ in range(ROUNDS):
        heard.clear()
        started = time.perf_counter()
        result = await agent("Add numbers.")
        best = min(best, (time.perf_counter() - started) / TURNS)
        assert result.turns == TURNS, result.detail
    return best


async def _many() -> tuple[float, float]:
    """Memory while all wait in their second turn, and the time for all of it."""
    gate, full = asyncio.Event(), asyncio.Event()
    waiting = 0

    async def slow(request: Request) -> Response:
        nonlocal waiting
        if len(request.messages) > 1:
            waiting += 1
            if waiting == AGENTS:
                full.set()
            await gate.wait()
            return Response(content=(), finish_reason="refused")
        return await answer(request)

    model = step(slow)
    await Agent(step(answer), [add], "Add.", limits=_OPEN)("Add.")  # what is shared is there before
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    tasks = [asyncio.ensure_future(Agent(model, [add], "Add.")(f"Add {n}.")) for n in range(AGENTS)]
    await full.wait()
    gc.collect()
    now, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    gate.set()
    await asyncio.gather(*tasks)
    started = time.perf_counter()
    await asyncio.gather(*(Agent(step(answer), [add], "Add.", limits=_OPEN)("Add.") for _ in range(AGENTS)))
    return (now - before) / 1024 / AGENTS, time.perf_counter() - started


_OPEN = AgentLimits(turns=None, tool_calls=None, no_progress=0)


def _peers() -> dict[str, float]:
    script = ROOT / "benchmarks" / "peer_agents.py"
    out = subprocess.run(
        [str(peers_python()), str(script), str(TURNS)],
        capture_output=True,
        text=True,
        check=True,
        env=peers_environment(),
    )
    found: dict[str, float] = json.loads(out.stdout.splitlines()[-1])
    return found
