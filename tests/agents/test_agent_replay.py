"""A runtime that records calls can kill an agent anywhere: what is recorded is never done again, and it ends alike."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, TypeVar

import msgspec
import pytest

from tidyllm.agents.agent import Agent
from tidyllm.agents.agent_tool import tool
from tidyllm.agents.limits import AgentLimits
from tidyllm.agents.result import AgentResult
from tidyllm.agents.stop import StopReason
from tidyllm.core import Context, Step
from tidyllm.models import Message, Request, Response, ToolCall, ToolResult
from tidyllm.testing import FakeClock, Reply, call, scripted

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741


class Killed(BaseException):
    """As if the process had died."""


class Journal:
    """Keeps every answer by path as JSON, and gives it again. After `lives` new records it dies at the next call."""

    def __init__(self, kept: dict[tuple[str, ...], bytes] | None = None, lives: int = 10_000) -> None:
        self.kept = dict(kept or {})
        self.lives = lives
        self.asked: Counter[tuple[str, ...]] = Counter()

    async def __call__(self, step: Step[I, O], x: I, child: Context, /) -> O:
        path = child.path
        self.asked[path] += 1
        assert self.asked[path] == 1, f"{path} was called twice in one life"
        kind: Any = Response if path[-1].startswith("turn-") else getattr(step, "output_type", str)
        if path not in self.kept:
            if self.lives == 0:
                raise Killed
            answer = await child.record(step, x)
            if self.lives == 0:
                raise Killed  # died below: this one is not recorded
            self.lives -= 1
            self.kept[path] = msgspec.json.encode(answer)
        return msgspec.json.decode(self.kept[path], type=kind)


class World:
    """Counts what is really done, however often the program is started."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()

    def model(self) -> Step[Any, Response]:
        """One that looks, notes, asks a helper, and answers; it decides by the conversation alone."""

        def reply(request: Request) -> Reply:
            turn = sum(message.role == "assistant" for message in request.turns)
            who = "helper" if "helper" in request.turns[-1].text + request.turns[0].text else "boss"
            self.done[f"{who} {turn}"] += 1
            if who == "helper":
                return Reply(text="helped") if turn else Reply(tool_calls=(call("note", text="helper's"),))
            steps = [
                (call("look", n=1), call("look", n=2)),
                (call("note", text="mine"),),
                (call("ask_helper", task="helper: help"),),
            ]
            return Reply(tool_calls=steps[turn]) if turn < len(steps) else Reply(text="all done")

        return scripted(reply)

    def agent(self, limits: AgentLimits | None = None) -> Agent[str]:
        @tool(reads=True)
        async def look(n: int) -> str:
            """Look."""
            await asyncio.sleep(0)
            self.done[f"look {n}"] += 1
            return f"saw {n}"

        @tool
        def note(text: str) -> str:
            """Note."""
            self.done[f"note {text}"] += 1
            return f"noted {text}"

        helper = Agent(self.model(), [note], name="helper")
        return Agent(
            self.model(),
            [look, note, helper.as_tool("Helps.", name="ask_helper")],
            name="boss",
            limits=limits,
        )


async def test_killed_after_any_number_of_calls_it_goes_on_where_it_was() -> None:
    world = World()
    whole = await world.agent()("Work.", Context.new(caller=(journal := Journal())))
    assert (whole.output, whole.usage.turns) == ("all done", 6)
    once = dict(world.done)
    assert set(once.values()) == {1}
    for lives in range(len(journal.kept)):
        world = World()
        first = Journal(lives=lives)
        with pytest.raises(Killed):
            await world.agent()("Work.", Context.new(caller=first))
        again = Journal(first.kept)
        result = await world.agent()("Work.", Context.new(caller=again))
        assert plain(result) == plain(whole)
        assert {path: again.kept[path] for path in first.kept} == first.kept
        # What was in flight may be done again, at most by each of those side by side.
        assert sum(world.done.values()) <= sum(once.values()) + 2


def plain(result: AgentResult[Any]) -> Any:
    """What two runs of one task must have in common: everything but the time it took."""
    usage = msgspec.structs.replace(result.usage, seconds=0.0)
    return msgspec.json.encode(
        msgspec.structs.replace(result, usage=usage, messages=tuple(map(_bare, result.messages)))
    )


def _bare(message: Message) -> Message:
    return Message(
        message.role, tuple(part for part in message.parts if isinstance(part, ToolCall | ToolResult))
    )


async def test_two_runs_of_one_record_are_equal_to_the_last_message() -> None:
    world = World()
    journal = Journal()
    first = await world.agent()("Work.", Context.new(caller=journal))
    inside = {path: kept for path, kept in journal.kept.items() if len(path) > 1}
    again = await world.agent()("Work.", Context.new(caller=Journal(inside)))
    assert again == first
    assert set(world.done.values()) == {1}


async def test_time_before_the_crash_counts_and_time_between_does_not() -> None:
    with FakeClock(autojump=True) as time:

        async def think(request: Request) -> Response:
            await time.sleep(4)
            return scripted_call(len(request.turns))

        def scripted_call(n: int) -> Response:
            asked = ToolCall(id=f"c{n}", name="note", arguments={"text": str(n)}, raw_arguments="{}")
            return Response(content=(asked,), finish_reason="tool_calls")

        @tool
        def note(text: str) -> str:
            """Note."""
            return f"noted {text}"

        limits = AgentLimits(seconds=10)
        first = Journal(lives=3)  # a question, its call, and the meter of that turn
        with pytest.raises(Killed):
            await Agent(think, [note], limits=limits)("Work.", Context.new(caller=first))
        time.advance(10_000)
        result = await Agent(think, [note], limits=limits)("Work.", Context.new(caller=Journal(first.kept)))
        assert (result.stop, result.turns) == (StopReason.deadline, 3)
        assert result.usage.seconds == pytest.approx(10)


async def test_what_a_recorded_agent_spent_counts_for_its_caller() -> None:
    world = World()
    journal = Journal()
    whole = await world.agent()("Work.", Context.new(caller=journal))
    recorded = {path: kept for path, kept in journal.kept.items() if 1 < len(path) < 3}
    again = await world.agent()("Work.", Context.new(caller=Journal(recorded)))
    assert again.usage.turns == whole.usage.turns == 6
    assert again.usage.tokens == whole.usage.tokens
