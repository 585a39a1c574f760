"""An agent in a durable run: what is recorded is given again, and the loop goes on from there."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec

from tidyllm.agents.agent import Agent
from tidyllm.agents.agent_tool import tool
from tidyllm.agents.limits import AgentLimits
from tidyllm.durable import Runtime
from tidyllm.models import Request
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
