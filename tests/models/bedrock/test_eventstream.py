"""Frames of an event stream, however they are cut, and what is broken in them."""

from __future__ import annotations

from typing import Any

import botocore.eventstream
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models.bedrock.wire import frame, stream
from tidyllm.errors import BadAnswer, ModelError, Overloaded, RateLimited
from tidyllm.models.bedrock import FrameParser, bedrock
from tidyllm.models.fold import fold
from tidyllm.models.sse import Event

texts = st.text(max_size=40)
TOOL_STREAM = stream(
    ("messageStart", {"role": "assistant"}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "So"}}}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "sig"}}}),
    ("contentBlockStop", {"contentBlockIndex": 0}),
    ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "It is "}}),
    ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "so."}, "p": "abc"}),
    ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"citation": {"title": "a"}}}),
    ("contentBlockStop", {"contentBlockIndex": 1}),
    ("contentBlockStart", {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "t", "name": "now"}}}),
    ("contentBlockStop", {"contentBlockIndex": 2}),
    ("contentBlockStart", {"contentBlockIndex": 3, "start": {"image": {"format": "png"}}}),
    ("contentBlockDelta", {"contentBlockIndex": 3, "delta": {"image": {"source": {"bytes": "YQ=="}}}}),
    ("contentBlockDelta", {"contentBlockIndex": 3, "delta": {"image": {"source": {"bytes": "Yg=="}}}}),
    ("contentBlockStop", {"contentBlockIndex": 3}),
    ("messageStop", {"stopReason": "tool_use"}),
    (
        "metadata",
        {"usage": {"inputTokens": 5, "outputTokens": 7, "totalTokens": 12}, "metrics": {"latencyMs": 9}},
    ),
)
TOOL_ANSWER: dict[str, Any] = {
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "So", "signature": "sig"}}},
                {"citationsContent": {"content": [{"text": "It is so."}], "citations": [{"title": "a"}]}},
                {"toolUse": {"toolUseId": "t", "name": "now", "input": {}}},
                {"image": {"format": "png", "source": {"bytes": "YWI="}}},
            ],
        }
    },
    "stopReason": "tool_use",
    "usage": {"inputTokens": 5, "outputTokens": 7, "totalTokens": 12},
    "metrics": {"latencyMs": 9},
}


def fed(data: bytes, cuts: list[int]) -> list[Event]:
    parser, events, begin = FrameParser(), list[Event](), 0
    for cut in (*sorted(cuts), len(data)):
        events += parser.feed(data[begin:cut])
        begin = max(begin, cut)
    return events + parser.close()


@given(st.lists(st.tuples(texts, texts), max_size=5), st.lists(st.integers(0, 400), max_size=8))
def test_frames_are_what_botocore_reads_wherever_they_are_cut(
    made: list[tuple[str, str]], cuts: list[int]
) -> None:
    data = b"".join(frame(body.encode(), message_type="event", event_type=name) for name, body in made)
    theirs: Any = botocore.eventstream
    buffer = theirs.EventStreamBuffer()
    buffer.add_data(data)
    read = [(one.headers[":event-type"], one.payload.decode()) for one in buffer]
    ours = fed(data, [cut for cut in cuts if cut <= len(data)])
    assert [(event.name, event.data) for event in ours] == read == made


@given(st.integers(0, len(TOOL_STREAM) - 1), st.integers(1, 255))
def test_a_changed_byte_is_never_read(place: int, change: int) -> None:
    """What stood before it comes out; what it stands in does not."""
    broken = bytearray(TOOL_STREAM)
    broken[place] ^= change
    parser = FrameParser()
    whole = fed(TOOL_STREAM, [])
    try:
        events = parser.feed(bytes(broken)) + parser.feed(b"") + parser.close()
    except BadAnswer:
        return
    assert events == whole[: len(events)]
    assert len(events) < len(whole)


def test_a_fault_never_takes_away_what_stood_before_it() -> None:
    parser = FrameParser()
    good = frame(b"{}", message_type="event", event_type="a")
    assert [event.name for event in parser.feed(good + b"HTTP/1.1 502 Bad Gateway")] == ["a"]
    for _ in range(2):
        with pytest.raises(BadAnswer, match="checksum is wrong"):
            parser.feed(b"")


def test_a_frame_that_would_fill_the_memory_is_refused() -> None:
    with pytest.raises(BadAnswer, match="more than 100"):
        FrameParser(max_frame_bytes=100).feed(frame(b"x" * 200, message_type="event"))


def test_a_stream_joined_is_the_whole_answer() -> None:
    decoder = bedrock.stream_decoder()
    pieces = [piece for event in fed(TOOL_STREAM, []) for piece in decoder.feed(event)]
    whole = bedrock.decode_response(TOOL_ANSWER)
    joined = fold(pieces)
    assert decoder.done
    assert joined.content == whole.content
    assert (joined.usage, joined.finish_reason, joined.extra) == (
        whole.usage,
        whole.finish_reason,
        whole.extra,
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("throttlingException", RateLimited),
        ("serviceUnavailableException", Overloaded),
        ("internalServerException", Overloaded),
        ("modelStreamErrorException", Overloaded),
    ],
)
def test_an_exception_inside_of_a_stream_is_that_error(name: str, kind: type[ModelError]) -> None:
    events = fed(stream(("messageStart", {"role": "assistant"}), (name, {"message": "no room"})), [])
    decoder = bedrock.stream_decoder()
    decoder.feed(events[0])
    with pytest.raises(kind, match="no room") as caught:
        decoder.feed(events[1])
    assert caught.value.status is None
    assert caught.value.code == name[0].upper() + name[1:]


def test_an_error_frame_without_a_model_is_an_error_too() -> None:
    [event] = fed(frame(b"", message_type="error", error_code="InternalFailure", error_message="oh"), [])
    with pytest.raises(Overloaded, match="oh"):
        bedrock.stream_decoder().feed(event)


def test_kinds_of_events_that_are_new_are_passed_over() -> None:
    """Wherever they stand, and whatever they hold: botocore's reader does the same."""
    decoder = bedrock.stream_decoder()
    first, start, later = fed(
        stream(("initial-response", {}), ("messageStart", {"role": "assistant"}), ("somethingNew", {"x": 1})),
        [],
    )
    assert decoder.feed(first) == decoder.feed(later) == []
    assert len(decoder.feed(start)) == 1
    assert decoder.feed(Event("no JSON", "somethingNew")) == []


_OUT_OF_PLACE: list[list[tuple[str, dict[str, Any]]]] = [
    [("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "a"}})],
    [("messageStart", {}), ("messageStart", {})],
    [("messageStart", {}), ("metadata", {})],
    [("messageStart", {}), ("contentBlockDelta", {"contentBlockIndex": "0", "delta": {"text": "a"}})],
    [
        ("messageStart", {}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolUse": {"input": "{"}}}),
    ],
]


@pytest.mark.parametrize("events", _OUT_OF_PLACE)
def test_events_out_of_place_are_a_bad_answer(events: list[tuple[str, dict[str, Any]]]) -> None:
    decoder = bedrock.stream_decoder()
    *good, bad = fed(stream(*events), [])
    for event in good:
        decoder.feed(event)
    with pytest.raises(BadAnswer):
        decoder.feed(bad)
