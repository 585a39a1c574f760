"""A model asked for a whole answer, over a real socket."""

from __future__ import annotations

import asyncio
import gzip
import threading
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypedDict

import msgspec
import pydantic
import pytest

from tests.models.raw_server import Connection, Server, answer, serve
from tests.models.upstreams import CHAT, MESSAGE, json_body, model_at, play
from tidyllm import model
from tidyllm.errors import (
    AuthError,
    BadAnswer,
    BadRequest,
    ConfigError,
    ContextTooLong,
    ModelError,
    Overloaded,
    RateLimited,
    Unreachable,
    Unsupported,
)
from tidyllm.models import JSONSchema, Message, Request, Text, Thinking, Tool
from tidyllm.models.catalog import Catalog
from tidyllm.models.factory import build
from tidyllm.models.model import Model
from tidyllm.models.provider import provider
from tidyllm.testing import scripted


def body_of(server: Server) -> dict[str, Any]:
    """What the last request said."""
    return msgspec.json.decode(server.requests[-1].body)


# -- answers


async def test_an_answer_says_who_served_it_and_what_it_cost() -> None:
    async with serve(play(json_body(CHAT, "x-request-id: req-7"))) as server:
        reply = await model_at(server)("Hi")
    assert reply.text == "Hello."
    assert reply.finish_reason == "stop"
    assert (reply.provider, reply.model, reply.id, reply.request_id) == ("up", CHAT["model"], "c-1", "req-7")
    assert reply.usage.total_tokens == 1100
    assert reply.cost_usd == Decimal("0.002")
    assert reply.raw == CHAT


async def test_the_tier_that_served_decides_the_price() -> None:
    async with serve(
        play(json_body({**CHAT, "service_tier": "flex"}), json_body({**CHAT, "service_tier": "?"}))
    ) as server:
        asked = model_at(server)
        assert (await asked("Hi")).cost_usd == Decimal("0.001")
        assert (await asked("Hi")).cost_usd is None


async def test_an_unknown_model_has_no_price() -> None:
    async with serve(play(json_body(CHAT))) as server:
        assert (await model_at(server, name="unheard-of")("Hi")).cost_usd is None
        assert (await model_at(server, name="gpt-5-mini")("Hi")).cost_usd is None, (
            "OpenAI's price is not the proxy's"
        )


async def test_the_answer_to_a_streamed_and_to_a_plain_call_may_come_compressed() -> None:
    packed = answer(
        gzip.compress(msgspec.json.encode(CHAT)), "content-type: application/json", "content-encoding: gzip"
    )
    async with serve(play(packed)) as server:
        assert (await model_at(server)("Hi")).text == "Hello."


# -- what goes wrong


