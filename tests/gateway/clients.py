"""The official clients, each for its format, and what they make of an answer, in one shape to be compared."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from anthropic import AsyncAnthropic
from anthropic.types import Message
from openai import AsyncOpenAI
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion
from openai.types.responses import Response as OpenAIResponse
from openai.types.responses import ResponseCompletedEvent, ResponseIncompleteEvent

from tests.gateway.harness import KEY, Door

__all__ = ["FORMATS", "Told", "ask", "clients", "told"]

FORMATS = ("openai_chat", "openai_responses", "anthropic")


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What counts in an answer."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[tuple[str, str, dict[str, Any]], ...] = ()
    finish: str = "stop"
    tokens: tuple[int | None, int | None] = (None, None)
    """All of the prompt, and all of the answer."""
    cached: int | None = None


class Clients(msgspec.Struct, frozen=True):
    """Both of them, on one gateway."""

    openai: AsyncOpenAI
    anthropic: AsyncAnthropic


@asynccontextmanager
async def clients(door: Door) -> AsyncGenerator[Clients]:
    """Clients that ask each question once."""
    async with (
        AsyncOpenAI(base_url=f"{door.url}/v1", api_key=KEY, max_retries=0) as openai,
        AsyncAnthropic(base_url=door.url, api_key=KEY, max_retries=0) as anthropic,
    ):
        yield Clients(openai, anthropic)


async def ask(to: Clients, format: str, body: dict[str, Any], *, stream: bool) -> Told:
    """Ask for the model `fast` with these fields of the client's own format."""
    if format == "openai_chat":
        return told(await _chat(to.openai, body, stream=stream))
    if format == "openai_responses":
        return told(await _response(to.openai, body, stream=stream))
    return told(await _message(to.anthropic, {"max_tokens": 500, **body}, stream=stream))


async def _chat(to: AsyncOpenAI, body: dict[str, Any], *, stream: bool) -> ChatCompletion:
    create: Any = to.chat.completions.create
    if not stream:
        return await create(model="fast", **body)
    state: ChatCompletionStreamState[Any] = ChatCompletionStreamState()
    usage = None
    options = {"include_usage": True}
    async for chunk in await create(model="fast", stream=True, stream_options=options, **body):
        list(state.handle_chunk(chunk))
        usage = chunk.usage or usage
    state.current_completion_snapshot.usage = usage
    return state.current_completion_snapshot


async def _response(to: AsyncOpenAI, body: dict[str, Any], *, stream: bool) -> OpenAIResponse:
    create: Any = to.responses.create
    if not stream:
        return await create(model="fast", **body)
    # The SDK's own helper takes an answer that reached its cap for a broken one.
    ends = [
        event.response
        async for event in await create(model="fast", stream=True, **body)
        if isinstance(event, ResponseCompletedEvent | ResponseIncompleteEvent)
    ]
    assert len(ends) == 1
    return ends[0]


async def _message(to: AsyncAnthropic, body: dict[str, Any], *, stream: bool) -> Message:
    messages: Any = to.messages
    # This version of the SDK has no arguments for them any more; the format still does.
    beside = {name: body[name] for name in ("temperature", "top_p") if name in body}
    body = {**{name: value for name, value in body.items() if name not in beside}, "extra_body": beside}
    if not stream:
        return await messages.create(model="fast", **body)
    async with messages.stream(model="fast", **body) as events:
        return await events.get_final_message()


def told(answer: ChatCompletion | OpenAIResponse | Message) -> Told:
    """What counts in it."""
    if isinstance(answer, ChatCompletion):
        return _of_chat(answer)
    return _of_response(answer) if isinstance(answer, OpenAIResponse) else _of_message(answer)


def _of_chat(answer: ChatCompletion) -> Told:
    choice = answer.choices[0]
    extra = choice.message.model_extra or {}
    calls: list[Any] = list(choice.message.tool_calls or [])
    usage = answer.usage
    details = usage.prompt_tokens_details if usage else None
    return Told(
        text=choice.message.content or "",
        reasoning=extra.get("reasoning_content") or extra.get("reasoning") or "",
        calls=tuple(
            (one.id, one.function.name, msgspec.json.decode(one.function.arguments)) for one in calls
        ),
        finish=choice.finish_reason,
        tokens=(usage.prompt_tokens, usage.completion_tokens) if usage else (None, None),
        cached=details.cached_tokens if details else None,
    )


def _of_response(answer: OpenAIResponse) -> Told:
    calls = tuple(
        (item.call_id, item.name, msgspec.json.decode(item.arguments))
        for item in answer.output
        if item.type == "function_call"
    )
    reasoning = ""
    for item in answer.output:
        if item.type == "reasoning":
            texts = [part.text for part in item.content or []] or [part.text for part in item.summary]
            reasoning += "".join(texts)
    finish = "tool_calls" if calls else "stop"
    if answer.status == "incomplete" and answer.incomplete_details is not None:
        finish = {"max_output_tokens": "length"}.get(answer.incomplete_details.reason or "", "content_filter")
    usage = answer.usage
    return Told(
        text=answer.output_text,
        reasoning=reasoning,
        calls=calls,
        finish=finish,
        tokens=(usage.input_tokens, usage.output_tokens) if usage else (None, None),
        cached=usage.input_tokens_details.cached_tokens if usage else None,
    )


def _of_message(answer: Message) -> Told:
    words = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}
    usage = answer.usage
    cached = usage.cache_read_input_tokens
    whole = usage.input_tokens + (cached or 0) + (usage.cache_creation_input_tokens or 0)
    calls = [
        (block.id, block.name, msgspec.convert(block.input, dict[str, Any]))
        for block in answer.content
        if block.type == "tool_use"
    ]
    return Told(
        text="".join(block.text for block in answer.content if block.type == "text"),
        reasoning="".join(block.thinking for block in answer.content if block.type == "thinking"),
        calls=tuple(calls),
        finish=words.get(str(answer.stop_reason), str(answer.stop_reason)),
        tokens=(whole, usage.output_tokens),
        cached=cached,
    )
