"""What goes into models and comes out is recorded only for a hook that asks for it, and the same on every path."""

from __future__ import annotations

from typing import Any

import msgspec
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tidyllm.core import AttemptFinished, Context, Event
from tidyllm.models import Image, Message, Request, Text, Thinking, ToolCall, ToolResult
from tidyllm.models.content import MAX_CHARACTERS, asked_content
from tidyllm.models.factory import model
from tidyllm.models.formats import wire_format
from tidyllm.models.forward import Forward
from tidyllm.observe import Otel


class Seen:
    """A hook that keeps the attributes of attempts."""

    def __init__(self, *, wants_content: bool) -> None:
        self.wants_content = wants_content
        self.attempts: list[dict[str, Any]] = []

    def __call__(self, event: Event, /) -> None:
        if isinstance(event, AttemptFinished):
            self.attempts.append(dict(event.attributes))


def forward(*, stream: bool) -> Forward:
    body = {"model": "m", "messages": [{"role": "user", "content": "big blue sky"}], "stream": stream}
    fields = {key: msgspec.Raw(msgspec.json.encode(value)) for key, value in body.items()}
    return Forward("openai_chat", fields, stream, lambda: wire_format("openai_chat").decode_request(body)[0])


def answer(attributes: dict[str, Any]) -> Any:
    (message,) = msgspec.json.decode(attributes["output_messages"])
    return message


async def test_nothing_is_recorded_unless_a_hook_asks() -> None:
    seen = Seen(wants_content=False)
    await model("offline/echo")("a secret", Context.new(hooks=(seen,)))
    assert "secret" not in str(seen.attempts)


async def test_a_call_and_a_stream_record_question_and_answer_alike() -> None:
    seen = Seen(wants_content=True)
    ctx = Context.new(hooks=(seen,))
    request = Request("big blue sky", system="Be brief.")
    await model("offline/echo")(request, ctx)
    async for _ in model("offline/echo").stream(request, ctx):
        pass
    whole, streamed = seen.attempts
    assert answer(whole) == answer(streamed)
    assert answer(whole)["parts"] == [{"type": "text", "content": "big blue sky"}]
    assert whole["input_messages"] == streamed["input_messages"]
    assert msgspec.json.decode(whole["system_instructions"]) == [{"type": "text", "content": "Be brief."}]


async def test_what_is_passed_on_undecoded_is_recorded_too() -> None:
    seen = Seen(wants_content=True)
    ctx = Context.new(hooks=(seen,))
    await model("offline/echo")(forward(stream=False), ctx)  # pyright: ignore[reportArgumentType] - the gateway's door
    async for _ in model("offline/echo").stream(forward(stream=True), ctx):  # pyright: ignore[reportArgumentType]
        pass
    for attributes in seen.attempts:
        assert "big blue sky" in attributes["input_messages"]
        assert answer(attributes) == {
            "role": "assistant",
            "parts": [{"type": "text", "content": "big blue sky"}],
            "finish_reason": "stop",
        }


def test_every_kind_of_part_is_written_and_bytes_are_not() -> None:
    call = ToolCall.parse("c1", "add", '{"a": 1}')
    turns = (
        Message.user("Look:", Image(data=b"\x89PNG" * 99, media_type="image/png")),
        Message("assistant", (Thinking(text="Hm."), Text(text="Adding."), call)),
        Message.tool("c1", "2"),
        Message("tool", (ToolResult(call_id="c2", content=(Text(text="3"),)),)),
    )
    found = msgspec.json.decode(asked_content(Request(turns))["input_messages"])
    assert found[0]["parts"][1] == {
        "type": "blob",
        "modality": "image",
        "mime_type": "image/png",
        "bytes": 396,
    }
    assert [part["type"] for part in found[1]["parts"]] == ["reasoning", "text", "tool_call"]
    assert found[1]["parts"][2]["arguments"] == {"a": 1}
    assert found[2]["parts"] == [{"type": "tool_call_response", "id": "c1", "response": "2"}]
    assert found[3]["parts"][0]["response"] == [{"type": "text", "content": "3"}]


def test_a_long_question_is_cut_and_says_so() -> None:
    text = asked_content(Request("x" * 100_000))["input_messages"]
    assert len(text) < MAX_CHARACTERS + 50
    assert text.endswith("characters)")


async def test_spans_carry_it_under_the_names_of_the_conventions() -> None:
    exporter = InMemorySpanExporter()
    ctx = Context.new(hooks=(Otel(SimpleSpanProcessor(exporter), content=True),))
    await model("offline/echo")("hello", ctx)
    attributes = next(
        span.attributes for span in exporter.get_finished_spans() if span.name.startswith("chat")
    )
    assert attributes is not None
    assert "hello" in str(attributes["gen_ai.input.messages"])
    assert "hello" in str(attributes["gen_ai.output.messages"])