@pytest.mark.parametrize(
    ("raw", "kind", "words"),
    [
        (
            answer(b"<html>bad gateway</html>", "content-type: text/html", status="502 Bad Gateway"),
            Overloaded,
            "bad gateway",
        ),
        (json_body({"error": {"message": "no"}}, status="401 Unauthorized"), AuthError, "no"),
        (
            json_body({"error": {"message": "slow"}}, "retry-after: 7", status="429 Too Many"),
            RateLimited,
            "slow",
        ),
        (answer(b"", status="503 Unavailable"), Overloaded, "503"),
        (answer(b"x" * 100_000, status="400 Bad"), BadRequest, "400"),
        (answer(b""), BadAnswer, "empty"),
        (answer(b"<html>hello"), BadAnswer, "<html>hello"),
        (answer(b"[1, 2]"), BadAnswer, "list"),
        (answer(b"\xff\xfe{}"), BadAnswer, "not JSON"),
        (json_body({"hello": 1}), BadAnswer, "choices"),
        (json_body({"error": {"message": "busy", "code": 503}}), Overloaded, "busy"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", Unreachable, "broke"),
        (b"", Unreachable, "without an answer"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", BadAnswer, "not HTTP"),
    ],
)
async def test_every_bad_answer_is_one_of_our_errors(raw: bytes, kind: type[ModelError], words: str) -> None:
    async def handler(connection: Connection) -> None:
        await connection.request()
        await connection.write(raw)

    async with serve(handler) as server:
        with pytest.raises(kind, match=words) as caught:
            await model_at(server)("Hi")
    assert caught.value.provider == "up"
    assert caught.value.model == "priced"


async def test_an_error_carries_the_providers_request_id_and_pause() -> None:
    limited = json_body(
        {"error": {"message": "slow"}}, "request-id: req-8", "retry-after: 7", status="429 Too Many"
    )
    async with serve(play(limited)) as server:
        with pytest.raises(RateLimited) as caught:
            await model_at(server, "anthropic")("Hi")
    assert caught.value.request_id == "req-8"
    assert caught.value.retry_after == 7
    assert caught.value.status == 429


async def test_an_error_whose_body_is_cut_keeps_its_status() -> None:
    async def handler(connection: Connection) -> None:
        await connection.request()
        await connection.write(b'HTTP/1.1 429 Too Many\r\ncontent-length: 100\r\n\r\n{"error"')

    async with serve(handler) as server:
        with pytest.raises(RateLimited):
            await model_at(server)("Hi")


async def test_nobody_there_is_unreachable_and_nothing_was_sent() -> None:
    async with serve(play(b"")) as server:
        pass
    with pytest.raises(Unreachable, match="cannot connect") as caught:
        await model_at(server)("Hi")
    assert not caught.value.sent


async def test_a_caller_who_gives_up_is_seen_by_the_provider_at_once() -> None:
    async def handler(connection: Connection) -> None:
        await connection.request()
        await connection.left()

    async with serve(handler) as server:
        task = asyncio.create_task(model_at(server)("Hi"))
        while not server.requests:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while not server.left:
            await asyncio.sleep(0.005)


# -- requests


async def test_what_is_sent() -> None:
    async with serve(play(json_body(CHAT))) as server:
        asked = model_at(server, headers={"X-Team": "red", "Authorization": "Custom"})
        await asked(Request("Hi", max_output_tokens=5, extra={"store": True}))
    sent = server.requests[-1]
    assert sent.line == "POST /v1/chat/completions HTTP/1.1"
    assert sent.headers["authorization"] == "Custom", "a configured header stands before the key"
    assert sent.headers["x-team"] == "red"
    assert sent.headers["traceparent"].startswith("00-")
    assert body_of(server)["model"] == "priced"
    assert body_of(server)["store"] is True


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (5, None),
        ([{"role": "user", "content": "Hi"}], "messages[0]"),
        ([Message.user("Hi"), "Hi"], "messages[1]"),
        ([], "messages"),
        (Request(()), "messages"),
        (Request("Hi", model="other"), "model"),
        (Request("Hi", temperature=float("nan")), "temperature"),
        (Request("Hi", extra={"x": object()}), None),
        (Request("Hi", extra={"x": "\ud800"}), None),
    ],
)
async def test_what_is_no_request_is_refused_by_name(given: Any, field: str | None) -> None:
    with pytest.raises(BadRequest) as caught:
        await model("offline/echo")(given)
    assert caught.value.field == field


async def test_a_request_may_name_the_model_that_answers_it() -> None:
    assert (await model("offline/echo")(Request("Hi", model="echo"))).text == "Hi"


async def test_anthropic_gets_the_largest_answer_that_the_catalogue_knows() -> None:
    async with serve(play(json_body(MESSAGE))) as server:
        await model_at(server, "anthropic")("Hi")
        assert body_of(server)["max_tokens"] == 1_000
        await model_at(server, "anthropic")(Request("Hi", max_output_tokens=7))
        assert body_of(server)["max_tokens"] == 7
        await model_at(server, "anthropic")(Request("Hi", extra={"max_tokens": 8}))
        assert body_of(server)["max_tokens"] == 8
        await model_at(server, "anthropic", "unheard-of")("Hi")
        assert body_of(server)["max_tokens"] > 0, "the format cannot do without one"


async def test_a_field_without_a_place_is_refused_unless_lenient() -> None:
    request = Request("Hi", seed=1)
    async with serve(play(json_body(MESSAGE))) as server:
        with pytest.raises(Unsupported, match="seed"):
            await model_at(server, "anthropic")(request)
        assert not server.requests
        assert (await model_at(server, "anthropic", lenient=True)(request)).dropped == ("seed",)


async def test_the_answer_of_one_provider_goes_on_at_another() -> None:
    """Reasoning that another provider signed is left out: nobody else can read it."""
    turns = [
        Message.user("Hi"),
        Message.assistant(Thinking(text="hm", signature="s", extra={"anthropic": {}}), Text(text="Hello.")),
        Message.user("Go on"),
    ]
    async with serve(play(json_body(CHAT))) as server:
        await model_at(server)(turns)
    assert [turn["content"] for turn in body_of(server)["messages"]] == ["Hi", "Hello.", "Go on"]


async def test_tools_come_back_as_calls() -> None:
    call = {"id": "k", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    choice = {"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": [call]}}
    async with serve(
        play(json_body({**CHAT, "choices": [{**choice, "finish_reason": "tool_calls"}]}))
    ) as server:
        reply = await model_at(server)(Request("Hi", tools=(Tool("add", parameters={"type": "object"}),)))
    assert reply.finish_reason == "tool_calls"
    assert (reply.tool_calls[0].name, reply.tool_calls[0].arguments) == ("add", {"a": 1})


