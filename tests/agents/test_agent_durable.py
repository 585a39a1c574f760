"""An agent in a durable run: what is recorded is given again, and the loop goes on from there."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path

import msgspec

from tidyllm.agents.agent import Agent
from tidyllm.agents.agent_tool import tool
from tidyllm.agents.limits import AgentLimits
from tidyllm.durable import Runtime
from tidyllm.models import Catalog, Request, Usage
from tidyllm.testing import Reply, call, scripted


class Sum(msgspec.Struct):
    total: int


async def test_a_fork_makes_no_recorded_call_again(tmp_path: Path) -> None:
    done = Counter[str]()

    @tool
    def note(text: str) -> str:
        """Write a note."""
        done[f"note {text}"] += 1
        return f"noted {text}"

    def reply(request: Request) -> Reply:
        turn = sum(message.role == "assistant" for message in request.turns)
        done[f"turn {turn + 1}"] += 1
        wanted = call("note", text=str(turn + 1)) if turn < 3 else call("final_answer", total=turn)
        return Reply(tool_calls=(wanted,))

    agent = Agent(scripted(reply), [note], output=Sum, limits=AgentLimits(seconds=60, tokens=100_000))
    async with Runtime(f"sqlite:///{tmp_path}/runs.db") as runtime:
        run = await runtime.start(agent, "Work.", id="first")
        whole = await run.result()
        assert (whole.output, set(done.values())) == (Sum(3), {1})
        done.clear()
        fork = await run.fork(from_step="agent/turn-3")
        again = await fork.result()
    assert set(done) == {"turn 3", "note 3", "turn 4"}
    assert (again.output, again.turns, again.usage.tokens) == (Sum(3), 4, whole.usage.tokens)


async def test_what_a_cap_decided_is_recorded_too(tmp_path: Path) -> None:
    asked = Counter[int]()

    @tool(reads=True)
    def look(n: int) -> str:
        """Look."""
        return f"saw {n}"

    def reply(request: Request) -> Reply:
        asked[len(request.turns)] += 1
        usage = Usage(1_000 + len(request.turns), 500)
        return Reply(tool_calls=(call("look", n=len(request.turns)),), usage=usage)

    model = scripted(reply)
    known = Catalog.default().find("openai/gpt-5.1")
    assert known is not None
    model.info = known
    limits = AgentLimits(usd=Decimal("0.05"), tokens=50_000, turns=None)
    helper = Agent(model, [look], name="helper", limits=limits)
    names = ("h1", "h2", "h3")
    tools = [helper.as_tool("Helps.", name=name, reads=True) for name in names]
    wanted = Reply(tool_calls=tuple(call(name, task="Look.") for name in names))
    boss = Agent(
        scripted(lambda request: wanted if len(request.turns) == 1 else Reply(text="Done.")),
        tools,
        name="boss",
    )
    async with Runtime(f"sqlite:///{tmp_path}/runs.db") as runtime:
        run = await runtime.start(boss, "Work.", id="first")
        whole = await run.result()
        asked.clear()
        fork = await run.fork(from_step="boss/turn-2")
        again = await fork.result()
    assert asked == Counter()
    assert whole.output == again.output == "Done."
    assert (again.usage.turns, again.usage.tokens) == (whole.usage.turns, whole.usage.tokens)
