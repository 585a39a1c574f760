"""The scripted model server speaks what real clients speak, counts what came, and fails as it is told to."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import openai
import pytest

import tidyllm
from tidyllm.errors import (
    BadAnswer,
    BadRequest,
    ModelError,
    Overloaded,
    RateLimited,
    StepError,
    StreamInterrupted,
    Unreachable,
)
from tidyllm.models import Message, Model, Request, Tool, ToolCall
from tidyllm.testing import ModelServer, Reply, call
from tidyllm.testing.model_server import read_log

DIALECTS = ("openai", "ollama")
ADD = Tool("add", parameters={"type": "object", "properties": {"a": {"type": "integer"}}})


def model_at(server: ModelServer, dialect: str) -> Model:
    url = server.openai_url if dialect == "openai" else server.url
    return tidyllm.model(f"{dialect}/any", base_url=url, api_key="none" if dialect == "openai" else None)


def talk(*parts: Any) -> list[Any]:
    return [{"role": "user", "content": "hi"}, *parts]


# -- OpenAI's own client


def test_the_openai_client_reads_answers_calls_and_usage() -> None:
    reply = Reply(text="Let me add.", tool_calls=(call("add", a=1), call("add", a=2)))
    with ModelServer(reply) as server, openai.OpenAI(base_url=server.openai_url, api_key="x") as client:
        answer = client.chat.completions.create(model="any", messages=talk())
    message = answer.choices[0].message
    assert (message.content, answer.choices[0].finish_reason) == ("Let me add.", "tool_calls")
    assert [each.function.arguments for each in message.tool_calls or () if each.type == "function"] == [
        '{"a":1}',
        '{"a":2}',
    ]
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_the_openai_client_reads_a_stream_that_ends_with_its_usage() -> None:
    with (
        ModelServer("one two three") as server,
        openai.OpenAI(base_url=server.openai_url, api_key="x") as client,
    ):
        options: Any = {"include_usage": True}
        with client.chat.completions.create(
            model="any", messages=talk(), stream=True, stream_options=options
        ) as stream:
            chunks = list(stream)
    said = [
        each.choices[0].delta.content for each in chunks if each.choices and each.choices[0].delta.content
    ]
    assert said == ["one ", "two ", "three"]
    assert chunks[-1].usage is not None
    assert all(each.usage is None for each in chunks[:-1])


def test_the_openai_client_lists_models_and_hears_errors() -> None:
    busy = Reply(status=429, retry_after=7, message="slow down")
    with (
        ModelServer(busy, models=("a", "b")) as server,
        openai.OpenAI(base_url=server.openai_url, api_key="x", max_retries=0) as client,
    ):
        assert [each.id for each in client.models.list()] == ["a", "b"]
        with pytest.raises(openai.RateLimitError, match="slow down") as caught:
            client.chat.completions.create(model="any", messages=talk())
    assert caught.value.response.headers["retry-after"] == "7"


def test_a_result_that_answers_no_call_is_refused_as_openai_refuses_it() -> None:
    orphan = {"role": "tool", "tool_call_id": "call_9", "content": "3"}
    with ModelServer() as server, openai.OpenAI(base_url=server.openai_url, api_key="x") as client:
        with pytest.raises(openai.BadRequestError, match="call_9"):
            client.chat.completions.create(model="any", messages=talk(orphan))
        assert server.requests == []


# -- our own models, in both dialects


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_our_model_reads_the_same_whole_and_streamed(dialect: str) -> None:
    reply = Reply(text="Zoë says: 1 2 3", reasoning="Let me think.", tool_calls=(call("add", a=1),))
    async with ModelServer(lambda request: reply) as server:
        model = model_at(server, dialect)
        whole = await model(Request("hi", tools=(ADD,)))
        streamed = model.join([piece async for piece in model.stream(Request("hi", tools=(ADD,)))])
    assert (whole.text, whole.reasoning) == (reply.text, reply.reasoning)
    assert (streamed.text, streamed.tool_calls) == (whole.text, whole.tool_calls)
    assert (streamed.usage.input_tokens, streamed.usage.output_tokens) == (
        whole.usage.input_tokens,
        whole.usage.output_tokens,
    )
    assert whole.finish_reason == streamed.finish_reason == "tool_calls"


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_behaviour_sees_tools_schema_and_results(dialect: str) -> None:
    seen: list[Request] = []

    def behave(request: Request) -> str:
        seen.append(request)
        return "{}"

    made = ToolCall.parse("call_1", "add", '{"a": 1}')
    turns = (Message.user("hi"), Message.assistant(made), Message.tool("call_1", "it is 1"))
    schema: dict[str, Any] = {"type": "object", "properties": {}, "title": "Nothing"}
    async with ModelServer(behave) as server:
        model = model_at(server, dialect)
        await model(Request(turns, system="Be good.", tools=(ADD,), output=schema))
    (request,) = seen
    assert [tool.name for tool in request.tools if isinstance(tool, Tool)] == ["add"]
    assert request.output is not None
    texts = [
        getattr(part, "content", getattr(part, "text", "")) for turn in request.turns for part in turn.parts
    ]
    assert "it is 1" in texts
    assert [turn.role for turn in request.turns][-3:] == ["user", "assistant", "tool"]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(status=429, retry_after=3), RateLimited),
        (Reply(status=503), Overloaded),
        (Reply(unreachable=True), Unreachable),
        (Reply(text="x", cut_after=1), Unreachable),
        (Reply(garbage=b'{"choices": ['), BadAnswer),
        (Reply(garbage=b"<html></html>", content_type="text/html"), BadAnswer),
    ],
)
async def test_faults_reach_our_model_as_what_they_are(
    dialect: str, reply: Reply, error: type[Exception]
) -> None:
    async with ModelServer(reply) as server:
        model = model_at(server, dialect)
        with pytest.raises(error) as caught:
            await model("hi")
    assert getattr(caught.value, "retry_after", None) == reply.retry_after


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_stream_that_dies_leaves_what_came_before(dialect: str) -> None:
    async with ModelServer(Reply(text="one two three four", cut_after=3)) as server:
        model = model_at(server, dialect)
        with pytest.raises(StreamInterrupted) as caught:
            async for _ in model.stream("hi"):
                pass
    partial = caught.value.partial
    assert getattr(partial, "text", "") in ("one two ", "one two three ")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_server_that_stalls_can_be_left(dialect: str, stream: bool) -> None:
    async with ModelServer(Reply(text="one two three", stall_after=1)) as server:
        model = model_at(server, dialect)
        task = asyncio.ensure_future(consumed(model, stream=stream))
        while not server.requests:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])


async def consumed(model: Model, *, stream: bool) -> None:
    if not stream:
        await model("hi")
        return
    async for _ in model.stream("hi"):
        pass


async def test_a_call_that_is_no_json_reaches_the_client_as_it_is() -> None:
    broken = ToolCall.parse("", "add", '{"a": 1,')
    for dialect in DIALECTS:
        async with ModelServer(Reply(tool_calls=(broken,))) as server:
            model = model_at(server, dialect)
            answer = await model("hi")
        said = answer.tool_calls[0].raw_arguments if answer.tool_calls else answer.text
        assert '{"a": 1,' in said


async def test_a_model_without_tools_refuses_them() -> None:
    async with ModelServer("yes", tools=False) as server:
        model = model_at(server, "ollama")
        with pytest.raises(BadRequest, match="does not support tools"):
            await model(Request("hi", tools=(ADD,)))
        assert len(server.requests) == 1


async def test_the_cap_of_the_caller_cuts_the_answer() -> None:
    async with ModelServer("x" * 1_000) as server:
        model = model_at(server, "openai")
        answer = await model(Request("hi", max_output_tokens=5))
    assert (len(answer.text), answer.finish_reason) == (20, "length")


async def test_hundred_callers_at_once_are_answered_each_with_his_own() -> None:
    async with ModelServer(lambda request: request.turns[-1].text.upper()) as server:
        model = model_at(server, "openai")
        answers = await asyncio.gather(*(model(f"call {number}") for number in range(100)))
        assert len(server.requests) == 100
    assert [each.text for each in answers] == [f"CALL {number}" for number in range(100)]


def test_a_script_that_ends_too_early_fails_the_test() -> None:
    def ask_twice() -> None:
        with ModelServer("only one") as server:
            model = model_at(server, "openai")
            model.run_sync("hi")
            with pytest.raises(ModelError):
                model.run_sync("hi again")

    with pytest.raises(StepError, match="the script has 1 replies"):
        ask_twice()


def test_an_unstarted_server_has_no_address() -> None:
    with pytest.raises(StepError, match="has not been started"):
        _ = ModelServer("x").url


def test_unknown_paths_and_bad_bodies_are_answered_not_dropped() -> None:
    with ModelServer("x") as server:
        for path, body in (("/nothing", b"{}"), ("/v1/chat/completions", b"not json"), ("/api/chat", b"[]")):
            request = urllib.request.Request(f"{server.url}{path}", body)
            with pytest.raises(HTTPError) as caught:
                urllib.request.urlopen(request)
            caught.value.close()
            assert caught.value.code in (400, 404)
        with urllib.request.urlopen(f"{server.url}/api/tags") as answer:
            assert json.load(answer)["models"][0]["name"] == "scripted"
        assert server.requests == []


# -- as a process


@contextmanager
def process(*arguments: str) -> Generator[tuple[subprocess.Popen[str], str]]:
    argv = [sys.executable, "-m", "tidyllm.testing.model_server", *arguments]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            yield running, running.stdout.readline().strip()
        finally:
            running.kill()


def asked(url: str, text: str) -> str:
    body = json.dumps(
        {"model": "m", "stream": False, "messages": [{"role": "user", "content": text}]}
    ).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{url}/api/chat", body)) as answer:
        return json.load(answer)["message"]["content"]


def test_a_server_that_was_killed_goes_on_counting_in_its_log(tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"
    for _ in range(2):
        with process("sensible", "--log", str(log)) as (running, url):
            assert asked(url, "Please plan.").startswith("1. Run")
            running.kill()
    assert [body["messages"][0]["content"] for body in read_log(log)] == ["Please plan."] * 2
    numbers = [json.loads(line)["number"] for line in log.read_text().splitlines()]
    assert numbers == [1, 2]


def test_a_server_process_ends_when_it_is_told_to() -> None:
    with process("unknown_tool", "--args", '["shout"]') as (running, url):
        with urllib.request.urlopen(f"{url}/requests") as answer:
            assert json.load(answer) == {"count": 0, "bodies": []}
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == 0


@pytest.mark.parametrize(
    "arguments", [["loping"], ["looping", "--args", "{"], ["huge", "--args", '{"width": 3}']]
)
def test_a_behaviour_that_cannot_be_had_is_said(arguments: list[str]) -> None:
    argv = [sys.executable, "-m", "tidyllm.testing.model_server", *arguments]
    ran = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stderr.strip()
    assert "Traceback" not in ran.stderr