# -- ollama


OLLAMA = {
    "model": "qwen3",
    "message": {"role": "assistant", "content": "Hello."},
    "done": True,
    "done_reason": "stop",
    "prompt_eval_count": 8,
    "eval_count": 2,
}


async def test_ollama_is_asked_for_a_window_that_the_model_has() -> None:
    info = {"prices": None, "context_window_tokens": 10_000}
    async with serve(play(json_body(OLLAMA))) as server:
        asked = model_at(server, "ollama")  # the catalogue says 10,000
        long = "word " * 9_000
        with pytest.raises(ContextTooLong, match="read 8 tokens"):
            await asked(long)
        assert body_of(server)["options"]["num_ctx"] == info["context_window_tokens"]
        await asked(Request("Hi", extra={"options": {"num_ctx": 20_000}}))
        assert body_of(server)["options"]["num_ctx"] == 20_000, "the caller knows better"


async def test_a_prompt_that_ollama_would_cut_is_not_sent() -> None:
    async with serve(play(json_body(OLLAMA))) as server:
        with pytest.raises(ContextTooLong, match="at least 11,000 tokens"):
            await model_at(server, "ollama")("word " * 11_000)
        assert not server.requests


# -- structured output


@dataclass
class DataCity:
    name: str
    size: int


class StructCity(msgspec.Struct):
    name: str
    size: int


class DictCity(TypedDict):
    name: str
    size: int


class PydanticCity(pydantic.BaseModel):
    name: str
    size: int


SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
    "required": ["name", "size"],
}


@pytest.mark.parametrize(
    ("output", "value"),
    [
        (DataCity, DataCity("simulated", 0)),
        (StructCity, StructCity("simulated", 0)),
        (DictCity, {"name": "simulated", "size": 0}),
        (PydanticCity, PydanticCity(name="simulated", size=0)),
        (SCHEMA, {"name": "simulated", "size": 0}),
        (JSONSchema(SCHEMA), {"name": "simulated", "size": 0}),
        (list[StructCity], [StructCity("simulated", 0)]),
        ("json", {"simulated": True}),
    ],
)
async def test_the_answer_is_parsed_as_the_type_that_was_asked_for(output: Any, value: object) -> None:
    asked = model("offline/simulated")
    request = Request("A city?", output=output)
    assert (await asked(request)).parsed == value
    assert asked.join([piece async for piece in asked.stream(request)]).parsed == value


async def test_an_answer_that_does_not_fit_says_where() -> None:
    reply = await scripted('{"name": 5, "size": 0}')(Request("A city?", output=StructCity))
    with pytest.raises(BadAnswer, match="name"):
        _ = reply.parsed


# -- event loops


def test_one_model_serves_scripts_threads_and_loops() -> None:
    asked = model("offline/echo")
    assert asked.run_sync("a").text == "a"
    assert asyncio.run(_ask(asked, "b")) == "b"
    assert asyncio.run(_ask(asked, "c")) == "c"
    found: list[str] = []

    def ask(n: int) -> None:
        found.append(asked.run_sync(str(n)).text)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [str(n) for n in range(8)]


async def _ask(asked: Model, question: str) -> str:
    return (await asked(question)).text


def test_one_model_keeps_a_connection_in_each_loop() -> None:
    started = threading.Event()
    stop = threading.Event()
    servers: list[Server] = []

    async def run() -> None:
        async with serve(play(json_body(CHAT))) as server:
            servers.append(server)
            started.set()
            while not stop.is_set():
                await asyncio.sleep(0.005)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    started.wait(10)
    asked = model_at(servers[0])
    try:
        for _ in range(2):
            asyncio.run(_twice(asked))
        assert len(servers[0].requests) == 4
        assert servers[0].connections == 2
    finally:
        stop.set()
        thread.join(10)


async def _twice(asked: Model) -> None:
    await asked("Hi")
    await asked("Hi")


def test_a_model_shows_its_name_and_never_its_key() -> None:
    asked = build("gpt-5-mini", provider("openai", api_key="sk-secret", headers={"x": "sk-other"}))
    assert repr(asked) == "model('openai/gpt-5-mini')"
    assert "sk-" not in repr(asked.provider)


def test_an_address_that_is_none_is_refused_before_any_call() -> None:
    for base in ("http://[", "localhost:1", "http://user:secret@host"):
        with pytest.raises(ConfigError) as caught:
            model("openai/m", base_url=base)
        assert "secret" not in str(caught.value)


def test_names_that_load_later() -> None:
    from tidyllm import models

    assert models.Model is Model
    assert models.Catalog is Catalog
    with pytest.raises(AttributeError, match="nonsense"):
        models.nonsense  # noqa: B018
