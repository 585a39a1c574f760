"""The offline model: simulated, deterministic, and able to fail in every way a provider can."""

from __future__ import annotations

import base64
import struct
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models.upstreams import forward
from tidyllm import Retry, Timeout, clock, model
from tidyllm.errors import (
    BadAnswer,
    BadRequest,
    ModelError,
    Overloaded,
    RateLimited,
    StepError,
    StreamInterrupted,
    TimeoutExceeded,
    Unreachable,
)
from tidyllm.models import JSONSchema, Message, NamedTool, Request, Response, Tool, Usage
from tidyllm.models.offline import OfflineTransport
from tidyllm.models.offline.sample import sample
from tidyllm.testing import FakeClock, Reply, call, scripted

WEATHER = Tool(
    "weather",
    parameters={
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
        "required": ["city", "days"],
    },
)


async def pieces_of(asked: Any, request: Any = "Hi") -> list[Any]:
    return [piece async for piece in asked.stream(request)]


# -- without a script


async def test_it_says_that_it_is_simulated() -> None:
    reply = await model("offline/anything")("Where is Rome?")
    assert reply.text.startswith(
        "This is a simulated answer of tidyllm's offline model; no real model was asked."
    )
    assert reply.text.endswith("You said: Where is Rome?")
    assert reply.cost_usd == 0
    assert (reply.provider, reply.model, reply.request_id) == ("offline", "anything", "req_simulated")
    assert "simulated" in reply.id


async def test_a_long_question_is_quoted_in_part() -> None:
    reply = await model("offline/simulated")("x" * 1_000)
    assert len(reply.text) < 400
    assert reply.usage.input_tokens == 250


async def test_the_same_request_has_the_same_answer() -> None:
    one, two = model("offline/simulated"), model("offline/simulated")
    assert await one("Hi") == await two("Hi") == await one("Hi")
    assert await pieces_of(one) == await pieces_of(two)
    assert (await one("Hi")).id != (await one("Ho")).id


async def test_a_stream_comes_word_by_word_and_joins_to_the_answer() -> None:
    asked = model("offline/echo")
    pieces = await pieces_of(asked, "one two  three\n")
    assert [piece.text for piece in pieces if piece.text] == ["one ", "two ", " ", "three\n"]
    whole = await asked("one two  three\n")
    joined = asked.join(pieces)
    assert msgspec.structs.replace(joined, raw=whole.raw) == whole


async def test_it_echoes_the_last_words_of_the_user_or_of_a_tool() -> None:
    turns = [Message.user("a"), Message.assistant("b"), Message.tool("k", "c")]
    assert (await model("offline/echo")(turns)).text == "c"
    assert (await model("offline/echo")([*turns, Message.user("d"), Message.assistant("e")])).text == "d"
    assert (await model("offline/echo")([Message.assistant("e")])).text == ""


async def test_it_stops_at_the_cap() -> None:
    reply = await model("offline/echo")(Request("abcdefghij", max_output_tokens=2))
    assert (reply.text, reply.finish_reason, reply.usage.output_tokens) == ("abcdefgh", "length", 2)
    assert (await model("offline/echo")(Request("abcdefgh", max_output_tokens=2))).finish_reason == "stop"


@pytest.mark.parametrize("choice", ["required", NamedTool("weather")])
async def test_it_calls_a_tool_when_it_must_and_answers_its_result(choice: Any) -> None:
    asked = model("offline/simulated")
    request = Request(
        "Weather?", tools=(Tool("other"), WEATHER) if choice != "required" else (WEATHER,), tool_choice=choice
    )
    reply = await asked(request)
    assert reply.finish_reason == "tool_calls"
    [first] = reply.tool_calls
    assert (first.name, first.arguments) == ("weather", {"city": "simulated", "days": 1})
    turns = (Message.user("Weather?"), reply.message, Message.tool(first.id, "rain"))
    assert (await asked(msgspec.structs.replace(request, messages=turns))).text.endswith("rain")


async def test_it_calls_no_tool_when_it_need_not() -> None:
    assert not (await model("offline/simulated")(Request("Hi", tools=(WEATHER,)))).tool_calls
    unknown = Request("Hi", tools=(WEATHER,), tool_choice=NamedTool("missing"))
    assert not (await model("offline/simulated")(unknown)).tool_calls


