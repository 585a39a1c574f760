"""Streams for callers who speak Anthropic's format, of answers of any provider."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models.anthropic.samples import (
    answer,
    block,
    events_of,
    pieces,
    text_block,
    written,
)
from tests.models.anthropic.test_response import FULL
from tests.models.anthropic.test_stream import JSON
from tidyllm.errors import BreakerOpen, Unsupported
from tidyllm.models.anthropic import anthropic
from tidyllm.models.anthropic.open_input import OpenInput
from tidyllm.models.fold import fold, unfold
from tidyllm.models.message import Image, Opaque, Text, Thinking, ToolCall
from tidyllm.models.piece import (
    Finish,
    Piece,
    Start,
    TextPiece,
    ThinkingPiece,
    ToolCallPiece,
    UsagePiece,
    WholePart,
)
from tidyllm.models.request import Request
from tidyllm.models.response import Response, Usage


def said(found: list[Piece]) -> Response:
    """What a caller reads out of the events written for these pieces."""
    again, done = pieces(written(found))
    assert done
    return fold(again)


def test_an_answer_of_anthropic_reaches_a_caller_in_pieces_as_it_was() -> None:
    whole = anthropic.decode_response(FULL)
    assert said(unfold(whole)) == fold(unfold(whole))


def test_the_events_for_a_caller_are_those_of_anthropic() -> None:
    found: list[Piece] = [
        Start("gpt-x", "chatcmpl-1", {"system_fingerprint": "fp"}),
        TextPiece("Hi", 0, {"annotations": [1]}),
        ToolCallPiece(1, "call_1", "f", "", {"index": 0}),
        ToolCallPiece(1, arguments='{"a":1}'),
        UsagePiece(Usage(30, 5, cache_read_tokens=10)),
        Finish("tool_calls", "tool_calls"),
    ]
    counted = {"output_tokens": 0, "cache_creation_input_tokens": None, "cache_read_input_tokens": None}
    message = answer(id="chatcmpl-1", model="gpt-x", stop_reason=None, usage={"input_tokens": 0, **counted})
    assert events_of(written(found)) == [
        {"type": "message_start", "message": message},
        *text_block(0, "Hi"),
        *block(1, {"type": "tool_use", "id": "call_1", "name": "f", "input": {}},
               {"type": JSON, "partial_json": '{"a":1}'}),
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {**counted, "input_tokens": 20, "output_tokens": 5, "cache_read_input_tokens": 10},
        },
        {"type": "message_stop"},
    ]  # fmt: skip


def test_a_foreign_answer_without_ids_gets_some() -> None:
    response = said([TextPiece("a"), ToolCallPiece(1, "", "f", "{}"), Finish("stop")])
    assert response.id.startswith("msg_")
    assert response.model == "claude-x"
    assert response.tool_calls[0].id.startswith("toolu_")
    assert response.finish_reason_raw == "tool_use"


def test_foreign_reasoning_is_shown_and_what_its_provider_wants_back_is_lent() -> None:
    response = said(
        [
            Start("gpt-x", "resp_1"),
            ThinkingPiece("", 0, id="rs_1"),
            ThinkingPiece("hm", 0),
            ThinkingPiece("", 0, encrypted="e"),
            ThinkingPiece("", 1, encrypted="e", id="rs_2"),
            WholePart(Opaque(format="openai_responses", data={"type": "web_search_call"}), 2),
            TextPiece("", 3),
            TextPiece("Hi", 4),
            Finish("stop"),
        ]
    )
    assert response.content == (
        Thinking(text="hm", signature='tidyllm:{"encrypted":"e","id":"rs_1"}'),
        Thinking(encrypted='tidyllm:{"encrypted":"e","id":"rs_2"}'),
        Text(text="Hi"),
    )


def test_what_a_provider_wants_back_may_come_late_or_never() -> None:
    late: list[Piece] = [
        ThinkingPiece("hm", 0),
        TextPiece("Hi", 1),
        ThinkingPiece("", 0, "sig"),
        ThinkingPiece(" hm", 0),
        ThinkingPiece("", 2, id="rs_1"),
        Finish("stop"),
    ]
    loan = 'tidyllm:{"signature":"sig"}'
    assert said(late).content == (Thinking(text="hm hm", signature=loan), Text(text="Hi"))
    never: list[Piece] = [ThinkingPiece("hm", 0), Finish("stop")]
    assert said(never).content == (Thinking(text="hm", signature="tidyllm:{}"),)
    hidden: list[Piece] = [ThinkingPiece("", 0, encrypted="e"), Finish("stop")]
    assert said(hidden).content == (Thinking(encrypted='tidyllm:{"encrypted":"e"}'),)


OWN = Start("m", "msg_1", format="anthropic")


def test_parts_that_come_whole_are_written_like_others() -> None:
    parts = (Text(text="a"), Thinking(encrypted="e"), ToolCall.parse("t", "f", '{"a":1}'))
    found: list[Piece] = [WholePart(part, index) for index, part in enumerate(parts)]
    assert said([OWN, *found, UsagePiece(Usage(1, 1)), Finish("tool_calls")]).content == parts


def taken(data: bytes) -> list[tuple[str, str, str]]:
    """What a client reads who takes each block when it ends: its type, its name, and its text or input."""
    found: list[tuple[str, str, str]] = []
    open_block: dict[str, Any] = {}
    for event in events_of(data):
        if event["type"] == "content_block_start":
            assert not open_block
            open_block = {**event["content_block"], "at": event["index"], "said": ""}
        elif event["type"] == "content_block_delta":
            assert event["index"] == open_block["at"]
            told = event["delta"]
            open_block["said"] += (
                told.get("text", "") + told.get("partial_json", "") + told.get("thinking", "")
            )
        elif event["type"] == "content_block_stop":
            found.append((open_block["type"], open_block.get("name", ""), open_block["said"]))
            open_block = {}
    assert not open_block
    return found


def test_a_tool_call_is_whole_when_its_block_ends_however_calls_are_interleaved() -> None:
    found: list[Piece] = [
        TextPiece("Now.", 5),
        ToolCallPiece(0, "a", "f", ""),
        ToolCallPiece(1, "b", "g", ""),
        ToolCallPiece(0, arguments='{"x'),
        ToolCallPiece(1, arguments='{"y":"\\'),
        TextPiece("And", 5),
        ThinkingPiece("hm", 3),
        ToolCallPiece(0, arguments='": "}{"}'),
        ToolCallPiece(2, "c", "h", ""),
        ToolCallPiece(1, arguments='"}'),
        TextPiece(" so.", 5),
        Finish("tool_calls"),
    ]
    assert taken(written(found)) == [
        ("text", "", "Now."),
        ("tool_use", "f", '{"x": "}{"}'),
        ("tool_use", "g", '{"y":"\\"}'),
        ("text", "", "And"),
        ("thinking", "", "hm"),
        ("tool_use", "h", ""),
        ("text", "", " so."),
    ]


def test_a_call_whose_input_is_whole_holds_nothing_up() -> None:
    encoder = anthropic.stream_encoder(Request("q"))
    encoder.feed(Start("m", "c"))
    encoder.feed(ToolCallPiece(0, "a", "f", '{"x":{}}'))
    assert b'"name":"g"' in encoder.feed(ToolCallPiece(1, "b", "g", ""))
    assert encoder.feed(TextPiece("later", 2)) == b""
    assert b"later" in encoder.feed(ToolCallPiece(1, arguments="{}"))


inputs = st.dictionaries(st.text('{}[]"\\a', max_size=4), st.text('{}[]"\\a', max_size=4), max_size=2)


steps = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)), max_size=12)


@given(st.lists(inputs, min_size=1, max_size=3), steps)
def test_every_bit_of_every_call_is_told_before_its_block_ends(
    values: list[dict[str, Any]], order: list[tuple[int, int]]
) -> None:
    texts = [msgspec.json.encode(value).decode() for value in values]
    left, found = list(texts), list[Piece]()
    for place, size in [*order, *((at, 99) for at in range(len(texts)))]:
        index = place % len(texts)
        if left[index]:
            found.append(ToolCallPiece(index, f"id{index}", f"f{index}", left[index][:size]))
            left[index] = left[index][size:]
    calls = {name: said for _, name, said in taken(written([*found, Finish("tool_calls")]))}
    assert calls == {f"f{index}": text for index, text in enumerate(texts)}


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.lists(st.text(max_size=3))), st.data())
def test_an_input_is_whole_at_its_last_character_and_not_before(
    value: dict[str, Any], data: st.DataObject
) -> None:
    text = msgspec.json.encode(value).decode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text) - 1), max_size=5)))
    held = OpenInput()
    for begin, end in zip([0, *cuts], cuts, strict=False):
        held.add(text[begin:end])
    assert not held.whole
    held.add(text[cuts[-1] if cuts else 0 :])
    assert held.whole


def test_a_picture_in_an_answer_is_refused() -> None:
    encoder = anthropic.stream_encoder(Request("q"))
    with pytest.raises(Unsupported, match="hold no Image"):
        encoder.feed(WholePart(Image(url="u"), 0))


def test_an_error_reaches_the_caller_as_an_event_without_an_end() -> None:
    encoder = anthropic.stream_encoder(Request("q"))
    data = encoder.feed(Start("m", "chatcmpl-1"))
    data += encoder.error(BreakerOpen("b", failures=5, window=30, retry_after=1))
    first, error = events_of(data)
    assert first["type"] == "message_start"
    assert error["error"]["type"] == "overloaded_error"
    assert "'b' is open" in error["error"]["message"]


texts = st.text(max_size=6)
part = st.one_of(
    texts.filter(bool).map(lambda text: Text(text=text)),
    texts.map(lambda text: Thinking(text=text, signature="s")),
    st.just(Thinking(encrypted="e")),
    st.dictionaries(texts, texts).map(lambda data: ToolCall.parse("t", "f", str(data).replace("'", '"'))),
    st.just(Opaque(format="anthropic", data={"type": "server_tool_use", "input": {"a": 1}})),
)


@given(st.lists(part, max_size=5), st.sampled_from(["msg_1", "msg_2"]))
def test_what_is_written_is_read_back(parts: list[Any], id: str) -> None:
    response = Response(tuple(parts), "stop", "end_turn", Usage(5, 6), "m", id, format="anthropic")
    again = said(unfold(response))
    expected = tuple(
        ToolCall.parse(p.id, p.name, p.raw_arguments or "{}") if isinstance(p, ToolCall) else p for p in parts
    )
    assert again.content == expected
    assert (again.id, again.model, again.finish_reason) == (id, "m", "stop")
    assert (again.usage.input_tokens, again.usage.output_tokens) == (5, 6)
