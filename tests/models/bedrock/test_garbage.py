"""Whatever comes over the wire, it is an answer or one of our errors."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.models.bedrock.wire import stream
from tidyllm.errors import ModelError
from tidyllm.models.bedrock import FrameParser, bedrock
from tidyllm.models.fold import fold

KEYS = [
    "output",
    "message",
    "content",
    "text",
    "toolUse",
    "toolUseId",
    "name",
    "input",
    "type",
    "toolResult",
    "image",
    "format",
    "source",
    "bytes",
    "document",
    "reasoningContent",
    "reasoningText",
    "redactedContent",
    "signature",
    "citationsContent",
    "citations",
    "usage",
    "inputTokens",
    "cacheDetails",
    "ttl",
    "stopReason",
    "serviceTier",
    "performanceConfig",
    "latency",
    "delta",
    "start",
    "contentBlockIndex",
    "citation",
    "originalMessage",
    "__type",
    "Message",
]
EVENTS = [
    "messageStart",
    "contentBlockStart",
    "contentBlockDelta",
    "contentBlockStop",
    "messageStop",
    "metadata",
    "xException",
]
words = st.sampled_from(["", "a", "YQ==", "{}", "\ud800"])
leaves = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | words
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
)
objects = st.dictionaries(st.sampled_from(KEYS), values, max_size=5)


@given(objects, values)
def test_any_body_is_an_answer_or_an_error(body: dict[str, Any], content: Any) -> None:
    for said in (content, [content]):
        one = {**body, "output": {"message": {"content": said}}}
        with contextlib.suppress(ModelError):
            bedrock.decode_response(body)
        with contextlib.suppress(ModelError):
            bedrock.decode_response(one)


@given(st.integers(400, 599), st.binary(max_size=60) | objects.map(repr).map(str.encode))
def test_any_refusal_is_an_error_of_ours(status: int, body: bytes) -> None:
    headers = {"x-amzn-errortype": body.decode("latin-1")[:20], "retry-after": "soon"}
    assert isinstance(bedrock.decode_error(status, headers, body), ModelError)


@given(st.lists(st.tuples(st.sampled_from(EVENTS), objects), max_size=8))
def test_any_events_are_pieces_or_an_error(events: list[tuple[str, dict[str, Any]]]) -> None:
    decoder, parser = bedrock.stream_decoder(), FrameParser()
    with contextlib.suppress(ModelError, msgspec.MsgspecError, UnicodeEncodeError):
        data = stream(("messageStart", {}), *events)
        pieces = [piece for event in parser.feed(data) for piece in decoder.feed(event)]
        fold(pieces)


@given(st.binary(max_size=300))
def test_any_bytes_are_frames_or_an_error(data: bytes) -> None:
    with contextlib.suppress(ModelError):
        FrameParser().feed(data)
