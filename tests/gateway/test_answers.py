"""Every provider's answer reaches the official client of every format: whole and in pieces, and means the same."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.gateway.clients import FORMATS, Told, ask, clients
from tests.gateway.providers import KINDS, between
from tidyllm.models.message import Text, Thinking, ToolCall
from tidyllm.models.response import Response, Usage

WORDS = "Grüße aus 東京, 😀."
CALLS = (
    ToolCall(id="call_1", name="add", arguments={"a": 1, "b": [2, "ü"]}, raw_arguments='{"a":1,"b":[2,"ü"]}'),
    ToolCall(id="call_2", name="now", arguments={}, raw_arguments="{}"),
)
USED = Usage(input_tokens=100, output_tokens=20, cache_read_tokens=60, reasoning_tokens=5)
ANSWERS: dict[str, tuple[Response, Told]] = {
    "text": (Response(content=(Text(text=WORDS),), finish_reason="stop"), Told(text=WORDS)),
    "reasoning": (
        Response(content=(Thinking(text="Let me think."), Text(text=WORDS)), finish_reason="stop"),
        Told(text=WORDS, reasoning="Let me think."),
    ),
    "calls": (
        Response(content=CALLS, finish_reason="tool_calls"),
        Told(calls=tuple((one.id, one.name, one.arguments) for one in CALLS), finish="tool_calls"),
    ),
    "text and a call": (
        Response(content=(Text(text=WORDS), CALLS[0]), finish_reason="tool_calls"),
        Told(text=WORDS, calls=(("call_1", "add", {"a": 1, "b": [2, "ü"]}),), finish="tool_calls"),
    ),
    "cut by its cap": (
        Response(content=(Text(text=WORDS),), finish_reason="length"),
        Told(text=WORDS, finish="length"),
    ),
    "nothing": (Response(content=(), finish_reason="stop"), Told()),
}
QUESTION: dict[str, dict[str, Any]] = {
    "openai_chat": {"messages": [{"role": "user", "content": "Hi"}]},
    "openai_responses": {"input": "Hi"},
    "anthropic": {"messages": [{"role": "user", "content": "Hi"}]},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("format", FORMATS)
async def test_an_answer_means_the_same_in_every_format(format: str, kind: str) -> None:
    async with between(kind) as (running, provider), clients(running) as sdk:
        for name, (answer, expected) in ANSWERS.items():
            provider.answer = Response(
                content=answer.content,
                finish_reason=answer.finish_reason,
                usage=USED,
                model="m-1",
                id="answer_1",
            )
            for stream in (False, True):
                got = await ask(sdk, format, QUESTION[format], stream=stream)
                # Ollama does not say what was cached; the clients' own types have a 0 for that.
                cached = got.cached if kind == "ollama" and not got.cached else 60
                assert got == msgspec.structs.replace(expected, tokens=(100, 20), cached=cached), (
                    name,
                    stream,
                )