async def test_it_keeps_to_a_schema() -> None:
    asked = model("offline/simulated")
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert (await asked(Request("?", output=schema))).parsed == {"n": 0}
    assert (await asked(Request("?", output=JSONSchema(schema)))).parsed == {"n": 0}
    assert (await asked(Request("?", output="json"))).parsed == {"simulated": True}


# -- faults by name


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("fail", Overloaded),
        ("overloaded", Overloaded),
        ("throttle", RateLimited),
        ("garbage", BadAnswer),
        ("unreachable", Unreachable),
        ("cut", Unreachable),
    ],
)
async def test_it_fails_as_it_is_told(name: str, kind: type[ModelError]) -> None:
    asked = model(f"offline/{name}")
    with pytest.raises(kind) as caught:
        await asked("Hi")
    assert caught.value.retryable
    with pytest.raises(StreamInterrupted if name == "cut" else kind):
        await pieces_of(asked)


async def test_a_throttle_says_for_how_long() -> None:
    with pytest.raises(RateLimited) as caught:
        await model("offline/throttle")("Hi")
    assert caught.value.retry_after == 1


async def test_a_cut_stream_leaves_what_had_come() -> None:
    with pytest.raises(StreamInterrupted) as caught:
        await pieces_of(model("offline/cut"))
    assert caught.value.partial.text == "This is "


async def test_a_stall_lasts_until_somebody_stops_it() -> None:
    with FakeClock(autojump=True):
        with pytest.raises(TimeoutExceeded):
            await Timeout(model("offline/stall"), total=100)("Hi")
        with pytest.raises(StreamInterrupted) as caught:
            await pieces_of(Retry(Timeout(model("offline/stall"), gap=100)))
    assert caught.value.partial.text == "This is "


async def test_a_slow_model_takes_its_time() -> None:
    with FakeClock(autojump=True):
        start = clock.monotonic()
        await model("offline/slow")("Hi")
        assert clock.monotonic() - start == pytest.approx(0.5)
        pieces = await pieces_of(model("offline/slow"))
        assert clock.monotonic() - start > 1 + 0.05 * (len(pieces) - 2)


# -- scripts


async def test_a_script_is_played_in_order_and_remembers_what_was_asked() -> None:
    asked = scripted("one", Reply(text="two", usage=Usage(input_tokens=7, output_tokens=8)))
    assert (await asked("first")).text == "one"
    second = await asked(Request("second", system="be brief"))
    assert (second.text, second.usage.total_tokens) == ("two", 15)
    assert [request.turns[-1].text for request in asked.requests] == ["first", "second"]
    with pytest.raises(StepError, match="script has 2 replies, and call 3 has come"):
        await asked("third")


async def test_a_function_answers_every_call() -> None:
    asked = scripted(lambda request: request.turns[-1].text.upper())
    assert [(await asked(word)).text for word in ("a", "b", "c")] == ["A", "B", "C"]
    with pytest.raises(TypeError):
        scripted("a", lambda request: "b")


async def test_tools_are_called_by_script() -> None:
    asked = scripted(
        Reply(text="Let me see.", tool_calls=(call("add", a=1, b=2), call("add", a=1, b=2))), "3"
    )
    for reply in (await asked("1 + 2?"),):
        assert reply.text == "Let me see."
        assert [one.arguments for one in reply.tool_calls] == [{"a": 1, "b": 2}] * 2
        assert len({one.id for one in reply.tool_calls}) == 2
        turns = (
            Message.user("1 + 2?"),
            reply.message,
            *(Message.tool(one.id, "3") for one in reply.tool_calls),
        )
    assert (await asked(turns)).text == "3"


async def test_reasoning_is_streamed_and_joined() -> None:
    asked = scripted(*[Reply(text="So.", reasoning="I think I am")] * 2)
    reply = await asked("Hi")
    assert (reply.reasoning, reply.text) == ("I think I am", "So.")
    assert reply.usage.reasoning_tokens == 3
    joined = asked.join(await pieces_of(asked))
    assert (joined.reasoning, joined.text) == ("I think I am", "So.")


async def test_after_its_script_the_transport_answers_by_the_rules() -> None:
    transport = OfflineTransport("only", keep=1)
    asked = model("offline/echo", transport=transport)
    assert (await asked("a")).text == "only"
    assert (await asked("b")).text == "b"
    assert [request.turns[0].text for request in transport.requests] == ["b"]
    assert (await model("offline/echo", transport=OfflineTransport(Reply(text="one")))("x")).text == "one"
    await transport.aclose()


