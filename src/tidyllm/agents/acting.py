"""The calls of one answer: run, side by side where all of them only read, and judged. It knows no model."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from tidyllm.agents.agent_as_tool import AgentAsTool
from tidyllm.agents.agent_events import ToolFinished, ToolStarted
from tidyllm.agents.agent_tool import AgentTool
from tidyllm.agents.call import Call, ToolResult
from tidyllm.agents.detector import Done
from tidyllm.agents.meter import Reading
from tidyllm.agents.parsed import Parsed
from tidyllm.agents.stop import Stop, StopReason
from tidyllm.core.group import finish
from tidyllm.errors import BadAnswer, BudgetExceeded, PriceUnknown, ToolError
from tidyllm.models.message import Message
from tidyllm.models.response import Response

if TYPE_CHECKING:
    from tidyllm.agents.run_state import Run

__all__ = ["act"]

_UNREADABLE = frozenset({"UnknownTool", "BadToolCall"})
_encode = msgspec.json.Encoder(order="sorted").encode


async def act(run: Run, response: Response, parsed: Parsed) -> Stop | None:
    """Run what the answer asks for, and put the results into the conversation; the stop, if that ends the agent."""
    calls = run.say(response, parsed)
    refused = parsed.refused
    run.expect(_in_order(response, (*calls, *(Call(one.id, one.name) for one in refused))))
    run.results.update({one.id: one for one in refused})
    final = run.agent.final
    if final is not None and final.tool is not None:
        given = next((call for call in calls if call.name == final.tool.name), None)
        if given is not None:
            return _finish(run, given)
    granted = run.meter.take_calls(len(calls))
    run.calls_made += granted
    made = calls[:granted]
    try:
        if len(made) > 1 and all(_side_by_side(run.agent.toolset[call.name]) for call in made):
            tasks = [asyncio.ensure_future(_call(run, call)) for call in made]
            await finish(tasks, fail_fast=True)
        else:
            for call in made:
                await _call(run, call)
    except (BudgetExceeded, PriceUnknown) as error:
        return Stop(StopReason.budget, str(error))
    results = [run.results[call.id] for call in made]
    run.close("(not run: no tool calls are left)")
    if parsed.problems and not refused:
        run.talk.add(Message.user("\n".join(parsed.problems)), "error")
    return _judge(run, parsed, made, results, len(calls))


def _in_order(response: Response, calls: tuple[Call, ...]) -> tuple[Call, ...]:
    """As they stand in the answer."""
    order = {part.id: number for number, part in enumerate(response.tool_calls)}
    return tuple(sorted(calls, key=lambda call: order.get(call.id, 0)))


def _side_by_side(tool: AgentTool) -> bool:
    return tool.reads and tool.policy == "allow"


async def _call(run: Run, call: Call) -> None:
    if run.heard:
        run.tell(ToolStarted, id=call.id, tool=call.name, arguments=call.arguments)
    tool = run.agent.toolset[call.name]
    if isinstance(tool, AgentAsTool) and tool.policy == "allow":
        result = await _delegate(run, call, tool)
    else:
        result = await run.agent.toolset.call(call, run.ctx, approve=run.agent.approving(run))
    run.results[call.id] = result
    if run.heard:
        run.tell(ToolFinished, id=call.id, tool=call.name, text=result.text, ok=result.ok)


async def _delegate(run: Run, call: Call, tool: AgentAsTool) -> ToolResult:
    segment = f"{call.name}-{call.id}".replace("#", "-")
    try:
        result = await run.ctx.call(tool.agent, tool.task_of(call.arguments), segment)
        if segment not in run.ran:  # a record: what it used is known from there alone
            used = result.usage
            usd = used.usd
            reading = Reading(
                used.turns,
                used.tool_calls,
                used.input_tokens,
                used.output_tokens,
                usd,
                usd,
                result.cost_usd is not None,
            )
            run.meter.correct(reading, Reading())
        return ToolResult(call.id, call.name, tool.words_of(result))
    except ToolError as error:
        return ToolResult(call.id, call.name, str(error), ok=False, error=type(error).__name__)


def _finish(run: Run, given: Call) -> Stop | None:
    """The final answer, as arguments of its tool."""
    final = run.agent.final
    assert final is not None
    try:
        run.output = final.of_arguments(given.arguments)
    except BadAnswer as error:
        run.results[given.id] = ToolResult(given.id, given.name, str(error), ok=False, error="BadToolCall")
        run.close("(not run: the final answer was given in the same turn, and did not fit)")
        return run.repair(str(error))
    run.results[given.id] = ToolResult(given.id, given.name, "(accepted)")
    run.close("(not run: the final answer was given)")
    return Stop(StopReason.done)


def _judge(
    run: Run, parsed: Parsed, made: tuple[Call, ...], results: list[ToolResult], wanted: int
) -> Stop | None:
    if len(made) < wanted:
        return Stop(
            StopReason.tool_calls, f"{wanted} tool calls were wanted, and the cap left room for {len(made)}."
        )
    unreadable = [one.text for one in results if one.error in _UNREADABLE]
    if parsed.problems or (unreadable and len(unreadable) == len(results)):
        stop = run.repair("; ".join([*parsed.problems, *unreadable]))
        if stop is not None:
            return stop
    elif any(one.ok for one in results):
        run.repairs = 0
    denied = bool(results) and all(one.error == "ToolDenied" for one in results)
    run.denials = run.denials + 1 if denied else 0
    if run.limits.denials and run.denials >= run.limits.denials:
        return Stop(StopReason.denied, f"All calls of {run.denials} turns in a row were denied.")
    done = [
        Done(
            call.name, _encode(call.arguments).decode(), one.text, one.ok, run.agent.toolset[call.name].reads
        )
        for call, one in zip(made, results, strict=True)
    ]
    found = run.detector.turn(done)
    if found is None and (warning := run.detector.warning) is not None:
        run.talk.add(Message.user(f"[{warning} Try something else, or give your final answer.]"))
    return found
