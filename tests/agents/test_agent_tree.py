"""Caps hold for an agent and all that its tools call, however deep and however many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tidyllm.agents.agent import Agent
from tidyllm.agents.agent_events import AgentEvent, Stopped
from tidyllm.agents.agent_tool import tool
from tidyllm.agents.limits import AgentLimits
from tidyllm.agents.result import AgentResult
from tidyllm.agents.stop import StopReason
from tidyllm.core import Context, Parallel, Step
from tidyllm.errors import ConfigError
from tidyllm.models import Catalog, ModelInfo, Request, Response, Usage
from tidyllm.money import Budget, Budgeted
from tidyllm.testing import Reply, call, scripted


def endless(request: Request) -> Reply:
    return Reply(tool_calls=(call("note", text=str(len(request.turns))),))


@tool
def note(text: str) -> str:
    """Write a note."""
    return f"noted {text}"


def wordy_call(request: Request) -> Reply:
    return msgspec.structs.replace(endless(request), usage=Usage(200, 50))


def helper(**limits: Any) -> Agent[str]:
    return Agent(scripted(endless), [note], name="helper", limits=AgentLimits(**limits))


def asks(*helpers: str) -> Reply:
    return Reply(tool_calls=tuple(call(name, task="Help.") for name in helpers))


async def test_turns_of_an_agent_below_count_for_the_one_above() -> None:
    boss = Agent(
        scripted(lambda _: asks("helper")), [helper().as_tool("Helps.")], limits=AgentLimits(turns=6)
    )
    result = await boss("Go.")
    assert (result.stop, result.turns, result.usage.turns) == (StopReason.turns, 1, 6)


async def test_agents_side_by_side_share_the_caps() -> None:
    names = ["h1", "h2", "h3", "h4"]
    tools = [helper().as_tool("Helps.", name=name, reads=True) for name in names]
    for limits in (AgentLimits(turns=9), AgentLimits(tool_calls=9)):
        result = await Agent(scripted(lambda _: asks(*names)), tools, limits=limits)("Go.")
        used = result.usage.turns if limits.turns == 9 else result.usage.tool_calls
        assert used == 9
        assert result.stop in {StopReason.turns, StopReason.tool_calls}


async def test_tokens_held_by_agents_side_by_side_never_pass_the_cap() -> None:
    def wordy(request: Request) -> Reply:
        return msgspec.structs.replace(endless(request), usage=Usage(300, 100))

    names = [f"h{n}" for n in range(8)]
    inner = Agent(scripted(wordy), [note], name="helper")
    tools = [inner.as_tool("Helps.", name=name, reads=True) for name in names]
    limits = AgentLimits(tokens=9_000, turns=None, tool_calls=None)
    result = await Agent(scripted(lambda _: asks(*names)), tools, limits=limits)("Go.")
    assert result.stop is StopReason.tokens
    assert 4_000 < result.usage.tokens <= 9_000


async def test_an_agent_below_can_only_have_less() -> None:
    boss = Agent(
        scripted(asks("helper"), "Never mind."),
        [helper(turns=2).as_tool("Helps.")],
        limits=AgentLimits(turns=9),
    )
    result = await boss("Go.")
    assert (result.stop, result.output, result.usage.turns) == (StopReason.done, "Never mind.", 4)


async def test_an_agent_called_by_a_plain_tool_is_below_as_well() -> None:
    inner = helper()

    @tool(thread=True)
    def delegate() -> str:
        """Delegate."""
        return inner.run_sync("Help.").stop.value

    @tool
    async def spread() -> str:
        """Delegate twice."""
        both = await Parallel(inner.named("a"), inner.named("b"))("Help.")
        return " ".join(one.stop.value for one in both)

    for one in (delegate, spread):
        result = await Agent(
            scripted(Reply(tool_calls=(call(one.name),)), "x"), [one], limits=AgentLimits(turns=7)
        )("Go.")
        assert (result.stop, result.usage.turns) == (StopReason.turns, 7)


async def test_its_events_come_in_the_stream_of_the_one_above() -> None:
    boss = Agent(scripted(asks("helper"), "Done."), [helper(turns=1).as_tool("Helps.")], name="boss")
    events: list[AgentEvent] = [event async for event in boss.stream("Go.", Context.new())]
    ends = [(event.agent, event.path[0]) for event in events if isinstance(event, Stopped)]
    assert ends == [("helper", "boss"), ("boss", "boss")]


# -- dollars


INFO = ModelInfo(
    name="offline/priced",
    context_window_tokens=10_000,
    max_output_tokens=100,
    prices=Catalog.default().find("openai/gpt-5.1").prices,  # pyright: ignore[reportOptionalMemberAccess] - it is there
)


def priced(reply: Reply | str | Callable[[Request], Reply]) -> Step[Any, Response]:
    model = scripted(reply)
    model.info = INFO
    return model


async def test_dollars_are_never_passed_also_by_many_at_once() -> None:
    names = [f"h{n}" for n in range(6)]
    inner = Agent(priced(wordy_call), [note], name="helper", limits=AgentLimits(turns=20))
    tools = [inner.as_tool("Helps.", name=name, reads=True) for name in names]
    limits = AgentLimits(usd=Decimal("0.02"), turns=None, tool_calls=None)
    result = await Agent(priced(lambda _: asks(*names)), tools, limits=limits)("Go.")
    assert result.stop is StopReason.budget
    assert result.cost_usd is not None
    assert Decimal("0.001") < result.cost_usd <= Decimal("0.02")


async def test_a_cap_that_is_smaller_than_the_longest_answer_is_of_use() -> None:
    def wordy(request: Request) -> Reply:
        return msgspec.structs.replace(endless(request), usage=Usage(1_000, 500))

    model = scripted(wordy)
    model.info = msgspec.structs.replace(INFO, context_window_tokens=400_000, max_output_tokens=128_000)
    limits = AgentLimits(usd=Decimal("0.10"), turns=None, tool_calls=None)
    result = await Agent(model, [note], limits=limits)("Go.")
    assert result.stop is StopReason.budget
    assert result.turns > 5
    assert all(0 < (request.max_output_tokens or 0) < 10_000 for request in model.requests)


async def test_agents_side_by_side_wait_for_dollars_on_hold() -> None:
    def wordy(request: Request) -> Reply:
        return msgspec.structs.replace(endless(request), delay=0.01)

    names = [f"h{n}" for n in range(6)]
    inner = Agent(priced(wordy), [note], name="helper", limits=AgentLimits(turns=3))
    tools = [inner.as_tool("Helps.", name=name, reads=True) for name in names]
    model = priced(lambda request: asks(*names) if len(request.turns) == 1 else Reply(text="Done."))
    result = await Agent(model, tools, limits=AgentLimits(usd=Decimal("0.05")))("Go.")
    assert (result.stop, result.usage.turns) == (StopReason.done, 20)


async def test_an_unknown_price_under_a_cap_is_refused_before_anything_is_sent() -> None:
    model = scripted("4")
    result = await Agent(model, limits=AgentLimits(usd=Decimal(1)))("?")
    assert (result.stop, model.requests) == (StopReason.budget, [])
    assert "unknown" in result.detail


async def test_a_model_that_reserves_nothing_is_counted_by_what_it_says() -> None:
    async def costly(request: Request) -> Response:
        return Response(
            content=scripted_call(len(request.turns)),
            cost_usd=Decimal("0.4"),
            usage=Usage(1, 1),
            finish_reason="tool_calls",
        )

    def scripted_call(n: int) -> Any:
        return (call("note", text=str(n)),)

    result = await Agent(costly, [note], limits=AgentLimits(usd=1))("Go.")  # pyright: ignore[reportArgumentType] - a plain number is taken
    assert (result.stop, result.turns, result.cost_usd) == (StopReason.budget, 3, Decimal("1.2"))


async def test_a_budget_around_the_run_ends_it_too() -> None:
    class Empty:
        async def reserve(self, at_most_usd: Decimal | None, *, what: str) -> Any:
            from tidyllm.errors import BudgetExceeded

            raise BudgetExceeded(
                "team", what=what, asked_usd="1", limit_usd="0", spent_usd="0", reserved_usd="0"
            )

    result = await Agent(priced("4"), limits=AgentLimits(usd=Decimal(1)))("?", Context.new(budget=Empty()))
    assert (result.stop, result.usage.usd) == (StopReason.budget, 0)
    assert "team" in result.detail


def test_caps_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"limits\.turns"):
        AgentLimits(turns=-1)


async def test_a_thousand_agents_run_at_once() -> None:
    agents = [
        Agent(scripted(Reply(tool_calls=(call("note", text="a"),)), f"{n}"), [note]) for n in range(1_000)
    ]
    results = await asyncio.gather(*(agent("Go.") for agent in agents))
    assert [result.output for result in results] == [str(n) for n in range(1_000)]


async def test_its_cap_stands_within_a_budget_that_keeps_books() -> None:
    books = Budget("0.5", name="team")
    limits = AgentLimits(usd=Decimal("0.01"), turns=None)
    agent = Agent(priced(wordy_call), [note], limits=limits)
    capped: Budgeted[str, AgentResult[str]] = Budgeted(agent, books)
    result = await capped("Go.")
    assert result.stop is StopReason.budget
    assert "agent agent" in result.detail
    assert result.cost_usd is not None
    assert 0 < result.cost_usd <= Decimal("0.01")
    poor = Budget("0.005", name="poor")
    refused: Budgeted[str, AgentResult[str]] = Budgeted(agent, poor)
    assert "poor" in (await refused("Go.")).detail
