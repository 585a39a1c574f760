"""The loop of an agent: it answers, calls tools, and ends with a typed reason in every other case."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from tidyllm.agents.agent import Agent
from tidyllm.agents.agent_events import AgentEvent, Repaired, Stopped, ToolFinished, ToolStarted, TurnStarted
from tidyllm.agents.agent_tool import AgentTool, tool
from tidyllm.agents.call import Call
from tidyllm.agents.limits import AgentLimits
from tidyllm.agents.result import AgentTask
from tidyllm.agents.stop import StopReason
from tidyllm.core import Context
from tidyllm.errors import AgentStopped
from tidyllm.models import Message, Request, ToolCall, ToolResult
from tidyllm.testing import FakeClock, Reply, call, scripted


@tool(reads=True)
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def note(text: str) -> str:
    """Write a note."""
    return f"noted {text}"


def calls(*wanted: ToolCall) -> Reply:
    return Reply(tool_calls=wanted)


def answered(messages: tuple[Message, ...]) -> bool:
    """Every call has its result, and every result its call."""
    parts = [part for message in messages for part in message.parts]
    asked = [part.id for part in parts if isinstance(part, ToolCall)]
    return asked == [part.call_id for part in parts if isinstance(part, ToolResult)]


async def test_a_model_that_needs_no_tool_answers_at_once() -> None:
    result = await Agent(scripted("4"))("What is 2 + 2?")
    assert (result.output, result.stop, result.turns) == ("4", StopReason.done, 1)
    assert result.require() == "4"


async def test_a_tool_is_called_and_its_result_goes_back() -> None:
    model = scripted(calls(call("add", a=2, b=3)), "It is 5.")
    result = await Agent(model, [add], "Use tools.")("2 + 3?")
    assert (result.output, result.turns, result.tool_calls) == ("It is 5.", 2, 1)
    (said,) = [p for p in model.requests[1].turns[-1].parts if isinstance(p, ToolResult)]
    assert said.content == "5"
    assert model.requests[0].turns[0].text == "Use tools." or model.requests[0].system == "Use tools."
    assert answered(result.messages)


class Sum(msgspec.Struct):
    total: int


async def test_a_typed_answer_comes_as_the_arguments_of_a_tool() -> None:
    model = scripted(calls(call("add", a=2, b=3)), calls(call("final_answer", total=5)))
    result = await Agent(model, [add], output=Sum)("2 + 3?")
    assert result.require() == Sum(5)
    assert answered(result.messages)


async def test_a_typed_answer_as_text_is_read_too() -> None:
    result = await Agent(scripted('Here it is:\n```json\n{"total": 5}\n```'), output=Sum)("2 + 3?")
    assert result.require() == Sum(5)


async def test_an_answer_of_another_type_goes_back_with_the_reason() -> None:
    model = scripted(calls(call("final_answer", total="five")), calls(call("final_answer", total=5)))
    result = await Agent(model, output=Sum)("2 + 3?")
    assert result.require() == Sum(5)
    (said,) = [p for p in model.requests[1].turns[-1].parts if isinstance(p, ToolResult)]
    assert "total" in str(said.content)


async def test_an_answer_that_never_fits_is_malformed_after_three_repairs() -> None:
    model = scripted(*["no JSON"] * 9)
    result = await Agent(model, output=Sum)("2 + 3?")
    assert (result.stop, result.text, result.turns) == (StopReason.malformed, "no JSON", 4)
    with pytest.raises(AgentStopped, match="malformed") as caught:
        result.require()
    assert caught.value.partial is result


async def test_a_list_can_be_the_answer() -> None:
    result = await Agent(scripted(calls(call("final_answer", answer=[1, 2]))), output=list[int])("?")
    assert result.require() == [1, 2]


async def test_the_schema_goes_into_the_instructions_where_asked_to() -> None:
    model = scripted('{"total": 5}')
    result = await Agent(model, output=Sum, output_way="prompt")("2 + 3?")
    assert result.require() == Sum(5)
    assert "total" in str(model.requests[0].system) + model.requests[0].turns[0].text


async def test_without_native_tools_calls_are_read_from_text() -> None:
    model = scripted('```json\n{"tool": "add", "arguments": {"a": 2, "b": 3}}\n```', "It is 5.")
    result = await Agent(model, [add], native_tools=False)("2 + 3?")
    assert result.output == "It is 5."
    assert not model.requests[0].tools
    assert model.requests[1].turns[-1].role == "user"
    assert "5" in model.requests[1].turns[-1].text
    assert answered(result.messages)


# -- caps


def looping(request: Request) -> Reply:
    return calls(call("note", text=str(len(request.turns))))


async def test_the_cap_on_turns_ends_it_with_the_work_so_far() -> None:
    result = await Agent(scripted(looping), [note], limits=AgentLimits(turns=4))("Go on.")
    assert (result.stop, result.turns, result.tool_calls) == (StopReason.turns, 4, 4)
    assert answered(result.messages)


async def test_the_cap_on_tool_calls_holds_within_one_turn() -> None:
    done: list[int] = []

    @tool(reads=True)
    def look(n: int) -> int:
        """Look."""
        done.append(n)
        return n

    model = scripted(calls(*[call("look", n=n) for n in range(5)]))
    result = await Agent(model, [look], limits=AgentLimits(tool_calls=3))("Look.")
    assert (result.stop, result.tool_calls, done) == (StopReason.tool_calls, 3, [0, 1, 2])
    assert answered(result.messages)


async def test_with_its_tool_calls_used_up_it_may_still_answer() -> None:
    model = scripted(calls(call("add", a=1, b=1)), "2")
    assert (await Agent(model, [add], limits=AgentLimits(tool_calls=1))("?")).output == "2"


async def test_the_cap_on_tokens_is_never_passed() -> None:
    limits = AgentLimits(tokens=2_000)
    model = scripted(looping)
    result = await Agent(model, [note], limits=limits)("Go on.")
    assert result.stop is StopReason.tokens
    assert 0 < result.usage.tokens <= 2_000
    assert all((r.max_output_tokens or 0) <= 2_000 for r in model.requests)


async def test_a_model_that_stalls_is_interrupted() -> None:
    model = scripted(calls(call("add", a=1, b=1)), Reply(text="x", stall_after=0))
    result = await Agent(model, [add], limits=AgentLimits(seconds=0.2))("?")
    assert (result.stop, result.turns) == (StopReason.deadline, 2)
    assert answered(result.messages)


async def test_a_tool_that_hangs_is_interrupted_and_cancelled() -> None:
    ended: list[str] = []

    @tool
    async def hang() -> str:
        """Hang."""
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("hang")
        return ""

    result = await Agent(scripted(calls(call("hang"))), [hang], limits=AgentLimits(seconds=0.1))("?")
    assert (result.stop, ended) == (StopReason.deadline, ["hang"])
    assert answered(result.messages)


# -- getting nowhere


async def test_the_same_call_with_the_same_result_ends_it() -> None:
    result = await Agent(scripted(lambda _: calls(call("add", a=1, b=1))), [add])("?")
    assert (result.stop, result.tool_calls) == (StopReason.repeated, 3)


async def test_ping_pong_ends_it() -> None:
    def two(request: Request) -> Reply:
        return calls(call("add", a=len(request.turns) // 2 % 2, b=0))

    assert (await Agent(scripted(two), [add])("?")).stop is StopReason.ping_pong


async def test_a_result_that_changes_is_progress() -> None:
    count = iter(range(100))

    @tool(reads=True)
    def poll() -> str:
        """Poll."""
        return f"{next(count)} %"

    limits = AgentLimits(turns=12)
    assert (await Agent(scripted(lambda _: calls(call("poll"))), [poll], limits=limits)("?")).stop == "turns"


# -- answers that are none


@pytest.mark.parametrize(
    ("reply", "stop"),
    [
        (Reply(text="half an ans", finish_reason="length"), StopReason.truncated),
        (Reply(text=""), StopReason.empty),
        (Reply(text="I cannot help.", finish_reason="refused"), StopReason.refused),
        (Reply(status=500), StopReason.model_error),
        (Reply(unreachable=True), StopReason.model_error),
        (Reply(garbage=b"<html>"), StopReason.model_error),
        (calls(ToolCall(name="add", raw_arguments='{"a": ', valid=False)), StopReason.malformed),
        (calls(call("subtract", a=1)), StopReason.malformed),
        (calls(call("add", a="one", b=2)), StopReason.malformed),
    ],
)
async def test_every_bad_answer_ends_with_its_reason(reply: Reply, stop: StopReason) -> None:
    result = await Agent(scripted(lambda _: reply), [add], limits=AgentLimits(turns=20, repeats=0))("?")
    assert result.stop is stop
    assert result.detail
    assert answered(result.messages)


async def test_after_a_repair_it_goes_on() -> None:
    model = scripted(calls(call("subtract", a=1)), "", calls(call("add", a=1, b=1)), "2")
    events: list[AgentEvent] = []
    result = await Agent(model, [add], observe=events.append)("?")
    assert result.output == "2"
    assert [event.attempt for event in events if isinstance(event, Repaired)] == [1, 2]


async def test_a_model_error_midway_keeps_the_work_so_far() -> None:
    model = scripted(
        Reply(text="Adding.", tool_calls=(call("add", a=1, b=1),)), Reply(status=400, message="bad")
    )
    result = await Agent(model, [add])("?")
    assert (result.stop, result.text, result.turns, result.tool_calls) == ("model_error", "Adding.", 2, 1)


async def test_a_tool_that_fails_is_told_to_the_model() -> None:
    @tool
    def fail() -> str:
        """Fail."""
        raise ValueError("no disk")

    model = scripted(calls(call("fail")), "It failed.")
    assert (await Agent(model, [fail])("?")).output == "It failed."
    (said,) = [p for p in model.requests[1].turns[-1].parts if isinstance(p, ToolResult)]
    assert "no disk" in str(said.content)


# -- approval, cancellation


async def test_a_tool_that_must_be_approved_waits_for_the_answer() -> None:
    asked: list[str] = []

    async def asker(question: str, ctx: Context, /) -> str:
        asked.append(question)
        return "yes"

    ask_note = note.with_(policy="ask")
    model = scripted(calls(call("note", text="x")), "Done.")
    assert (await Agent(model, [ask_note])("?", Context.new(asker=asker))).output == "Done."
    assert "note" in asked[0]


async def test_while_a_person_thinks_no_clock_runs() -> None:
    with FakeClock(autojump=True) as time:

        async def asker(question: str, ctx: Context, /) -> str:
            await time.sleep(1_000)
            return "yes"

        @tool(policy="ask")
        async def work() -> str:
            """Work."""
            await time.sleep(6)
            return "worked"

        inner = Agent(
            scripted(calls(call("work")), "Done."), [work], name="inner", limits=AgentLimits(seconds=20)
        )
        model = scripted(calls(call("inner", task="Work.")), calls(call("work")), "Done.")
        agent = Agent(model, [work, inner.as_tool("Works.")], limits=AgentLimits(seconds=10))
        result = await agent("?", Context.new(asker=asker))
        assert (result.stop, result.turns) == (StopReason.deadline, 2)
        assert result.usage.seconds == pytest.approx(10)


async def test_calls_of_a_refused_answer_have_results() -> None:
    model = scripted(msgspec.structs.replace(calls(call("add", a=1, b=1)), finish_reason="refused"))
    result = await Agent(model, [add])("?")
    assert result.stop is StopReason.refused
    assert answered(result.messages)


async def test_who_is_always_denied_is_stopped() -> None:
    def never(wanted: Call, tool: AgentTool) -> bool:
        return False

    agent = Agent(scripted(looping), [note.with_(policy="ask")], approve=never)
    result = await agent("?")
    assert (result.stop, result.turns) == (StopReason.denied, 3)


async def test_a_cancellation_reaches_the_tools_at_once_and_is_raised() -> None:
    ended: list[str] = []
    events: list[AgentEvent] = []
    began = asyncio.Event()

    @tool(reads=True)
    async def hang(name: str) -> str:
        """Hang."""
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            ended.append(name)
        return ""

    agent = Agent(
        scripted(calls(call("hang", name="a"), call("hang", name="b"))), [hang], observe=events.append
    )
    ctx = Context.new()
    task = asyncio.ensure_future(agent("?", ctx))
    await began.wait()
    ctx.cancel("enough")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(ended) == ["a", "b"]
    assert isinstance(events[-1], Stopped)
    assert events[-1].stop is StopReason.cancelled


# -- side by side


async def test_calls_that_only_read_run_at_the_same_time_and_others_in_order() -> None:
    running: list[int] = []
    most: list[int] = []

    async def busy(n: int) -> int:
        """Be busy."""
        running.append(n)
        most.append(len(running))
        await asyncio.sleep(0.01)
        running.remove(n)
        return n

    for reads, expected in ((True, 3), (False, 1)):
        most.clear()
        model = scripted(calls(*[call("busy", n=n) for n in range(3)]), "Done.")
        result = await Agent(model, [tool(reads=reads)(busy)])("?")
        assert (max(most), result.output) == (expected, "Done.")
        assert answered(result.messages)


# -- events


async def test_the_stream_tells_what_happens_and_joins_to_the_result() -> None:
    agent = Agent(scripted(calls(call("add", a=1, b=1)), "It is 2."), [add], name="adder")
    events = [event async for event in agent.stream("1 + 1?")]
    assert [type(event).__name__ for event in events if type(event).__name__ != "AnswerPiece"] == [
        "TurnStarted",
        "TurnFinished",
        "ToolStarted",
        "ToolFinished",
        "TurnStarted",
        "TurnFinished",
        "Stopped",
    ]
    assert {event.agent for event in events} == {"adder"}
    assert agent.join(events).output == "It is 2."
    assert msgspec.json.encode(events)


async def test_who_leaves_the_stream_early_stops_the_agent() -> None:
    model = scripted(looping)
    stream = Agent(model, [note]).stream("?")
    async for event in stream:
        if isinstance(event, ToolFinished):
            break
    await stream.aclose()
    asked = len(model.requests)
    await asyncio.sleep(0)
    assert len(model.requests) == asked


async def test_a_watcher_that_fails_disturbs_nothing() -> None:
    def broken(event: AgentEvent) -> None:
        raise RuntimeError("no")

    assert (await Agent(scripted("4"), observe=broken)("?")).output == "4"


async def test_earlier_messages_and_tighter_limits_come_with_the_task() -> None:
    model = scripted(looping)
    before = (Message.user("My name is Ada."), Message.assistant("Hello Ada."))
    task = AgentTask(task="Go on.", messages=before, limits=AgentLimits(turns=2))
    result = await Agent(model, [note], limits=AgentLimits(turns=9))(task)
    assert (result.stop, result.turns) == (StopReason.turns, 2)
    assert model.requests[0].turns[:2] == before


async def test_a_result_is_written_and_read_back() -> None:
    from tidyllm.agents.result import AgentResult

    result: Any = await Agent(scripted(calls(call("final_answer", total=5))), output=Sum)("?")
    again = msgspec.json.decode(msgspec.json.encode(result), type=AgentResult[Sum])
    assert again == result


def test_events_name_what_they_are() -> None:
    started = ToolStarted(id="1", tool="add", arguments={"a": 1})
    assert msgspec.json.decode(msgspec.json.encode(started), type=TurnStarted | ToolStarted) == started
