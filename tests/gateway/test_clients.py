"""What people really use: the official clients with all their helpers, sync and async, and LangChain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anthropic
import openai
import pytest
from anthropic import Anthropic, AsyncAnthropic, beta_tool
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel, SecretStr

from tests.gateway.clients import clients
from tests.gateway.harness import KEY, Running, gateway, offline
from tests.gateway.providers import between
from tidyllm.models.message import Text, ToolCall
from tidyllm.models.response import Response, Usage

T = TypeVar("T")

QUESTION: Any = [{"role": "user", "content": "Hi"}]
GOOD = Response(
    content=(Text(text="Good morning."),),
    finish_reason="stop",
    usage=Usage(input_tokens=9, output_tokens=3),
    id="a1",
)
CALL = Response(
    content=(ToolCall(id="call_1", name="add", arguments={"a": 2, "b": 3}, raw_arguments='{"a":2,"b":3}'),),
    finish_reason="tool_calls",
    usage=Usage(input_tokens=9, output_tokens=3),
    id="a2",
)


class Number(BaseModel):
    """What structured output is asked for."""

    value: int
    word: str


NUMBER = Response(content=(Text(text='{"value": 3, "word": "three"}'),), finish_reason="stop", id="a3")


@asynccontextmanager
async def openai_sdks(running: Running) -> AsyncGenerator[tuple[OpenAI, AsyncOpenAI]]:
    base = f"{running.url}/v1"
    async with AsyncOpenAI(base_url=base, api_key=KEY, max_retries=0) as apart:
        with OpenAI(base_url=base, api_key=KEY, max_retries=0) as straight:
            yield straight, apart


async def in_thread(work: Callable[[], T]) -> T:
    """What a synchronous client does while the gateway runs in this loop."""
    return await asyncio.to_thread(work)


# -- OpenAI's, on a provider of Anthropic's


async def test_openai_chat_sync_whole_and_streamed() -> None:
    async with between("anthropic") as (running, provider), openai_sdks(running) as (sdk, _):
        provider.answer = GOOD

        def talk() -> tuple[str | None, str]:
            whole = sdk.chat.completions.create(model="fast", messages=QUESTION)
            stream = sdk.chat.completions.create(model="fast", messages=QUESTION, stream=True)
            words = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
            return whole.choices[0].message.content, words

        assert await in_thread(talk) == ("Good morning.", "Good morning.")


async def test_openai_chat_helper_for_streams_and_its_usage() -> None:
    async with between("anthropic") as (running, provider), openai_sdks(running) as (_, sdk):
        provider.answer = GOOD
        events: list[str] = []
        async with sdk.chat.completions.stream(
            model="fast", messages=QUESTION, stream_options={"include_usage": True}
        ) as stream:
            async for event in stream:
                events.append(event.type)  # noqa: PERF401 - the order in which they come
            final = await stream.get_final_completion()
        assert final.choices[0].message.content == "Good morning."
        assert final.usage is not None
        assert final.usage.total_tokens == 12
        assert "content.delta" in events


async def test_openai_structured_output_in_both_of_its_formats() -> None:
    async with between("anthropic") as (running, provider), openai_sdks(running) as (straight, sdk):
        provider.answer = NUMBER
        parsed = await sdk.chat.completions.parse(model="fast", messages=QUESTION, response_format=Number)
        assert parsed.choices[0].message.parsed == Number(value=3, word="three")
        answer = await sdk.responses.parse(model="fast", input="Hi", text_format=Number)
        assert answer.output_parsed == Number(value=3, word="three")
        again = await in_thread(
            lambda: straight.responses.parse(model="fast", input="Hi", text_format=Number)
        )
        assert again.output_parsed == Number(value=3, word="three")


async def test_openai_responses_helper_for_streams() -> None:
    async with between("anthropic") as (running, provider), openai_sdks(running) as (_, sdk):
        provider.answer = GOOD
        async with sdk.responses.stream(model="fast", input="Hi") as stream:
            deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
            final = await stream.get_final_response()
        assert "".join(deltas) == final.output_text == "Good morning."


async def test_openai_tools_round_trip() -> None:
    async with between("anthropic") as (running, provider), openai_sdks(running) as (_, sdk):
        provider.first, provider.answer = [CALL], GOOD
        tools: Any = [openai.pydantic_function_tool(Number, name="add")]
        messages: list[Any] = [*QUESTION]
        first = await sdk.chat.completions.create(model="fast", messages=messages, tools=tools)
        call: Any = (first.choices[0].message.tool_calls or [])[0]
        assert (call.function.name, call.function.arguments) == ("add", '{"a":2,"b":3}')
        messages += [first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "5"}]
        second = await sdk.chat.completions.create(model="fast", messages=messages, tools=tools)
        assert second.choices[0].message.content == "Good morning."
        result = provider.bodies[-1]["messages"][-1]["content"][0]
        assert (result["type"], result["tool_use_id"]) == ("tool_result", "call_1")


async def test_openai_raw_answers_errors_models_and_embeddings() -> None:
    async with gateway(offline()) as running, openai_sdks(running) as (straight, sdk):
        raw = await sdk.chat.completions.with_raw_response.create(model="sim", messages=QUESTION)
        assert raw.headers["x-tidyllm-model"] == "offline/simulated"
        assert raw.request_id == raw.headers["x-request-id"]
        with pytest.raises(openai.NotFoundError, match="Near ones are sim"):
            await sdk.chat.completions.create(model="simm", messages=QUESTION)
        with pytest.raises(openai.BadRequestError) as caught:
            await sdk.chat.completions.create(model="sim", messages=[])
        assert caught.value.param == "messages"
        with pytest.raises(openai.AuthenticationError):
            await in_thread(straight.with_options(api_key="wrong").models.list)
        names = [model.id async for model in sdk.models.list()]
        assert "sim" in names
        assert (await sdk.models.retrieve("offline/echo")).id == "offline/echo"
        vectors = await sdk.embeddings.create(model="offline/simulated", input=["a", "b"])
        assert len(vectors.data) == 2


async def test_a_body_above_the_limit_is_an_error_of_its_own_and_no_broken_connection() -> None:
    async with gateway(offline(server={"max_body_mb": 1})) as running, openai_sdks(running) as (_, sdk):
        huge: Any = [{"role": "user", "content": "x" * 8_000_000}]
        with pytest.raises(openai.APIStatusError) as caught:
            await sdk.chat.completions.create(model="sim", messages=huge)
        assert caught.value.status_code == 413


async def test_openai_client_that_leaves_a_stream_leaves_nothing_behind() -> None:
    async with gateway(offline()) as running, openai_sdks(running) as (_, sdk):
        async for _ in await sdk.chat.completions.create(
            model="offline/slow", messages=QUESTION, stream=True
        ):
            break
        answer = await sdk.chat.completions.create(model="sim", messages=QUESTION)
        assert answer.choices[0].message.content


# -- Anthropic's, on a provider of OpenAI's


async def test_anthropic_sync_and_async_whole_and_streamed() -> None:
    async with between("openai") as (running, provider), clients(running) as sdk:
        provider.answer = GOOD
        raw = await sdk.anthropic.messages.with_raw_response.create(
            model="fast", max_tokens=50, messages=QUESTION
        )
        message = await raw.parse()
        assert message.content[0].type == "text"
        assert message.content[0].text == "Good morning."
        assert raw.headers["request-id"] == raw.headers["x-request-id"]

        def talk() -> str:
            with (
                Anthropic(base_url=running.url, api_key=KEY, max_retries=0) as straight,
                straight.messages.stream(model="fast", max_tokens=50, messages=QUESTION) as stream,
            ):
                return "".join(stream.text_stream)

        assert await in_thread(talk) == "Good morning."


async def test_anthropic_tool_runner_calls_tools_until_there_is_an_answer() -> None:
    @beta_tool
    def add(a: int, b: int) -> str:
        """Add two numbers."""
        return str(a + b)

    async with between("openai") as (running, provider):
        provider.first, provider.answer = [CALL], GOOD

        def talk() -> str:
            with Anthropic(base_url=running.url, api_key=KEY, max_retries=0) as sdk:
                runner = sdk.beta.messages.tool_runner(
                    model="fast", max_tokens=50, messages=QUESTION, tools=[add]
                )
                return "".join(block.text for block in runner.until_done().content if block.type == "text")

        assert await in_thread(talk) == "Good morning."
        assert provider.bodies[-1]["messages"][-1] == {
            "role": "tool",
            "tool_call_id": "call_1",
            "content": "5",
        }


async def test_anthropic_structured_output() -> None:
    async with between("openai") as (running, provider), clients(running) as sdk:
        provider.answer = NUMBER
        message = await sdk.anthropic.messages.parse(
            model="fast", max_tokens=50, messages=QUESTION, output_format=Number
        )
        assert message.parsed_output == Number(value=3, word="three")


async def test_anthropic_counts_tokens_where_the_provider_does_and_is_refused_elsewhere() -> None:
    async with between("anthropic") as (running, provider), clients(running) as sdk:
        provider.tokens = 42
        count = await sdk.anthropic.messages.count_tokens(model="fast", messages=QUESTION)
        assert count.input_tokens == 42
        assert provider.bodies[-1]["model"] == "m"
    async with between("openai") as (running, provider), clients(running) as sdk:
        with pytest.raises(anthropic.BadRequestError, match="counts no tokens"):
            await sdk.anthropic.messages.count_tokens(model="fast", messages=QUESTION)
        assert not provider.bodies


async def test_the_offline_model_counts_tokens_as_it_says_them_in_its_answers() -> None:
    async with gateway(offline()) as running, clients(running) as sdk:
        for name in ("sim", "offline/echo"):
            count = await sdk.anthropic.messages.count_tokens(model=name, messages=QUESTION)
            answer = await sdk.anthropic.messages.create(model=name, max_tokens=50, messages=QUESTION)
            assert count.input_tokens == answer.usage.input_tokens > 0
        with pytest.raises(anthropic.BadRequestError, match=r"messages\[0\]"):
            await sdk.anthropic.messages.count_tokens(model="sim", messages=[{"role": "x", "content": "Hi"}])  # type: ignore[list-item]


async def test_anthropic_errors_are_of_its_own_classes() -> None:
    async with gateway(offline()) as running, clients(running) as sdk:
        ask = sdk.anthropic.messages.create
        with pytest.raises(anthropic.NotFoundError) as missing:
            await ask(model="simm", max_tokens=5, messages=QUESTION)
        assert missing.value.request_id
        assert missing.value.body["request_id"] == missing.value.request_id  # type: ignore[index]
        with pytest.raises(anthropic.RateLimitError):
            await ask(model="offline/throttle", max_tokens=5, messages=QUESTION)
        with pytest.raises(anthropic.InternalServerError):
            await ask(model="offline/overloaded", max_tokens=5, messages=QUESTION)
        with pytest.raises(anthropic.AuthenticationError):
            await sdk.anthropic.with_options(api_key="wrong").messages.create(
                model="sim", max_tokens=5, messages=QUESTION
            )
        names = [model.id async for model in sdk.anthropic.models.list()]
        assert "sim" in names
        assert (await sdk.anthropic.models.retrieve("offline/echo")).id == "offline/echo"


async def test_a_cut_stream_is_an_error_to_both_clients_and_never_a_whole_answer() -> None:
    async with gateway(offline()) as running, clients(running) as sdk:
        with pytest.raises(openai.APIError, match="broke"):
            async for _ in await sdk.openai.chat.completions.create(
                model="offline/cut", messages=QUESTION, stream=True
            ):
                pass
        with pytest.raises(openai.APIError, match="broke"):
            async for _ in await sdk.openai.responses.create(model="offline/cut", input="Hi", stream=True):
                pass
        with pytest.raises(anthropic.APIError, match="broke"):
            async with sdk.anthropic.messages.stream(
                model="offline/cut", max_tokens=50, messages=QUESTION
            ) as stream:
                await stream.get_final_message()


# -- coding assistants


async def test_what_coding_assistants_send_beside_reaches_a_provider_of_the_same_format() -> None:
    async with between("anthropic") as (running, provider):
        provider.answer = GOOD
        async with AsyncAnthropic(base_url=running.url, auth_token=KEY, api_key=None, max_retries=0) as sdk:
            message = await sdk.beta.messages.create(
                model="fast",
                max_tokens=50,
                betas=["context-management-2025-06-27", "interleaved-thinking-2025-05-14"],
                system=[
                    {"type": "text", "text": "You are an assistant.", "cache_control": {"type": "ephemeral"}}
                ],
                messages=QUESTION,
                metadata={"user_id": "user_1"},
            )
            assert message.content
        sent = provider.headers[-1]
        assert sent["anthropic-beta"] == "context-management-2025-06-27,interleaved-thinking-2025-05-14"
        assert sent["anthropic-version"] >= "2023-06-01"
        assert sent["x-api-key"] == "sk-upstream"
        assert KEY not in str(sent)
        assert provider.bodies[-1]["system"][0]["cache_control"] == {"type": "ephemeral"}


# -- LangChain


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


def langchain(running: Running, **more: Any) -> Any:
    return ChatOpenAI(
        base_url=f"{running.url}/v1", api_key=SecretStr(KEY), model="fast", max_retries=0, **more
    )


@pytest.mark.parametrize("responses", [False, True])
async def test_langchain_invokes_streams_and_binds_tools(responses: bool) -> None:
    async with between("anthropic") as (running, provider):
        chat = langchain(running, use_responses_api=responses)
        provider.answer = GOOD
        assert (await chat.ainvoke("Hi")).text == "Good morning."
        assert "".join([chunk.text async for chunk in chat.astream("Hi")]) == "Good morning."
        assert (await in_thread(lambda: chat.invoke("Hi"))).text == "Good morning."
        provider.first = [CALL]
        bound = chat.bind_tools([multiply])
        asked: Any = await bound.ainvoke("2 * 3?")
        assert isinstance(asked, AIMessage)
        assert asked.tool_calls[0]["args"] == {"a": 2, "b": 3}
        final = await bound.ainvoke([HumanMessage("2 * 3?"), asked, ToolMessage("6", tool_call_id="call_1")])
        assert final.text == "Good morning."


async def test_langchain_structured_output() -> None:
    async with between("openai-responses") as (running, provider):
        provider.answer = NUMBER
        shaped = langchain(running).with_structured_output(Number)
        assert await shaped.ainvoke("A number?") == Number(value=3, word="three")