async def test_a_finish_reason_can_be_told() -> None:
    assert (await scripted(Reply(text="x", finish_reason="refused"))("Hi")).finish_reason == "refused"


async def test_faults_recover_as_the_script_says() -> None:
    faults = [
        Reply(unreachable=True),
        Reply(status=503),
        Reply(garbage=b"\xff"),
        Reply(cut_after=0),
        "at last",
    ]
    asked = scripted(*faults)
    assert (await Retry(asked, attempts=5, base=0)("Hi")).text == "at last"
    assert len(asked.requests) == 5


async def test_a_request_that_openai_would_refuse_is_refused() -> None:
    with pytest.raises(BadRequest, match="messages"):
        await model("offline/echo")(cast(Any, forward(b'{"messages": 5}')))


async def test_a_long_running_gateway_remembers_no_requests() -> None:
    asked = model("offline/echo")
    await asked("Hi")
    transport = asked.transport
    assert isinstance(transport, OfflineTransport)
    assert transport.requests == []


# -- embeddings


async def embed(value: Any, **more: Any) -> dict[str, Any]:
    body = msgspec.json.encode({"input": value, **more})
    reply: Any = await model("offline/any")(cast(Any, forward(body, "openai_embeddings")))
    return msgspec.json.decode(reply.body)


async def test_equal_texts_have_equal_vectors_of_length_one() -> None:
    data = (await embed(["a", "b", "a"]))["data"]
    vectors = [one["embedding"] for one in data]
    assert vectors[0] == vectors[2] != vectors[1]
    assert sum(n * n for n in vectors[0]) == pytest.approx(1)
    assert [one["index"] for one in data] == [0, 1, 2]


async def test_embeddings_take_text_tokens_and_base64() -> None:
    assert len((await embed("a"))["data"]) == len((await embed([1, 2, 3]))["data"]) == 1
    assert len((await embed([[1], [2]]))["data"]) == 2
    [packed] = (await embed("a", encoding_format="base64"))["data"]
    assert len(struct.unpack("<8f", base64.b64decode(packed["embedding"]))) == 8
    assert (await embed("abcde"))["usage"] == {"prompt_tokens": 2, "total_tokens": 2}


# -- values for schemas

KEYS = st.sampled_from([
    "$defs", "$ref", "allOf", "anyOf", "const", "default", "enum", "exclusiveMinimum", "format", "items", "maximum",
    "maxLength", "minItems", "minLength", "minimum", "oneOf", "prefixItems", "properties", "required", "type",
])  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=15,
)


@given(JSON)
def test_any_schema_gives_some_value_that_json_can_hold(schema: Any) -> None:
    msgspec.json.encode(sample(schema))


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "simulated"),
        ({"type": "string", "format": "date"}, "2026-01-01"),
        ({"type": "string", "minLength": 12}, "simulatedxxx"),
        ({"type": "string", "maxLength": 3}, "sim"),
        ({"type": "integer", "exclusiveMinimum": 3}, 4),
        ({"type": "integer", "maximum": -2}, -2),
        ({"type": "number", "minimum": 0.5}, 0.5),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["null", "integer"]}, 0),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [0, 0]),
        ({"type": "array", "prefixItems": [{"type": "integer"}, {"const": "b"}]}, [0, "b"]),
        ({"type": "array", "minItems": 10**9}, ["simulated"] * 16),
        ({"enum": ["a", "b"]}, "a"),
        ({"const": 5}, 5),
        ({"default": 6, "type": "integer"}, 6),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 0),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"type": "integer"}}}, 0),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "integer"}}}, 0),
        ({"$ref": "#/nowhere"}, None),
        ({"type": "object", "properties": {"a": {"type": "integer"}, "b": {}}, "required": ["a"]}, {"a": 0}),
        ({"properties": {"a": {"type": "integer"}}}, {"a": 0}),
    ],
)
def test_values_for_schemas(schema: Any, value: Any) -> None:
    assert sample(schema) == value


def test_a_schema_that_grows_without_end_gives_a_value_soon() -> None:
    many = {f"p{n}": {"$ref": "#"} for n in range(50)}
    assert len(msgspec.json.encode(sample({"type": "object", "properties": many}))) < 100_000
    assert len(sample({"type": "string", "minLength": 10**9})) == 1_000


def test_a_reply_with_nothing_is_an_empty_answer() -> None:
    reply = scripted(Reply()).run_sync("Hi")
    assert isinstance(reply, Response)
    assert reply.text == ""
    assert reply.finish_reason == "stop"
