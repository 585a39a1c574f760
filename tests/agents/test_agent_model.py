"""What an agent asks of its model: within the window, in the model's own way, and what becomes of a broken stream."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tidyllm.agents.agent import Agent
from tidyllm.agents.agent_events import AgentEvent, AnswerPiece, Pruned, Stopped
from tidyllm.agents.agent_tool import tool
from tidyllm.agents.limits import AgentLimits
from tidyllm.agents.stop import StopReason
from tidyllm.core import Context, Event, Step, install
from tidyllm.errors import ConfigError, ContextTooLong
from tidyllm.models import JSONSchema, Message, ModelInfo, Request, Response, ToolCall, ToolResult
from tidyllm.observe import Metrics, Recorder
from tidyllm.resilience import Fallback, Retry
from tidyllm.testing import FakeClock, Reply, call, scripted
from tidyllm.tokens import count_request


@tool(reads=True)
def page(n: int) -> str:
    """Read a page."""
    return f"page {n}: " + "words and more words " * 40


def reading(request: Request) -> Reply:
    results = [p for m in request.turns for p in m.parts if isinstance(p, ToolResult)]
    last = int(str(results[-1].content).split()[1].strip(":")) if results else 0
    return Reply(tool_calls=(call("page", n=last + 1),)) if last < 40 else Reply(text="Read it all.")


async def test_a_long_conversation_is_kept_within_what_a_question_may_be() -> None:
    events: list[AgentEvent] = []
    model = scripted(reading)
    model.info = ModelInfo(name="openai/gpt-5.1", context_window_tokens=4_000, max_output_tokens=500)
    result = await Agent(model, [page], "Read.", observe=events.append)("Read all pages.")
    assert result.output == "Read it all."
    assert any(isinstance(event, Pruned) for event in events)
    for request in model.requests:
        body: dict[str, Any] = {"messages": [{"role": m.role, "content": words(m)} for m in request.turns]}
        assert (count_request(body, "openai_chat", "openai/gpt-5.1") or 0) <= 3_500
        calls = [p.id for m in request.turns for p in m.parts if isinstance(p, ToolCall)]
        assert calls == [p.call_id for m in request.turns for p in m.parts if isinstance(p, ToolResult)]
        assert "Read all pages." in [m.text for m in request.turns]


def words(message: Message) -> str:
    said = [part.content for part in message.parts if isinstance(part, ToolResult)]
    return message.text + "".join(one for one in said if isinstance(one, str))


async def test_instructions_that_fill_the_window_alone_are_said_to() -> None:
    result = await Agent(scripted("4"), (), "word " * 1_000, context_tokens=500)("?")
    assert (result.stop, result.turns) == (StopReason.tokens, 0)


async def test_a_question_that_was_too_long_is_asked_once_more_shorter() -> None:
    asked: list[int] = []

    async def small(request: Request) -> Response:
        size = sum(len(words(message)) for message in request.turns)
        asked.append(size)
        if size > 6_000:
            raise ContextTooLong("the window is 6,000 characters.")
        return await scripted(reading)(request)

    result = await Agent(small, [page])("Read all pages.")
    assert result.output == "Read it all."
    assert sum(size > 6_000 for size in asked) == 1


class Sum(msgspec.Struct):
    total: int


async def test_a_model_that_keeps_to_schemas_is_asked_in_its_own_way() -> None:
    model = scripted('{"total": 5}')
    model.info = ModelInfo(name="openai/gpt-5.1", abilities=frozenset({"structured_output", "tools"}))
    for step in (model, Retry(model), Fallback(Retry(model))):
        agent = Agent(step, [page], output=Sum)
        assert agent.final is not None
        assert agent.final.way == "native"
    assert (await Agent(model, [page], output=Sum)("2 + 3?")).require() == Sum(5)
    assert isinstance(model.requests[0].output, JSONSchema | dict)


def test_text_alone_is_no_other_type() -> None:
    with pytest.raises(ConfigError, match="no type for an answer"):
        Agent(scripted("x"), output=None)  # pyright: ignore[reportArgumentType] - what is refused


@pytest.mark.parametrize("fault", [Reply(text="The answer is long", cut_after=3), Reply(status=503)])
async def test_a_stream_that_breaks_ends_with_what_had_come(fault: Reply) -> None:
    events = [event async for event in Agent(scripted(fault)).stream("?")]
    end = events[-1]
    assert isinstance(end, Stopped)
    assert end.result is not None
    assert end.stop is StopReason.model_error
    assert end.result.text == "".join(event.text for event in events if isinstance(event, AnswerPiece))


async def test_a_stream_that_stalls_is_interrupted() -> None:
    with FakeClock(autojump=True):
        agent = Agent(
            scripted(Reply(text="The answer is long", stall_after=3)), limits=AgentLimits(seconds=5)
        )
        events = [event async for event in agent.stream("?", Context.new())]
    assert events[-1].stop is StopReason.deadline if isinstance(events[-1], Stopped) else False


async def test_the_deadline_of_the_run_is_raised() -> None:
    from tidyllm.errors import TimeoutExceeded

    with FakeClock(autojump=True), pytest.raises(TimeoutExceeded, match="deadline"):
        await Agent(scripted(Reply(text="x", stall_after=0)))("?", Context.new(deadline=5))


async def test_hooks_of_the_run_hear_of_the_agent_and_the_usual_ones_do_not_mind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[str] = []

    def hook(event: Event) -> None:
        heard.append(type(event).__name__)

    removers: list[Callable[[], None]] = [install(one) for one in (hook, Recorder(), Metrics())]
    try:
        with caplog.at_level(logging.WARNING):
            await Agent(scripted(Reply(tool_calls=(call("page", n=1),)), "Done."), [page])("?")
    finally:
        for remove in removers:
            remove()
    assert {"TurnStarted", "ToolFinished", "Stopped", "CallFinished"} <= set(heard)
    assert caplog.records == []


async def test_any_step_can_be_the_model() -> None:
    async def model(request: Request) -> Response:
        return Response(content=scripted_text("4"), finish_reason="stop")

    def scripted_text(text: str) -> Any:
        return Message.assistant(text).parts

    assert isinstance(Agent(model), Step)
    assert (await Agent(model)("2 + 2?")).output == "4"


async def test_ids_that_come_twice_are_told_apart() -> None:
    asked = [
        Response(content=(ToolCall(id="call_0", name="page", arguments={"n": n}, raw_arguments="{}"),))
        for n in (1, 2)
    ]
    answers = iter([*asked, Response(content=Message.assistant("Done.").parts)])

    async def model(request: Request) -> Response:
        return next(answers)

    result = await Agent(model, [page])("?")
    ids = [p.id for m in result.messages for p in m.parts if isinstance(p, ToolCall)]
    assert len(set(ids)) == 2
    assert ids == [p.call_id for m in result.messages for p in m.parts if isinstance(p, ToolResult)]
